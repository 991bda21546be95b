//! What the fleet decides: when to open a cohort and how large, who is gone, who is surplus, when to give up.
//!
//! Pure: told what happened and the time, it leaves effects to be done. *Supply* is what runs or is on its way; a
//! silent pod, one that is being deleted and one that was told to leave are none of it. *Wanted* is what the unfinished
//! tasks can use. While supply is short a cohort is opened for the difference, after a pause in which other losses (or
//! submissions) can join it.

mod broken;
mod causes;
mod cohort;
mod greeting;
mod notices;
mod pod;
mod pods;
mod trouble;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use podpool_core::fleet::FleetEvent;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::diagnose::{JobVerdict, Patience, Verdict, judge_job_note};
use cohort::Cohort;
use greeting::Greetings;
use notices::Notices;
use pod::Pod;
use trouble::Trouble;

pub use notices::Notice;

/// Losses wait so long for others before a cohort is opened for them.
const GATHER_LOSSES: Duration = Duration::from_secs(1);
/// Submissions wait so long for others, so that the first cohort has the right size.
const GATHER_WORK: Duration = Duration::from_millis(200);
/// At most one cohort is opened in this time.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest pause after cohorts that came to nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A Job may end before its worker's own words have arrived: these are worth waiting for.
const WORDS: Duration = Duration::from_secs(2);

/// What a fleet may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most workers at a time.
    pub max_workers: u32,
    /// Tasks that a worker runs at a time.
    pub slots: u32,
    /// How long an image or a setting may be refused.
    pub start: Duration,
    /// How long workers may wait for a place.
    pub schedule: Duration,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make this cohort; [`Cohorts::on_opened`] or [`Cohorts::on_refused`] is the answer.
    Open {
        /// Its number.
        cohort: u32,
        /// Its workers.
        size: u32,
    },
    /// The cohort's queues are of no more use.
    Retire {
        /// Its number.
        cohort: u32,
        /// Its workers.
        size: u32,
    },
    /// Tell the dispatcher.
    Report(FleetEvent),
    /// Tell whoever uses the pool.
    Notify(Notice),
    /// Read the end of this pod's log; [`Cohorts::on_log`] is the answer.
    ReadLog(Arc<str>),
}

/// Why a cohort could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// Whether asking again is of no use, unless somebody changes what is allowed.
    pub lasting: bool,
    /// Whether nothing that anybody grants can help: the namespace is being removed.
    pub over: bool,
    /// What the cluster said, and what to do.
    pub reason: String,
}

/// A pod, as its labels name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Its name.
    pub name: Arc<str>,
    /// Its cohort.
    pub cohort: u32,
    /// Its index in the cohort.
    pub index: u32,
    /// The node that it was given to, if any.
    pub node: Option<Arc<str>>,
}

/// A pod that has ended and still exists.
#[derive(Clone, Copy, Debug)]
struct Remains {
    cohort: u32,
    /// Whether its node can be expected to remove it.
    reachable: bool,
}

/// What the fleet knows.
#[derive(Debug)]
pub struct Cohorts {
    limits: Limits,
    unfinished: usize,
    cohorts: BTreeMap<u32, Cohort>,
    pods: HashMap<Arc<str>, Pod>,
    greetings: Greetings,
    /// Pods whose end was told. They may be listed again until their Job goes.
    gone: HashMap<Arc<str>, Remains>,
    /// Cohorts that could not be completed: what is still heard of their Jobs means nothing.
    refusals: HashSet<u32>,
    next: u32,
    opening: bool,
    opened_at: Option<Instant>,
    /// Since when supply is short, and whether by a loss.
    short: Option<Instant>,
    losing: bool,
    /// Refusals in a row, and the first.
    refused: Option<(Instant, u32, String)>,
    /// No cohort before this.
    not_before: Option<Instant>,
    /// Workers in a row that died early, the first, and the last one's words.
    early_ends: Option<EarlyEnds>,
    /// The fleet must end with this reason, unless others live or a better one comes before the time.
    fatal: Option<(Instant, String)>,
    /// What would have ended the fleet, if nobody had lived; until a cohort is opened again.
    withheld: Option<String>,
    /// No worker can come any more, for this reason.
    over: Option<String>,
    broken: bool,
    notices: Notices,
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
            unfinished: 0,
            cohorts: BTreeMap::new(),
            pods: HashMap::new(),
            greetings: Greetings::default(),
            gone: HashMap::new(),
            refusals: HashSet::new(),
            next: 0,
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
            effects: Vec::new(),
        }
    }

    /// So many tasks have not ended.
    pub fn on_needed(&mut self, now: Instant, unfinished: usize) {
        let before = self.wanted();
        self.unfinished = unfinished;
        // Of a large run this is said often, and means the same.
        if self.wanted() != before {
            self.settle(now);
        }
    }

    /// The cohort that was asked for exists.
    pub fn on_opened(&mut self, now: Instant) {
        self.opening = false;
        self.refused = None;
        self.withheld = None;
        self.settle(now);
    }

    /// The cohort that was asked for could not be made.
    pub fn on_refused(&mut self, now: Instant, cohort: u32, refusal: OpenError) {
        self.opening = false;
        self.refusals.insert(cohort);
        if let Some(refused) = self.cohorts.remove(&cohort) {
            self.effects.push(Effect::Retire {
                cohort,
                size: refused.size,
            });
        }
        let (since, times) = match self.refused {
            Some((since, times, _)) => (since, times + 1),
            None => (now, 1),
        };
        self.not_before = Some(after(now, pause(times)));
        if refusal.over {
            self.over = Some(refusal.reason.clone());
        } else if refusal.lasting {
            self.fatal(now, refusal.reason.clone());
        }
        self.refused = Some((since, times, refusal.reason));
        self.settle(now);
    }

    /// A Job of the run was seen. One that nobody here asked for is taken in: the run had a master before.
    pub fn on_job(&mut self, now: Instant, cohort: u32, size: u32, verdict: &JobVerdict) {
        if self.refusals.contains(&cohort) {
            return;
        }
        self.next = self.next.max(cohort.saturating_add(1));
        let known = self.cohort(now, cohort);
        known.size = size;
        known.listed = true;
        if known.finished {
            return self.settle(now);
        }
        if matches!(verdict, JobVerdict::Going | JobVerdict::Held) {
            known.hold(now, *verdict == JobVerdict::Held);
            return self.settle(now);
        }
        known.finished = true;
        known.trouble = None;
        match verdict {
            JobVerdict::Going | JobVerdict::Held | JobVerdict::Done => {}
            JobVerdict::Refused(message) => {
                let reason = format!("a worker says that none can do its work: {message}");
                self.fatal(after(now, WORDS), reason);
            }
            JobVerdict::Overdue => {
                let reason = "the run's deadline is over, and its workers were ended; give it more time with run_deadline";
                self.fatal(now, reason.to_owned());
            }
            JobVerdict::Failed(message) => {
                let text = format!("Job c{cohort} makes no more pods: {message}");
                self.effects.push(Effect::Notify(Notice::trouble(text)));
            }
        }
        self.settle(now);
    }

    /// A Job of the run is no more.
    pub fn on_job_removed(&mut self, now: Instant, cohort: u32) {
        // One that is being opened is removed by ourselves, when it cannot be completed.
        let ours = self.opening && cohort + 1 == self.next;
        let Some(known) = self.cohorts.get_mut(&cohort).filter(|_| !ours) else {
            return;
        };
        let by_hand = !known.finished;
        known.finished = true;
        known.listed = false;
        if by_hand && self.cohorts.values().all(|cohort| cohort.finished) {
            let reason = "somebody deleted the run's Jobs, or the namespace with them; start the run again if that was an accident";
            self.fatal(now, reason.to_owned());
        }
        self.retire_ended();
        self.settle(now);
    }

    /// The list of Jobs was read anew: those that were seen and are not on it are no more.
    pub fn on_jobs_listed(&mut self, now: Instant, listed: &HashSet<u32>) {
        let missing: Vec<u32> = self
            .cohorts
            .iter()
            .filter(|(number, cohort)| cohort.listed && !listed.contains(number))
            .map(|(number, _)| *number)
            .collect();
        for cohort in missing {
            self.on_job_removed(now, cohort);
        }
    }

    /// The cluster has not answered since then, for this reason.
    pub fn on_unanswered(&mut self, now: Instant, since: Instant, reason: String) {
        self.notices.unanswered(since, reason);
        self.settle(now);
    }

    /// The cluster answers.
    pub fn on_answered(&mut self, now: Instant) {
        let relief = self.notices.answered(now);
        self.effects.extend(relief.map(Effect::Notify));
    }

    /// Nothing may be seen of the workers.
    pub fn on_denied(&mut self, now: Instant, reason: String) {
        self.fatal(now, reason);
        self.settle(now);
    }

    /// The cluster warns about a Job.
    pub fn on_job_note(&mut self, now: Instant, cohort: u32, reason: &str, message: &str) {
        let verdict = judge_job_note(reason, message);
        if let Some(Verdict::CannotStart { reason, patience }) = verdict
            && let Some(known) = self.cohorts.get_mut(&cohort)
        {
            let newer = Trouble::new(now, Some(patience), reason);
            known.trouble = Some(match known.trouble.take() {
                Some(trouble) => trouble.renewed(newer),
                None => newer,
            });
        }
        self.settle(now);
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: Instant) {
        self.settle(now);
    }

    /// What is to be done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When [`on_tick`](Self::on_tick) must be called next, if at all.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.broken {
            return None;
        }
        let opens = !self.opening && self.over.is_none() && self.greetings.failure().is_none();
        let open = self.short.filter(|_| opens);
        let open = open.map(|since| self.open_at(since));
        let untaken = self.pods.values().filter_map(|pod| pod.life.overdue_at());
        open.into_iter()
            .chain(self.broken_at(now))
            .chain(untaken)
            .chain(self.notices.deadline(now))
            .chain(self.greetings.due(self.limits.start))
            .min()
    }

    /// Pods whose program runs and may leave by itself, on nodes that would tell of it.
    #[must_use]
    pub fn pods_left(&self) -> usize {
        let pods = self.pods.values();
        pods.filter(|pod| pod.life.may_leave()).count()
    }

    /// Pods that still exist, ended or not, of cohorts that this is true of, on nodes that would remove them.
    #[must_use]
    pub fn objects_left(&self, of: impl Fn(u32) -> bool) -> usize {
        let pods = self.pods.values();
        let pods = pods.filter(|pod| !pod.life.is_on_silent_node() && of(pod.cohort));
        let gone = self.gone.values();
        let gone = gone.filter(|remains| remains.reachable && of(remains.cohort));
        pods.count() + gone.count()
    }

    /// Their names, and whether a node can be expected to remove them.
    pub fn names_left(&self, of: impl Fn(u32) -> bool) -> impl Iterator<Item = (&Arc<str>, bool)> {
        let pods = self.pods.iter();
        let pods = pods.map(|(name, pod)| (name, pod.cohort, pod.life.is_reachable()));
        let gone = self.gone.iter();
        let gone = gone.map(|(name, remains)| (name, remains.cohort, remains.reachable));
        let all = pods.chain(gone).filter(move |(_, cohort, _)| of(*cohort));
        all.map(|(name, _, reachable)| (name, reachable))
    }

    /// Cohorts whose queues were not retired, with their sizes.
    #[must_use]
    pub fn unretired(&self) -> Vec<(u32, u32)> {
        let unretired = self.cohorts.iter().filter(|(_, cohort)| !cohort.retired);
        unretired
            .map(|(number, cohort)| (*number, cohort.size))
            .collect()
    }

    /// Workers that the unfinished tasks can use.
    fn wanted(&self) -> u32 {
        let slots = self.limits.slots.max(1) as usize;
        let useful = u32::try_from(self.unfinished.div_ceil(slots)).unwrap_or(u32::MAX);
        useful.min(self.limits.max_workers)
    }

    /// Workers that run or are on their way.
    fn supply(&self) -> u32 {
        let pods = self.pods.values().filter(|pod| pod.life.supplies()).count();
        let unseen: u32 = self.cohorts.values().map(Cohort::unseen).sum();
        u32::try_from(pods)
            .unwrap_or(u32::MAX)
            .saturating_add(unseen)
    }

    /// After every change: give up, or open what is missing; and say what there is to say.
    fn settle(&mut self, now: Instant) {
        self.note_untaken(now);
        self.note_ungreeted(now);
        self.judge(now);
        if self.broken {
            return;
        }
        self.open_missing(now);
        self.say(now);
    }

    fn open_missing(&mut self, now: Instant) {
        if self.greetings.failure().is_some() {
            // More of the same would come: the others that are on their way decide first.
            return;
        }
        let (wanted, supply) = (self.wanted(), self.supply());
        if supply >= wanted {
            self.short = None;
            self.losing = false;
            return;
        }
        let since = *self.short.get_or_insert(now);
        if self.opening || self.over.is_some() || now < self.open_at(since) {
            return;
        }
        let size = wanted - supply;
        let cohort = self.next;
        let known = self.cohort(now, cohort);
        (known.size, known.ours) = (size, true);
        self.next += 1;
        self.opening = true;
        self.opened_at = Some(now);
        self.short = None;
        self.losing = false;
        self.effects.push(Effect::Open { cohort, size });
    }

    /// When a cohort may be opened for what is missing since then.
    fn open_at(&self, since: Instant) -> Instant {
        let gather = if self.losing {
            GATHER_LOSSES
        } else {
            GATHER_WORK
        };
        // The first deaths may be bad luck; then each makes the next pause longer.
        let deaths = self
            .early_ends
            .as_ref()
            .map_or(0, |early_ends| early_ends.deaths);
        let interval = pause_from(INTERVAL, deaths.saturating_sub(2));
        let after_last = self.opened_at.map(|last| after(last, interval));
        [Some(after(since, gather)), after_last, self.not_before]
            .into_iter()
            .flatten()
            .fold(since, Instant::max)
    }

    fn cohort(&mut self, now: Instant, number: u32) -> &mut Cohort {
        let cohort = self.cohorts.entry(number);
        cohort.or_insert_with(|| Cohort::new(now))
    }

    /// Retires the queues of finished cohorts that have no pod left.
    fn retire_ended(&mut self) {
        for (number, cohort) in &mut self.cohorts {
            let ended = cohort.finished && !cohort.retired;
            if ended && !self.pods.values().any(|pod| pod.cohort == *number) {
                cohort.retired = true;
                self.effects.push(Effect::Retire {
                    cohort: *number,
                    size: cohort.size,
                });
            }
        }
    }

    fn tell(&mut self, event: FleetEvent) {
        self.effects.push(Effect::Report(event));
    }
}

/// How long something that is wrong may last.
const fn patience(limits: &Limits, patience: Patience) -> Duration {
    match patience {
        Patience::Start => limits.start,
        Patience::Schedule => limits.schedule,
    }
}

/// One second, and twice as long each time.
fn pause(times: u32) -> Duration {
    pause_from(Duration::from_secs(1), times.saturating_sub(1))
}

fn pause_from(shortest: Duration, doublings: u32) -> Duration {
    (shortest * 2_u32.saturating_pow(doublings.min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
