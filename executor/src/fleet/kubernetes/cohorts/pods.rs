//! What is known of each pod, and what its verdicts change.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::fleet::{End, FleetEvent};
use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::{Context, Gone, Patience, Verdict, judge_pod_note};
use super::{Barren, PodName, Remains, State};

/// How long a node may take to acknowledge a pod; a living one does within a second or two, before it pulls an image.
const TAKEN: Duration = Duration::from_secs(15);
/// What is known of a pod that a new list does not show.
const REMOVED: &str = "it was removed while the cluster could not be heard";

/// A pod that has not ended.
#[derive(Debug)]
pub(super) struct PodState {
    pub(super) cohort: u32,
    pub(super) phase: Phase,
    /// Its node fell silent at some time.
    silent: bool,
    /// It was told to leave: it counts no more.
    pub(super) surplus: bool,
    /// The dispatcher does not hear it, whatever its node says.
    pub(super) unheard: bool,
    /// Since when it is assigned to a node that has not taken it.
    assigned: Option<Instant>,
    /// It waited too long for its node.
    untaken: bool,
    node: Option<Arc<str>>,
    /// Its loss was told.
    told: bool,
}

/// Where a pod is.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not running yet, since when, and why.
    Starting(Trouble),
    Running,
    Silent,
    Leaving,
}

/// Why something does not start.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) since: Instant,
    /// None while nothing is wrong but the time it takes.
    pub(super) patience: Option<Patience>,
    pub(super) reason: String,
    /// A warning told it, and the pod's status does not.
    noted: bool,
}

impl Trouble {
    pub(super) fn new(since: Instant, patience: Option<Patience>, reason: String) -> Self {
        Self {
            since,
            patience,
            reason,
            noted: false,
        }
    }

    /// Somebody holds it, and may let it go at any time.
    pub(super) fn is_hold(&self) -> bool {
        self.patience.is_none() && !self.reason.is_empty()
    }

    fn noted(self) -> Self {
        Self {
            noted: true,
            ..self
        }
    }

    /// Takes the newer words; the time goes on while it is the same kind of trouble.
    pub(super) fn renew(known: &mut Option<Self>, newer: Self) {
        match known {
            Some(known) if known.patience == newer.patience => known.reason = newer.reason,
            _ => *known = Some(newer),
        }
    }
}

impl PodState {
    pub(super) fn supplies(&self) -> bool {
        let comes = matches!(self.phase, Phase::Starting(_) | Phase::Running);
        comes && !self.surplus && !self.unheard && !self.untaken
    }

    /// Whether its node can be expected to remove it. One that is gone cannot: the pod stays, by name, until the
    /// cluster gives the node up.
    /// <https://kubernetes.io/docs/concepts/architecture/nodes/#condition>
    pub(super) fn is_reachable(&self) -> bool {
        !self.unheard && !self.untaken && !self.is_on_silent_node()
    }

    pub(super) const fn is_on_silent_node(&self) -> bool {
        self.silent && !matches!(self.phase, Phase::Running)
    }

    /// Whether its program runs, on a node that answers. One that has not begun is not waited for: it goes with its Job.
    pub(super) const fn may_leave(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Leaving) && !self.is_on_silent_node()
    }

    /// What is wrong with its node, if that does not take it.
    pub(super) fn untaken_reason(&self) -> Option<String> {
        let node = self.node.as_deref().unwrap_or("of the pod");
        self.untaken.then(|| {
            format!("a node takes no pods: node {node} has not begun with its pod for {TAKEN:?}, and another pod is started")
        })
    }

    /// When it has waited too long for its node.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        self.assigned
            .filter(|_| !self.untaken)
            .map(|at| after(at, TAKEN))
    }
}

impl State {
    /// What [`judge_pod`](super::super::diagnose::judge_pod) must know of a pod beside its status.
    #[must_use]
    pub fn context(&self, name: &str) -> Context {
        Context {
            silent: self.pods.get(name).is_some_and(|pod| pod.silent),
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
                self.leave_if_too_many(name);
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
            && let Phase::Starting(known) = &mut pod.phase
        {
            let mut trouble = Some(known.clone());
            Trouble::renew(
                &mut trouble,
                Trouble::new(now, Some(patience), reason).noted(),
            );
            if let Some(trouble) = trouble {
                *known = trouble;
            }
        }
        self.settle(now);
    }

    /// The dispatcher heard nothing of a worker for a lease: sooner than a cluster notices that a node is gone.
    pub fn on_silence(&mut self, now: Instant, name: &Arc<str>) {
        let Some(pod) = self.pods.get_mut(name) else {
            return;
        };
        self.losing |= pod.supplies();
        pod.unheard = true;
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
            // Its pod may be seen later.
            self.greetings.heard(name.clone());
        }
        let Some(pod) = self.pods.get_mut(&name) else {
            return;
        };
        // It works: whatever its status says, its node has taken it.
        pod.assigned = None;
        let was_missed = std::mem::take(&mut pod.unheard) | std::mem::take(&mut pod.untaken);
        self.tell_return(now, &name);
        if was_missed {
            self.leave_if_too_many(name);
        }
        self.settle(now);
    }

    /// Notes where a pod is; true if it came back from a silent node.
    fn move_pod(&mut self, now: Instant, pod: PodName, verdict: Verdict) -> bool {
        let fresh = || Trouble::new(now, None, String::new());
        let name = pod.name.clone();
        let entry = self.pods.entry(pod.name).or_insert_with(|| PodState {
            cohort: pod.cohort,
            phase: Phase::Starting(fresh()),
            silent: false,
            surplus: false,
            unheard: false,
            assigned: None,
            untaken: false,
            node: None,
            told: false,
        });
        entry.node = pod.node.or_else(|| entry.node.take());
        let supplied = entry.supplies();
        let was_silent = matches!(entry.phase, Phase::Silent) || entry.untaken;
        entry.assigned = match verdict {
            Verdict::Assigned => entry.assigned.or(Some(now)),
            _ => None,
        };
        // Being deleted says nothing of the node.
        entry.untaken &= matches!(verdict, Verdict::Assigned | Verdict::Leaving);
        match verdict {
            Verdict::Starting | Verdict::Assigned => {
                // What a warning told stays until the worker runs: the status keeps silent about it.
                let stays = |known: &Trouble| known.noted || known.patience.is_none();
                if !matches!(&entry.phase, Phase::Starting(known) if stays(known)) {
                    entry.phase = Phase::Starting(fresh());
                }
            }
            Verdict::Waiting { word } => {
                // Nothing counts against it: whoever holds it may let it go at any time.
                entry.phase = Phase::Starting(Trouble::new(now, None, word));
            }
            Verdict::CannotStart { reason, patience } => {
                let mut known = match &entry.phase {
                    Phase::Starting(known) => Some(known.clone()),
                    _ => None,
                };
                Trouble::renew(&mut known, Trouble::new(now, Some(patience), reason));
                entry.phase = Phase::Starting(known.unwrap_or_else(fresh));
            }
            Verdict::Running => entry.phase = Phase::Running,
            Verdict::Silent => {
                entry.silent = true;
                entry.phase = Phase::Silent;
            }
            // An ended pod does not come here.
            Verdict::Leaving | Verdict::Gone(_) => entry.phase = Phase::Leaving,
        }
        let supplies = entry.supplies();
        self.losing |= supplied && !supplies;
        if matches!(entry.phase, Phase::Silent) {
            self.tell_loss(now, &name, "its node does not answer (NotReady)");
        } else if was_silent && supplies {
            self.tell_return(now, &name);
        }
        was_silent && supplies
    }

    /// A worker that is wanted is gone, or as good as gone. Told once of each.
    fn tell_loss(&mut self, now: Instant, name: &Arc<str>, reason: &str) {
        if self.wanted() == 0 {
            return;
        }
        if let Some(pod) = self.pods.get_mut(name)
            && !pod.surplus
            && !std::mem::replace(&mut pod.told, true)
        {
            self.notices
                .lost(now, name.clone(), pod.node.as_deref(), reason);
        }
    }

    fn tell_return(&mut self, now: Instant, name: &Arc<str>) {
        if let Some(pod) = self.pods.get_mut(name)
            && std::mem::take(&mut pod.told)
        {
            self.notices.back(now, name.clone());
        }
    }

    /// A node that does not take its pod is as good as gone: the pod is no supply until it does.
    pub(super) fn note_untaken(&mut self, now: Instant) {
        for pod in self.pods.values_mut() {
            if pod.overdue_at().is_some_and(|at| now >= at) {
                self.losing |= pod.supplies();
                pod.untaken = true;
            }
        }
    }

    /// A pod that came when its place was already taken is told to leave.
    fn leave_if_too_many(&mut self, name: Arc<str>) {
        if self.supply() <= self.wanted() {
            return;
        }
        if let Some(pod) = self.pods.get_mut(&name)
            && pod.supplies()
        {
            pod.surplus = true;
            self.tell(FleetEvent::Surplus(name));
        }
    }

    fn pod_gone(&mut self, now: Instant, pod: PodName, gone: Gone) {
        let greeted = self.has_greeted(&pod.name);
        if gone.end != End::Left || !greeted {
            self.tell_loss(now, &pod.name, &gone.reason);
        }
        let known = self.pods.remove(&pod.name);
        let mute = self.greetings.ended(now, &pod.name);
        let surplus = known.as_ref().is_some_and(|known| known.surplus);
        // That it is not heard any more says nothing now: it has ended.
        let reachable = known.is_none_or(|known| !known.is_on_silent_node());
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
            self.count_barren(now, &gone, surplus, greeted);
            if let Some(ran) = mute {
                self.judge_mute_end(now, &pod.name, &gone, ran);
            }
        }
        self.tell(FleetEvent::Gone(gone.departure(pod.name)));
        self.retire_ended();
    }

    /// Whether workers live long enough to work. One that wrote down a task was at work, and a task may be to blame.
    /// One that never greeted was no worker, whatever its exit code: its program may not even be this one.
    fn count_barren(&mut self, now: Instant, gone: &Gone, surplus: bool, greeted: bool) {
        if !gone.running.is_empty() || (greeted && !gone.brief) {
            self.barren = None;
            return;
        }
        let left = gone.end == End::Left;
        if surplus || !gone.by_itself || (greeted && left) {
            return;
        }
        let died = left || matches!(gone.end, End::Died(_) | End::OutOfMemory(_));
        let barren = self.barren.get_or_insert(Barren {
            since: now,
            deaths: 0,
            reason: String::new(),
        });
        barren.deaths += u32::from(died);
        barren.reason = if left {
            format!(
                "{} before it greeted its master; the image must hold this very program, whose main begins with podpool::init() or #[podpool::main]",
                gone.reason
            )
        } else {
            gone.reason.clone()
        };
    }
}
