//! Everything that keeps workers from running: what is wrong, with the end of its time, and what merely takes time.

use std::collections::BTreeMap;

use podpool_core::instant::after;
use tokio::time::Instant;

use super::notices::{View, Why, kind};
use super::pods::{Phase, PodState, Trouble};
use super::{Barren, Cohort, Effect, Limits, State, patience};

/// So many workers in a row that end before they have worked are no accident.
const DEATHS: u32 = 3;

/// One thing that is wrong, or may become so.
pub(super) struct Cause<'a> {
    /// When it has lasted too long; never for what somebody holds.
    pub(super) end: Option<Instant>,
    /// It may pass by itself until then.
    pub(super) hope: bool,
    source: Source<'a>,
}

/// Its reason is made only when it is needed.
enum Source<'a> {
    Pod(&'a str, &'a Trouble),
    Cohort(u32, Option<&'a Trouble>),
    Refused(&'a str),
    Barren(&'a str),
}

impl Cause<'_> {
    pub(super) fn reason(&self) -> String {
        match self.source {
            Source::Pod(name, trouble) if trouble.reason.is_empty() => format!(
                "pod {name} is still being set up; ask `kubectl describe pod {name}` what it waits for"
            ),
            Source::Pod(_, trouble) | Source::Cohort(_, Some(trouble)) => trouble.reason.clone(),
            Source::Cohort(number, None) => format!(
                "Job c{number} has made no pods; ask `kubectl describe job` what it waits for"
            ),
            Source::Refused(reason) => reason.to_owned(),
            Source::Barren(reason) => {
                format!("workers end right after their start; the last one: {reason}")
            }
        }
    }
}

impl State {
    /// Everything that is wrong, and what is on its way.
    pub(super) fn causes(&self) -> impl Iterator<Item = Cause<'_>> {
        let limits = &self.limits;
        let pods = self.pods.iter().filter_map(|(name, pod)| match &pod.phase {
            Phase::Starting(trouble) => Some(Cause {
                end: trouble.end(limits),
                hope: trouble.patience.is_none() && self.greetings.counts(trouble.since),
                source: Source::Pod(name, trouble),
            }),
            _ => None,
        });
        let cohorts = self.cohorts.iter().filter(|(_, one)| one.unseen() > 0);
        let cohorts = cohorts.map(|(number, cohort)| Cause {
            end: cohort.trouble_end(limits),
            hope: cohort.trouble.is_none() && self.greetings.counts(cohort.since),
            source: Source::Cohort(*number, cohort.trouble.as_ref()),
        });
        let refused = self.refused.as_ref();
        let refused = refused.map(|(since, _, reason)| Cause {
            end: Some(after(*since, limits.schedule)),
            hope: false,
            source: Source::Refused(reason),
        });
        // While a worker that greeted is there, workers do greet: others that end early are its cohort's bad luck.
        let barren = self.barren.as_ref().filter(|_| !self.anyone_greeted());
        let barren = barren.map(|barren| {
            let patience = after(barren.since, limits.schedule);
            let enough = barren.deaths >= DEATHS;
            Cause {
                end: Some(if enough { barren.since } else { patience }),
                hope: false,
                source: Source::Barren(&barren.reason),
            }
        });
        let failed = self.greetings.failure().map(|(at, reason)| Cause {
            end: Some(at),
            hope: false,
            source: Source::Refused(reason),
        });
        let wrong = refused.into_iter().chain(barren).chain(failed);
        pods.chain(cohorts).chain(wrong)
    }

    /// Workers that have ended one after the other for the whole patience, none of which greeted. Others on their way
    /// are no hope any more.
    pub(super) fn barren_for_long(&self, now: Instant) -> Option<String> {
        let barren = self.barren.as_ref().filter(|_| !self.anyone_greeted())?;
        let over = now >= after(barren.since, self.limits.schedule);
        let source = Source::Barren(&barren.reason);
        let cause = |source| Cause {
            end: None,
            hope: false,
            source,
        };
        over.then(|| cause(source).reason())
    }

    fn anyone_greeted(&self) -> bool {
        self.pods.keys().any(|name| self.has_greeted(name))
    }

    /// When the fleet ends if nothing changes; none while somebody works, or a part is held.
    fn gives_up(&self) -> Option<Instant> {
        // The next workers may end early too, and decide sooner.
        let early = self.barren.as_ref().is_some_and(|barren| barren.deaths > 0);
        if self.opening || (early && !self.anyone_greeted()) {
            return None;
        }
        if self.alive() {
            // Those that run and have not greeted decide, where nobody has and nothing else is on its way.
            let last = self.greetings.last_due(self.limits.start);
            return last.filter(|_| !self.anyone_greeted() && self.causes().next().is_none());
        }
        let first = self.causes().filter_map(|cause| cause.end).min()?;
        let hopes = self.causes().filter(|cause| cause.hope);
        hopes
            .map(|cause| cause.end)
            .try_fold(first, |last, end| Some(last.max(end?)))
    }

    /// Tells what there is to tell of it.
    pub(super) fn say(&mut self, now: Instant) {
        let (wanted, ready) = (self.wanted(), self.ready());
        let due = !self.greetings.are_read() && self.notices.is_due(now, wanted, ready);
        let news = if due {
            let view = self.view(wanted, ready);
            self.notices.tell(now, &view)
        } else {
            None
        };
        let silence = self.notices.tell_silence(now);
        let moves = self.notices.tell_moves(now);
        let all = moves.into_iter().chain(silence).chain(news);
        self.effects.extend(all.map(Effect::Say));
    }

    /// Workers that run and have greeted.
    pub(super) fn ready(&self) -> u32 {
        let ready = self.pods.iter().filter(|(name, pod)| {
            pod.supplies() && matches!(pod.phase, Phase::Running) && self.has_greeted(name)
        });
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }

    /// How the fleet stands, for people.
    pub(super) fn view(&self, wanted: u32, ready: u32) -> View {
        let mut whys = Whys::default();
        let barren = self.barren.as_ref().filter(|_| !self.anyone_greeted());
        for (name, pod) in &self.pods {
            match &pod.phase {
                Phase::Starting(trouble) => whys.pod(pod, trouble),
                Phase::Running if pod.supplies() && !self.has_greeted(name) => {
                    whys.slow(1, UNGREETED);
                }
                _ => {}
            }
        }
        for cohort in self.cohorts.values() {
            match (cohort.unseen(), &cohort.trouble, barren) {
                (0, _, _) => {}
                (unseen, Some(trouble), _) => whys.wrong(unseen, &trouble.reason),
                // What became of those before says more than that others follow.
                (unseen, None, Some(barren)) => whys.wrong(unseen, &barren.told()),
                (unseen, None, None) if cohort.listed => whys.slow(unseen, WITHOUT_POD),
                (unseen, None, None) => whys.slow(unseen, BEING_MADE),
            }
        }
        let missing = wanted.saturating_sub(self.supply());
        let refused = self.refused.as_ref().map(|(_, _, reason)| &**reason);
        let failed = self.greetings.failure().map(|(_, reason)| reason);
        let reason = self.withheld.as_deref().or(failed).or(refused);
        match (missing, reason, barren) {
            (0, _, _) => {}
            (missing, Some(reason), _) => whys.wrong(missing, reason),
            (missing, None, Some(barren)) => whys.wrong(missing, &barren.told()),
            (missing, None, None) => whys.slow(missing, TO_BE_STARTED),
        }
        View {
            wanted,
            ready,
            whys: whys.0.into_values().collect(),
            gives_up: self.gives_up(),
        }
    }
}

impl Barren {
    /// How the last one ended, and how many more such ends break the pool.
    fn told(&self) -> String {
        match self.deaths {
            0 => self.reason.clone(),
            deaths => format!(
                "{}; {deaths} ended so in a row, and {DEATHS} such ends break the pool",
                self.reason
            ),
        }
    }
}

const UNGREETED: &str = "running without a greeting so far: a worker greets when it has reached Pub/Sub, and says within the start timeout why it does not";
const WITHOUT_POD: &str = "without a pod: the cluster has made none for their Job so far";
const TO_BE_STARTED: &str = "to be started: their Job is not made yet";
const BEING_MADE: &str =
    "to be started: their Job is being made, and the cluster or Pub/Sub has not answered so far";
const SET_UP: &str =
    "on their way: nodes are setting the pods up, and a large image takes its time";

/// By kind.
#[derive(Default)]
struct Whys(BTreeMap<String, Why>);

impl Whys {
    fn pod(&mut self, pod: &PodState, trouble: &Trouble) {
        if let Some(reason) = pod.untaken_reason() {
            self.wrong(1, &reason);
        } else if trouble.reason.is_empty() {
            self.slow(1, SET_UP);
        } else {
            self.wrong(1, &trouble.reason);
        }
    }

    fn slow(&mut self, workers: u32, reason: &str) {
        self.add(workers, reason, true);
    }

    fn wrong(&mut self, workers: u32, reason: &str) {
        self.add(workers, reason, false);
    }

    fn add(&mut self, workers: u32, reason: &str, slow: bool) {
        let why = self
            .0
            .entry(kind(reason).to_owned())
            .or_insert_with(|| Why {
                workers: 0,
                reason: reason.to_owned(),
                slow,
            });
        why.workers += workers;
    }
}

impl Trouble {
    /// When it has lasted too long; never for a pod that somebody holds.
    pub(super) fn end(&self, limits: &Limits) -> Option<Instant> {
        match self.patience {
            Some(kind) => Some(after(self.since, patience(limits, kind))),
            None if self.reason.is_empty() => Some(after(self.since, limits.schedule)),
            None => None,
        }
    }
}

impl Cohort {
    /// When it has had fewer pods than it should for too long.
    fn trouble_end(&self, limits: &Limits) -> Option<Instant> {
        match &self.trouble {
            Some(trouble) => trouble.end(limits),
            None => Some(after(self.since, limits.schedule)),
        }
    }
}
