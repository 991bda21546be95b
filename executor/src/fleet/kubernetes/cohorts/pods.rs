//! What is reported of each pod, and what follows for the fleet.

use std::collections::HashSet;
use std::sync::Arc;

use podpool_core::fleet::{End, FleetEvent};
use tokio::time::Instant;

use super::super::diagnose::{Context, Gone, Verdict, judge_pod_note};
use super::pod::{Phase, Pod, Report};
use super::{Cohorts, EarlyEnds, PodName, Remains};

/// The reason of a pod's end that is known only by a new list, which does not show it.
const REMOVED: &str = "it was removed while the cluster could not be heard";

impl Cohorts {
    /// What [`judge_pod`](super::super::diagnose::judge_pod) must know of a pod beside its status.
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

    /// A pod was seen.
    pub fn on_pod(&mut self, now: Instant, pod: PodName, verdict: Verdict) {
        if self.gone.contains_key(&pod.name) {
            return;
        }
        self.next = self.next.max(pod.cohort.saturating_add(1));
        let replacement = !self.cohort(now, pod.cohort).seen.insert(pod.index);
        let fresh = !self.pods.contains_key(&pod.name);
        if let Verdict::Gone(gone) = verdict {
            self.pod_gone(now, pod, *gone);
        } else {
            let name = pod.name.clone();
            let returned = self.move_pod(now, pod, verdict);
            self.note_greeting(now, &name);
            if returned || (fresh && replacement) {
                self.leave_if_too_many(now, name);
            }
        }
        self.settle(now);
    }

    /// A pod is no more, and this was its last status.
    pub fn on_pod_removed(&mut self, now: Instant, pod: PodName, verdict: Verdict) {
        let name = pod.name.clone();
        self.on_pod(now, pod, verdict);
        self.gone.remove(&name);
        self.retire_ended();
    }

    /// The list of pods was read anew: those that are not on it are no more.
    pub fn on_listed(&mut self, now: Instant, listed: &HashSet<Arc<str>>) {
        self.gone.retain(|name, _| listed.contains(name));
        let missing: Vec<Arc<str>> = self
            .pods
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        for name in missing {
            self.tell_loss(now, &name, REMOVED);
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
            self.tell(FleetEvent::Gone(gone.departure(name)));
        }
        self.retire_ended();
        self.settle(now);
    }

    /// The cluster warns about a pod.
    pub fn on_pod_note(&mut self, now: Instant, name: &str, reason: &str, message: &str) {
        if let Some(Verdict::CannotStart { reason, patience }) = judge_pod_note(reason, message)
            && let Some(pod) = self.pods.get_mut(name)
        {
            self.losing |= pod.apply(now, Report::Warning { reason, patience });
        }
        self.settle(now);
    }

    /// The dispatcher heard nothing of a worker for a lease: sooner than a cluster notices that a node is gone.
    pub fn on_silence(&mut self, now: Instant, name: &Arc<str>) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        self.losing |= pod.apply(now, Report::Missed);
        self.tell_loss(
            now,
            name,
            "its master has not heard it for a lease; another is started",
        );
        self.settle(now);
    }

    /// It hears the worker, for the first time or again: its place may be taken by now.
    pub fn on_heard(&mut self, now: Instant, name: Arc<str>) {
        if !self.gone.contains_key(&name) {
            // Its pod may be seen later: the queue and the watch of the cluster are not ordered.
            self.greetings.heard(name.clone());
        }
        let Some(pod) = self.pods.get_mut(&name) else {
            return;
        };
        let was_missed = pod.life.is_missed() || pod.life.is_untaken();
        pod.apply(now, Report::Heard);
        self.tell_return(now, &name);
        if was_missed {
            self.leave_if_too_many(now, name);
        }
        self.settle(now);
    }

    /// Applies a status; true if the pod counts as supply again, after its node was silent or had not begun with it.
    fn move_pod(&mut self, now: Instant, pod: PodName, verdict: Verdict) -> bool {
        let name = pod.name.clone();
        let entry = self.pods.entry(pod.name);
        let entry = entry.or_insert_with(|| Pod::new(now, pod.cohort));
        entry.node = pod.node.or_else(|| entry.node.take());
        let was_away = *entry.life.phase() == Phase::NodeSilent || entry.life.is_untaken();
        self.losing |= entry.apply(now, Report::Status(verdict));
        let returned = was_away && entry.life.supplies();
        if *entry.life.phase() == Phase::NodeSilent {
            self.tell_loss(now, &name, "its node does not answer (NotReady)");
        } else if returned {
            self.tell_return(now, &name);
        }
        returned
    }

    /// A worker that is wanted is gone, or as good as gone. Told once of each.
    fn tell_loss(&mut self, now: Instant, name: &Arc<str>, reason: &str) {
        if self.wanted() == 0 {
            return;
        }
        if let Some(pod) = self.pods.get_mut(name)
            && pod.life.is_loss_untold()
        {
            pod.apply(now, Report::LossTold);
            self.notices
                .lost(now, name.clone(), pod.node.as_deref(), reason);
        }
    }

    fn tell_return(&mut self, now: Instant, name: &Arc<str>) {
        if let Some(pod) = self.pods.get_mut(name)
            && pod.life.is_loss_told()
        {
            pod.apply(now, Report::ReturnTold);
            self.notices.back(now, name.clone());
        }
    }

    /// A node that does not take its pod is as good as gone: the pod is no supply until it does.
    pub(super) fn note_untaken(&mut self, now: Instant) {
        let due = |pod: &&mut Pod| pod.life.overdue_at().is_some_and(|at| now >= at);
        for pod in self.pods.values_mut().filter(due) {
            self.losing |= pod.apply(now, Report::Time);
        }
    }

    /// A pod that came when its place was already taken is told to leave.
    fn leave_if_too_many(&mut self, now: Instant, name: Arc<str>) {
        if self.supply() <= self.wanted() {
            return;
        }
        if let Some(pod) = self.pods.get_mut(&name)
            && pod.life.supplies()
        {
            pod.apply(now, Report::Dismissed);
            self.tell(FleetEvent::Surplus(name));
        }
    }

    fn pod_gone(&mut self, now: Instant, pod: PodName, gone: Gone) {
        let greeted = self.has_greeted(&pod.name);
        if gone.end != End::Left || !greeted {
            self.tell_loss(now, &pod.name, &gone.reason);
        }
        let known = self.pods.remove(&pod.name);
        let ungreeted = self.greetings.ended(now, &pod.name);
        let surplus = known.as_ref().is_some_and(|known| known.life.is_surplus());
        // That it is not heard any more says nothing now: it has ended.
        let reachable = known.is_none_or(|known| !known.life.is_on_silent_node());
        let cohort = pod.cohort;
        self.gone
            .insert(pod.name.clone(), Remains { cohort, reachable });
        self.losing = true;
        if gone.fatal {
            if let Some(cohort) = self.cohorts.get_mut(&pod.cohort) {
                cohort.finished = true;
            }
            // These words are better than the Job's, which may have come first.
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
        self.tell(FleetEvent::Gone(gone.departure(pod.name)));
        self.retire_ended();
    }

    /// Whether workers live long enough to work. One that wrote down a task was at work, and a task may be to blame.
    /// One that never greeted was no worker, whatever its exit code: its program may not even be this one.
    fn count_early_end(&mut self, now: Instant, gone: &Gone, surplus: bool, greeted: bool) {
        if !gone.running.is_empty() || (greeted && !gone.brief) {
            self.early_ends = None;
            return;
        }
        let left = gone.end == End::Left;
        if surplus || !gone.by_itself || (greeted && left) {
            return;
        }
        let died = left || matches!(gone.end, End::Died(_) | End::OutOfMemory(_));
        let early_ends = self.early_ends.get_or_insert(EarlyEnds {
            since: now,
            deaths: 0,
            reason: String::new(),
        });
        early_ends.deaths += u32::from(died);
        early_ends.reason = if left {
            format!(
                "{} before it greeted its master; the image must hold this very program, whose main begins with podpool::init() or #[podpool::main]",
                gone.reason
            )
        } else {
            gone.reason.clone()
        };
    }
}
