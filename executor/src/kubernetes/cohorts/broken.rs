//! When the fleet gives up: no worker can start, none is alive, and the time for it to pass is over.

use podpool_core::fleet::FleetEvent;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::pods::{Phase, Trouble};
use super::{Cohort, Effect, Limits, State, patience};

/// So many workers in a row that die right after their start are no accident.
const DEATHS: u32 = 3;

impl State {
    /// From this time on the fleet ends with this reason, if no worker of another cohort is alive. The first words
    /// count.
    pub(super) fn fatal(&mut self, at: Instant, reason: String) {
        self.fatal.get_or_insert((at, reason));
    }

    /// Gives up if it must, warns if others work on.
    pub(super) fn judge(&mut self, now: Instant) {
        if self.wanted() == 0 {
            self.greetings.forget_failure();
        }
        if self.broken || self.wanted() == 0 {
            return;
        }
        let alive = self.alive();
        if let Some((_, reason)) = self.fatal.take_if(|(at, _)| *at <= now) {
            if alive {
                self.not_before = Some(after(now, super::LONGEST_PAUSE));
                self.effects.push(Effect::Warn(reason));
            } else {
                self.give_up(reason);
            }
            return;
        }
        if let Some(reason) = self.expired(now) {
            if !alive && !self.hopeful(now) {
                self.give_up(reason);
            } else if alive {
                self.warn_expired(now);
            }
        }
    }

    fn give_up(&mut self, reason: String) {
        self.broken = true;
        self.tell(FleetEvent::Broken(reason));
    }

    /// Whether a worker runs, in a cohort that goes on.
    fn alive(&self) -> bool {
        self.pods.iter().any(|(name, pod)| {
            let goes_on = self
                .cohorts
                .get(&pod.cohort)
                .is_some_and(|cohort| !cohort.finished);
            let runs = matches!(pod.phase, Phase::Running | Phase::Leaving);
            goes_on && runs && !pod.unheard && self.greetings.may_work(name)
        })
    }

    /// Whether a pod is on its way, and nothing is wrong with it, or not for long.
    fn hopeful(&self, now: Instant) -> bool {
        let counts = |since| self.greetings.counts(since);
        let starting = |trouble: &Trouble| {
            counts(trouble.since)
                && trouble.patience.is_none()
                && trouble.end(&self.limits).is_none_or(|end| now < end)
        };
        let pods = self.pods.values().any(|pod| match &pod.phase {
            Phase::Starting(trouble) => starting(trouble),
            _ => false,
        });
        let cohorts = self.cohorts.values().any(|cohort| {
            let end = cohort.trouble_end(&self.limits);
            counts(cohort.since) && cohort.trouble.is_none() && end.is_some_and(|end| now < end)
        });
        pods || cohorts || (self.opening && self.opened_at.is_none_or(counts))
    }

    /// The reason of the first thing whose time is over.
    fn expired(&self, now: Instant) -> Option<String> {
        let due = |(at, _): &(Instant, Source<'_>)| *at <= now;
        let first = self.troubles().filter(due).min_by_key(|(at, _)| *at);
        first.map(|(_, source)| source.words())
    }

    /// When the fleet may have to give up.
    pub(super) fn broken_at(&self, now: Instant) -> Option<Instant> {
        if self.wanted() == 0 {
            return None;
        }
        let fatal = self.fatal.as_ref().map(|(at, _)| *at);
        let fatal = fatal.filter(|at| *at > now);
        let hopes = self.pods.values().filter_map(|pod| match &pod.phase {
            Phase::Starting(trouble) => trouble.end(&self.limits),
            _ => None,
        });
        self.troubles()
            .map(|(at, _)| at)
            .chain(fatal)
            .chain(hopes)
            // What is over already waits for a hope to end.
            .filter(|at| *at > now)
            .min()
    }

    /// Everything that is wrong, with the end of its time.
    fn troubles(&self) -> impl Iterator<Item = (Instant, Source<'_>)> {
        let limits = &self.limits;
        let pods = self.pods.iter().filter_map(|(name, pod)| match &pod.phase {
            Phase::Starting(trouble) => Some((trouble.end(limits)?, Source::Pod(name, trouble))),
            _ => None,
        });
        let cohorts = self.cohorts.iter().filter_map(|(number, cohort)| {
            let end = cohort.trouble_end(limits)?;
            Some((end, Source::Cohort(*number, cohort.trouble.as_ref())))
        });
        let refused = self.refused.as_ref();
        let refused = refused
            .map(|(since, _, reason)| (after(*since, limits.schedule), Source::Refused(reason)));
        let barren = self.barren.as_ref().map(|barren| {
            let end = if barren.deaths >= DEATHS {
                barren.since
            } else {
                after(barren.since, limits.schedule)
            };
            (end, Source::Barren(&barren.words))
        });
        let failed = self.greetings.failure();
        let failed = failed.map(|(at, reason)| (at, Source::Refused(reason)));
        pods.chain(cohorts)
            .chain(refused)
            .chain(barren)
            .chain(failed)
    }

    /// Says once of each what keeps a part of the fleet from starting.
    fn warn_expired(&mut self, now: Instant) {
        let limits = self.limits;
        let pods = self.pods.iter_mut();
        let pods = pods.filter_map(|(name, pod)| match &mut pod.phase {
            Phase::Starting(trouble) => Some((&**name, trouble)),
            _ => None,
        });
        let cohorts = self.cohorts.values_mut();
        let cohorts = cohorts.filter_map(|cohort| Some(("a pod", cohort.trouble.as_mut()?)));
        for (name, trouble) in pods.chain(cohorts) {
            let over = trouble.end(&limits).is_some_and(|end| end <= now);
            if over && !std::mem::replace(&mut trouble.warned, true) {
                self.effects.push(Effect::Warn(trouble.words(name)));
            }
        }
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

    fn words(&self, pod: &str) -> String {
        if self.reason.is_empty() {
            format!(
                "pod {pod} is still being set up; ask `kubectl describe pod {pod}` what it waits for"
            )
        } else {
            self.reason.clone()
        }
    }
}

impl Cohort {
    /// When it has had fewer pods than it should for too long.
    fn trouble_end(&self, limits: &Limits) -> Option<Instant> {
        if self.unseen() == 0 {
            return None;
        }
        match &self.trouble {
            Some(trouble) => trouble.end(limits),
            None => Some(after(self.since, limits.schedule)),
        }
    }
}

/// Something that is wrong; words are made only when they are needed.
enum Source<'a> {
    Pod(&'a str, &'a Trouble),
    Cohort(u32, Option<&'a Trouble>),
    Refused(&'a str),
    Barren(&'a str),
}

impl Source<'_> {
    fn words(&self) -> String {
        match self {
            Self::Pod(name, trouble) => trouble.words(name),
            Self::Cohort(_, Some(trouble)) => trouble.reason.clone(),
            Self::Cohort(number, None) => format!(
                "Job c{number} has made no pods; ask `kubectl describe job` what it waits for"
            ),
            Self::Refused(reason) => (*reason).to_owned(),
            Self::Barren(words) => format!(
                "workers end right after their start: {words}; look at the image and its program"
            ),
        }
    }
}
