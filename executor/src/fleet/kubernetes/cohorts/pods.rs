//! What is reported of each pod, and what follows for the fleet.

use std::collections::HashSet;
use std::sync::Arc;

use podpool_core::broker::ClassId;
use podpool_core::fleet::{End, FleetEvent};
use tokio::time::Instant;

use super::super::diagnose::{Context, Gone, Verdict, judge_pod_note};
use super::pod::{Phase, Pod, Report, Unplaced};
use super::{Cohorts, EarlyEnds, EndedPod, PodName};

/// The reason of a pod's end that is known only by a new list, which does not show it.
const REMOVED: &str = "it was removed while the cluster did not answer";

impl Cohorts {
    /// What [`judge_pod`](super::super::diagnose::judge_pod) needs beside a pod's status.
    #[must_use]
    pub fn context(&self, name: &str) -> Context {
        Context {
            silent: self
                .pods
                .get(name)
                .is_some_and(|pod| pod.life.was_on_silent_node()),
            removed: false,
        }
    }

    /// A status of a pod was read.
    pub fn on_pod(&mut self, now: Instant, pod: PodName, verdict: Verdict) {
        // Its end was reported; a list that was read before may still show it as running. No pod gets the name again:
        // the Job controller appends random characters to the name of every pod.
        if self.gone.contains_key(&pod.name) {
            return;
        }
        // The pod may be reported before its Job, because the two watches are not ordered.
        self.next = self.next.max(pod.cohort.saturating_add(1));
        // The second pod of an index is one that the Job controller created for a lost one. It is surplus if a top-up
        // cohort was faster: the controller waits 10 s, then 20 s and so on, a top-up cohort mostly 1 s to 5 s.
        // <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy>
        let replacement = !self
            .cohort(now, pod.cohort, pod.class)
            .seen
            .insert(pod.index);
        let fresh = !self.pods.contains_key(&pod.name);
        self.note_pull(pod.class, &verdict);
        if let Verdict::Gone(gone) = verdict {
            self.pod_gone(now, pod, *gone);
        } else {
            let name = pod.name.clone();
            let returned = self.move_pod(now, pod, verdict);
            // After the status is applied, because the time for the greeting counts from the first `Running`.
            self.note_greeting(now, &name);
            if returned || (fresh && replacement) {
                self.leave_if_too_many(now, name);
            }
        }
        self.settle(now);
    }

    /// A pod was deleted, and this was its last status.
    pub fn on_pod_removed(&mut self, now: Instant, pod: PodName, verdict: Verdict) {
        let name = pod.name.clone();
        // `on_pod` enters the pod in `gone` and reports its end once. Its object is deleted, so no later list can show
        // it, and the entry is removed again.
        self.on_pod(now, pod, verdict);
        self.gone.remove(&name);
        self.retire_ended();
    }

    /// All pods were listed again: those that are missing were deleted.
    // A watch whose resource version is too old is answered with 410 and restarts with a list; the deletions in between
    // are not reported. <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>
    pub fn on_listed(&mut self, now: Instant, listed: &HashSet<Arc<str>>) {
        // The objects that are not listed are deleted, so no later list shows them.
        self.gone.retain(|name, _| listed.contains(name));
        let missing: Vec<Arc<str>> = self
            .pods
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        for name in missing {
            self.notify_loss(now, &name, REMOVED);
            // The last status is unknown, and with it the exit code and the running list: no task is charged.
            let gone = Gone {
                end: End::Lost,
                reason: REMOVED.to_owned(),
                node: None,
                at: None,
                running: Vec::new(),
                fatal: false,
                brief: false,
                by_itself: false,
            };
            self.pods.remove(&name);
            self.greetings.ended(now, &name);
            self.losing = true;
            self.report(FleetEvent::Gone(gone.departure(name)));
        }
        self.retire_ended();
        self.settle(now);
    }

    /// The cluster emitted a warning about a pod.
    pub fn on_pod_note(&mut self, now: Instant, name: &str, reason: &str, message: &str) {
        if let Some(Verdict::CannotStart { reason, patience }) = judge_pod_note(reason, message)
            && let Some(pod) = self.pods.get_mut(name)
        {
            self.losing |= pod.apply(now, Report::Warning { reason, patience });
        }
        self.settle(now);
    }

    /// Dispatch received nothing from a worker for one lease. That is sooner than the cluster notices a lost node (40 s
    /// of missing heartbeats by default:
    /// <https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/>,
    /// `--node-monitor-grace-period`).
    pub fn on_missed(&mut self, now: Instant, name: &Arc<str>) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        self.losing |= pod.apply(now, Report::Missed);
        self.notify_loss(
            now,
            name,
            "the master received no message from it for one lease; a replacement is started",
        );
        self.settle(now);
    }

    /// Dispatch received a message from the worker, the first or the first after a silence: another worker may have
    /// replaced it by now.
    pub fn on_present(&mut self, now: Instant, name: Arc<str>) {
        if !self.gone.contains_key(&name) {
            // Its pod may be seen later: the queue and the watch of the cluster are not ordered.
            self.greetings.heard(name.clone());
        }
        let Some(pod) = self.pods.get_mut(&name) else {
            return;
        };
        // Only these were replaced; a pod that always counted as supply cannot be one too many now.
        let was_missed = pod.life.is_missed() || pod.life.is_untaken();
        pod.apply(now, Report::Heard);
        self.notify_return(now, &name);
        if was_missed {
            self.leave_if_too_many(now, name);
        }
        self.settle(now);
    }

    /// A container was made, so its node has the image.
    fn note_pull(&mut self, class: ClassId, verdict: &Verdict) {
        let made = match verdict {
            Verdict::Running | Verdict::Silent => true,
            Verdict::Gone(gone) => gone.end != End::Lost,
            _ => false,
        };
        if made {
            self.pulled.insert(class);
        }
    }

    /// Applies a status; true if the pod counts as supply again, after its node was silent or had not begun with it.
    fn move_pod(&mut self, now: Instant, pod: PodName, verdict: Verdict) -> bool {
        let name = pod.name.clone();
        let entry = self.pods.entry(pod.name);
        let entry = entry.or_insert_with(|| Pod::new(now, pod.cohort));
        entry.unplaced = match &verdict {
            Verdict::Unplaced { reason, needs } => Some(Unplaced {
                reason: reason.clone(),
                needs: needs.clone(),
            }),
            _ => None,
        };
        let verdict = self.rooms.applied(now, &name, verdict);
        // A late status may lack the node, and a node is never taken away again.
        entry.node = pod.node.or_else(|| entry.node.take());
        // Read before the report is applied: what it returns from decides whether its place may be taken.
        let was_away = *entry.life.phase() == Phase::NodeSilent || entry.life.is_untaken();
        self.losing |= entry.apply(now, Report::Status(verdict));
        let returned = was_away && entry.life.supplies();
        if *entry.life.phase() == Phase::NodeSilent {
            self.notify_loss(now, &name, "its node does not answer (NotReady)");
        } else if returned {
            self.notify_return(now, &name);
        }
        returned
    }

    /// A worker that is wanted is lost, or counts as lost. One notice for each.
    fn notify_loss(&mut self, now: Instant, name: &Arc<str>, reason: &str) {
        if self.wanted() == 0 {
            return;
        }
        if let Some(pod) = self.pods.get_mut(name)
            && pod.life.is_loss_unreported()
        {
            pod.apply(now, Report::LossTold);
            self.notices
                .lost(now, name.clone(), pod.node.as_deref(), reason);
        }
    }

    fn notify_return(&mut self, now: Instant, name: &Arc<str>) {
        if let Some(pod) = self.pods.get_mut(name)
            && pod.life.is_loss_reported()
        {
            pod.apply(now, Report::ReturnTold);
            self.notices.back(now, name.clone());
        }
    }

    /// A node that does not start its pod counts as lost: the pod is no supply until the node starts it.
    pub(super) fn note_untaken(&mut self, now: Instant) {
        // Most pods are not due, and a report clones the life of its pod.
        let due = |pod: &&mut Pod| pod.life.overdue_at().is_some_and(|at| now >= at);
        for pod in self.pods.values_mut().filter(due) {
            self.losing |= pod.apply(now, Report::Time);
        }
    }

    /// The class of the tasks that the worker in a pod runs.
    fn class_of(&self, pod: &str) -> Option<ClassId> {
        let pod = self.pods.get(pod)?;
        self.cohorts.get(&pod.cohort).map(|cohort| cohort.class)
    }

    /// A pod that starts when enough others run is requested to drain.
    // Called only for pods that were replaced or are replacements. A fall of the wanted number alone makes no pod
    // surplus: idle workers end with the run.
    fn leave_if_too_many(&mut self, now: Instant, name: Arc<str>) {
        let Some(class) = self.class_of(&name) else {
            return;
        };
        if self.supply_of(class) <= self.wanted_of(class) {
            return;
        }
        if let Some(pod) = self.pods.get_mut(&name)
            && pod.life.supplies()
        {
            pod.apply(now, Report::Dismissed);
            self.report(FleetEvent::Surplus(name));
        }
    }

    fn pod_gone(&mut self, now: Instant, pod: PodName, gone: Gone) {
        // Read before the pod and its greeting are removed below.
        let greeted = self.has_greeted(&pod.name);
        if gone.end != End::Left || !greeted {
            self.notify_loss(now, &pod.name, &gone.reason);
        }
        // The notice above needs the pod in the table, the verdicts below need its last state.
        let known = self.pods.remove(&pod.name);
        let ungreeted = self.greetings.ended(now, &pod.name);
        let surplus = known.as_ref().is_some_and(|known| known.life.is_surplus());
        // Missing messages prove nothing about the node here: the worker has ended.
        let reachable = known.is_none_or(|known| !known.life.is_on_silent_node());
        let cohort = pod.cohort;
        self.gone
            .insert(pod.name.clone(), EndedPod { cohort, reachable });
        self.losing = true;
        let ours = self.cohorts.get(&pod.cohort).is_some_and(|it| it.ours);
        if gone.fatal && ours {
            // The failure policy ends the whole Job at such an exit code. The condition of the Job that reports it may
            // arrive later than the pod.
            if let Some(cohort) = self.cohorts.get_mut(&pod.cohort) {
                cohort.finished = true;
            }
            // The pod's message is more precise than the Job's, which may have come first.
            // `fatal` keeps the first reason, so the Job's has to be removed first.
            self.fatal = None;
            self.fatal(
                now,
                format!("worker {} cannot do its work: {}", pod.name, gone.reason),
            );
        } else {
            self.count_early_end(now, &gone, surplus, greeted);
            if let Some(ran) = ungreeted {
                self.judge_ungreeted_end(now, &pod.name, &gone, ran);
            }
        }
        self.report(FleetEvent::Gone(gone.departure(pod.name)));
        self.retire_ended();
    }

    /// Counts workers that end before they have worked. If the termination message lists a running task, that task may
    /// have caused the end. A pod that never greeted counts whatever its exit code: its image may hold another program.
    fn count_early_end(&mut self, now: Instant, gone: &Gone, surplus: bool, greeted: bool) {
        // The worker has received a task, or has run for a minute: its image and its queue work.
        if !gone.running.is_empty() || (greeted && !gone.brief) {
            self.early_ends = None;
            return;
        }
        let left = gone.end == End::Left;
        // Ends without a fault of the program: a drained worker, a deleted or disrupted pod, a normal exit.
        if surplus || !gone.by_itself || (greeted && left) {
            return;
        }
        let died = left || matches!(gone.end, End::Died(_) | End::OutOfMemory(_));
        let early_ends = self.early_ends.get_or_insert(EarlyEnds {
            since: now,
            deaths: 0,
            reason: String::new(),
        });
        // An exit code of 75 is no death: the worker reports that it did not reach its queue, and the schedule timeout
        // bounds such ends. The reason is kept nevertheless.
        early_ends.deaths += u32::from(died);
        early_ends.reason = if left {
            format!(
                "{} before it greeted the master; the image must contain this same program, whose main begins with podpool::init() or #[podpool::main]",
                gone.reason
            )
        } else {
            gone.reason.clone()
        };
    }
}
