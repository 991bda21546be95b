//! What the fleet decides: when to open a cohort and how large, which workers are lost or surplus, when to give up.
//!
//! Pure: its inputs are events and the time, its outputs are effects for the loop to carry out. *Supply* is the number
//! of workers that run or are starting; a pod on a silent node, one that is being deleted and a surplus one do not
//! count. *Wanted* is the number of workers that the unfinished tasks can use. While supply is below wanted, a cohort
//! is opened for the difference, after a pause that lets further losses (or submissions) join it.

mod broken;
mod causes;
mod cohort;
mod effect;
mod greeting;
mod jobs;
mod notices;
mod pod;
mod pods;
mod room;
mod supply;
mod trouble;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::{self, ClassId};
use podpool_core::fleet::FleetEvent;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::diagnose::Patience;
use cohort::Cohort;
use greeting::Greetings;
use notices::Notices;
use pod::Pod;
use room::Rooms;
use supply::pause;
use view::ReportedSupply;

pub use effect::{Effect, OpenError};
pub use notices::Notice;
pub use room::RoomReport;

/// Time to wait for the status of a failed worker's pod after its Job has failed: the watches of Jobs and pods are not
/// ordered, and the pod's termination message is more precise than the Job's condition.
// A resource version orders the changes of one kind of object, not those of two kinds.
// <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>
// The kubelet reported the exit before the Job controller could act on it, so the pod's event is on its way already.
const STATUS_DELAY: Duration = Duration::from_secs(2);
/// How long an object that a pod names may be missing.
// The kubelet looks again 10 s to 15 s after its first look, and mounts of volumes and the Job controller sooner.
// <https://github.com/kubernetes/kubernetes/blob/v1.34.4/pkg/kubelet/kubelet.go>, `backOffPeriod`.
const SECOND_LOOK: Duration = Duration::from_secs(16);
/// How long a node may be unable to make a container, while other workers may be made elsewhere.
const NODE: Duration = Duration::from_secs(180);

/// Bounds of a fleet.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most workers at a time.
    pub max_workers: u32,
    /// Tasks that a worker runs at a time.
    pub slots: u32,
    /// How long an image or a setting may be refused.
    pub start: Duration,
    /// How long workers may wait for a node or a quota.
    pub schedule: Duration,
}

impl Limits {
    /// How long trouble of this kind is accepted. `pulled`: workers of the class have had their image.
    fn patience(&self, kind: Patience, pulled: bool) -> Duration {
        match kind {
            Patience::Final => Duration::ZERO,
            Patience::SecondLook => SECOND_LOOK.min(self.start),
            Patience::Pull | Patience::AsBefore if pulled => self.schedule.max(self.start),
            Patience::Start | Patience::Pull | Patience::AsBefore => self.start,
            Patience::Node => NODE.min(self.schedule),
            Patience::Registry | Patience::Schedule => self.schedule,
        }
    }
}

/// A pod, as its labels name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Its name.
    pub name: Arc<str>,
    /// Number of its cohort.
    pub cohort: u32,
    /// The class of the tasks that it runs.
    pub class: ClassId,
    /// Its index in the cohort.
    pub index: u32,
    /// The node that it is assigned to, if any.
    pub node: Option<Arc<str>>,
}

/// A pod that has ended and still exists.
#[derive(Clone, Copy, Debug)]
struct EndedPod {
    cohort: u32,
    /// Whether its node can be expected to remove it.
    reachable: bool,
}

/// The state of all cohorts and pods of a run.
#[derive(Debug)]
pub struct Cohorts {
    limits: Limits,
    /// Workers that the unfinished tasks of each class could use, and what the class gets of them.
    useful: BTreeMap<ClassId, u32>,
    wanted: BTreeMap<ClassId, u32>,
    cohorts: BTreeMap<u32, Cohort>,
    pods: HashMap<Arc<str>, Pod>,
    greetings: Greetings,
    /// Pods whose end was reported. They may be listed again until their Job is deleted.
    // An ended pod stays as an object until its Job is deleted, so the map is bounded by the pods of the run.
    gone: HashMap<Arc<str>, EndedPod>,
    /// Classes of which a worker has had its image.
    pulled: BTreeSet<ClassId>,
    /// What is known of the room that nodes have for pods without one.
    rooms: Rooms,
    /// Cohorts that could not be completed: later events of their Jobs are ignored.
    refusals: HashSet<u32>,
    // Never decreases: a number that is used twice would name two Jobs, and two sets of control subscriptions, alike.
    next: u32,
    /// Whether the run's Jobs were listed once.
    jobs_known: bool,
    opening: bool,
    opened_at: Option<Instant>,
    /// Since when supply is below wanted, and whether because of a loss.
    short: Option<Instant>,
    losing: bool,
    /// Failed attempts to open a cohort in a row: since when, how many, the last reason.
    refused: Option<(Instant, u32, String)>,
    /// No cohort is opened before this time.
    not_before: Option<Instant>,
    /// Workers in a row that ended early.
    early_ends: Option<EarlyEnds>,
    /// The fleet ends with this reason at this time, unless other workers run by then or a more precise reason comes
    /// before.
    fatal: Option<(Instant, String)>,
    /// The reason that would have ended the fleet if no worker had run; until a cohort is opened again.
    withheld: Option<String>,
    /// No further worker can start, for this reason.
    over: Option<String>,
    broken: bool,
    notices: Notices,
    reported: ReportedSupply,
    effects: Vec<Effect>,
}

/// Workers that ended right after their start or before they greeted, in a row.
#[derive(Debug)]
struct EarlyEnds {
    since: Instant,
    deaths: u32,
    /// How the last one ended.
    reason: String,
}

impl Cohorts {
    /// A fleet without workers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            useful: BTreeMap::new(),
            wanted: BTreeMap::new(),
            cohorts: BTreeMap::new(),
            pods: HashMap::new(),
            greetings: Greetings::default(),
            gone: HashMap::new(),
            pulled: BTreeSet::new(),
            rooms: Rooms::default(),
            refusals: HashSet::new(),
            next: 0,
            jobs_known: false,
            opening: false,
            opened_at: None,
            short: None,
            losing: false,
            refused: None,
            not_before: None,
            early_ends: None,
            fatal: None,
            withheld: None,
            over: None,
            broken: false,
            notices: Notices::default(),
            reported: ReportedSupply::default(),
            effects: Vec::new(),
        }
    }

    /// Sets the number of tasks of a class that have not ended.
    pub fn on_needed(&mut self, now: Instant, class: ClassId, unfinished: usize) {
        // In a large run the number changes often, and mostly changes nothing here.
        // `settle` visits every pod, so it must not run for each task that ends.
        if self.want(class, unfinished) {
            self.settle(now);
        }
    }

    /// The requested cohort exists.
    pub fn on_opened(&mut self, now: Instant) {
        self.opening = false;
        self.refused = None;
        // The reason was withheld because of an earlier cohort. If the new cohort fails for the same reason, its own
        // Job or pod reports that reason again.
        self.withheld = None;
        self.settle(now);
    }

    /// The requested cohort could not be created.
    pub fn on_refused(&mut self, now: Instant, cohort: u32, refusal: OpenError) {
        self.opening = false;
        // The number is never used again: the watch may still report the Job that the opener deletes.
        self.refusals.insert(cohort);
        if let Some(refused) = self.cohorts.remove(&cohort) {
            self.effects.push(Effect::Retire(refused.named(cohort)));
        }
        // The time of the first refusal is kept, so that the schedule timeout covers all attempts in a row together.
        let (since, times) = match self.refused {
            Some((since, times, _)) => (since, times + 1),
            None => (now, 1),
        };
        self.not_before = Some(after(now, pause(times)));
        // Both end the fleet only when no worker runs any more: running ones can still finish the work.
        if refusal.over {
            self.over = Some(refusal.reason.clone());
        } else if refusal.lasting {
            self.fatal(now, refusal.reason.clone());
        }
        self.refused = Some((since, times, refusal.reason));
        self.settle(now);
    }

    /// The cluster has not answered since `since`, for this reason.
    pub fn on_unanswered(&mut self, now: Instant, since: Instant, reason: String) {
        self.notices.unanswered(since, reason);
        self.settle(now);
    }

    /// The cluster answers.
    pub fn on_answered(&mut self, now: Instant) {
        let relief = self.notices.answered(now);
        self.effects.extend(relief.map(Effect::Notify));
    }

    /// The master may not watch the workers.
    pub fn on_denied(&mut self, now: Instant, reason: String) {
        self.fatal(now, reason);
        self.settle(now);
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) {
        self.settle(now);
    }

    /// The effects to carry out, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A cohort of this number exists that is not this master's.
    pub fn begin_after(&mut self, cohort: u32) {
        self.next = self.next.max(cohort.saturating_add(1));
    }

    /// The cohorts whose Jobs exist and may make pods.
    #[must_use]
    pub fn going(&self) -> Vec<u32> {
        let going = self.cohorts.iter().filter(|(_, it)| !it.finished);
        going.map(|(number, _)| *number).collect()
    }

    /// Whether workers run or are starting, or none is wanted.
    #[must_use]
    pub fn has_supply(&self) -> bool {
        self.supply() > 0 || self.wanted() == 0
    }

    /// Whether no worker can start, and none is alive.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Why fewer workers run than are wanted, as far as it is known.
    #[must_use]
    pub fn why_short(&self) -> String {
        let refused = self.refused.as_ref().map(|(.., reason)| reason.clone());
        let fatal = self.fatal.as_ref().map(|(_, reason)| reason.clone());
        let known = self.over.clone().or(fatal).or(refused);
        known.unwrap_or_else(|| "the cluster has not answered yet".to_owned())
    }

    /// When [`on_tick`](Self::on_tick) must be called next, if at all.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.broken {
            return None;
        }
        // While a cohort is being created, or none may be, the time since which supply is short wakes nothing. That
        // time may pass meanwhile, and a deadline in the past would make the loop turn without a pause.
        let opens = !self.opening && self.over.is_none() && self.greetings.failure().is_none();
        let open = self.short.filter(|_| opens);
        let open = open.map(|since| self.open_at(since));
        let untaken = self.pods.values().filter_map(|pod| pod.life.overdue_at());
        open.into_iter()
            .chain(self.broken_at(now))
            .chain(untaken)
            .chain(self.notices.deadline(now))
            .chain(self.greetings.due(self.limits.start))
            .chain(self.rooms.due())
            .min()
    }

    /// Number of pods whose program runs and can exit without being deleted, on nodes that would report it.
    #[must_use]
    pub fn pods_left(&self) -> usize {
        let pods = self.pods.values();
        pods.filter(|pod| pod.life.may_leave()).count()
    }

    /// Number of pods that still exist, ended or not, in the cohorts that `of` selects, on nodes that can remove them.
    #[must_use]
    pub fn objects_left(&self, of: impl Fn(u32) -> bool) -> usize {
        // A deleted pod stays as an object until the kubelet of its node has confirmed that its containers have ended,
        // so a pod on a silent node would be waited for in vain.
        // <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>
        let pods = self.pods.values();
        let pods = pods.filter(|pod| !pod.life.is_on_silent_node() && of(pod.cohort));
        let gone = self.gone.values();
        let gone = gone.filter(|remains| remains.reachable && of(remains.cohort));
        pods.count() + gone.count()
    }

    /// Names of the pods that still exist in the cohorts that `of` selects, and whether the node of each can be
    /// expected to remove the pod.
    pub fn names_left(&self, of: impl Fn(u32) -> bool) -> impl Iterator<Item = (&Arc<str>, bool)> {
        let pods = self.pods.iter();
        let pods = pods.map(|(name, pod)| (name, pod.cohort, pod.life.is_reachable()));
        let gone = self.gone.iter();
        let gone = gone.map(|(name, remains)| (name, remains.cohort, remains.reachable));
        let all = pods.chain(gone).filter(move |(_, cohort, _)| of(*cohort));
        all.map(|(name, _, reachable)| (name, reachable))
    }

    /// Cohorts whose queues were not retired.
    #[must_use]
    pub fn unretired(&self) -> Vec<broker::Cohort> {
        let unretired = self.cohorts.iter().filter(|(_, cohort)| !cohort.retired);
        unretired
            .map(|(number, cohort)| cohort.named(*number))
            .collect()
    }

    /// Runs after every change: gives up, or opens a cohort for what is missing, and issues notices.
    fn settle(&mut self, now: Instant) {
        self.reported.changed();
        // The order matters: first the pods that do not count any more, then the verdict on the fleet, then the cohort
        // for what is missing, and the notices last, so that they describe the result.
        self.note_untaken(now);
        self.note_ungreeted(now);
        self.look_for_room(now);
        self.judge(now);
        // A broken fleet opens nothing and issues no notice: dispatch reports the reason of the break itself.
        if self.broken {
            return;
        }
        self.open_missing(now);
        self.notify(now);
    }

    /// The cohort of this number, which may be new: it was requested now, or by a master before this one.
    fn cohort(&mut self, now: Instant, number: u32, class: ClassId) -> &mut Cohort {
        let cohort = self.cohorts.entry(number);
        cohort.or_insert_with(|| Cohort::new(now, class))
    }

    /// Retires the queues of finished cohorts that have no pod left.
    // Costs cohorts × pods at worst, but only a cohort that has finished and is not retired yet looks at the pods.
    fn retire_ended(&mut self) {
        for (number, cohort) in &mut self.cohorts {
            // A pod that still runs needs its control subscription until it has ended.
            let ended = cohort.finished && !cohort.retired;
            if ended && !self.pods.values().any(|pod| pod.cohort == *number) {
                cohort.retired = true;
                self.effects.push(Effect::Retire(cohort.named(*number)));
            }
        }
    }

    fn report(&mut self, event: FleetEvent) {
        self.effects.push(Effect::Report(event));
    }
}

#[cfg(test)]
mod tests;
