//! Everything that keeps workers from running: what is wrong, with the end of its time, and what merely takes time.

use podpool_core::instant::after;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::{Cohort, Cohorts, Limits};

/// So many workers in a row that end before they have worked are no accident.
pub(super) const DEATHS: u32 = 3;

/// One thing that is wrong, or may become so.
pub(super) struct Cause<'a> {
    /// When it has lasted too long; never for what somebody holds.
    pub(super) end: Option<Instant>,
    /// It may pass by itself until then.
    pub(super) may_pass: bool,
    source: Source<'a>,
}

/// Its reason is made only when it is needed.
enum Source<'a> {
    Pod(&'a str, &'a Trouble),
    Cohort(u32, Option<&'a Trouble>),
    Refused(&'a str),
    EarlyEnds(&'a str),
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
            Source::EarlyEnds(reason) => {
                format!("workers end right after their start; the last one: {reason}")
            }
        }
    }
}

impl Cohorts {
    /// Everything that is wrong, and what is on its way.
    pub(super) fn causes(&self) -> impl Iterator<Item = Cause<'_>> {
        let limits = &self.limits;
        let pods = self.pods.iter().filter_map(|(name, pod)| {
            let trouble = pod.life.trouble()?;
            Some(Cause {
                end: trouble.end(limits),
                may_pass: trouble.patience.is_none() && self.greetings.counts(trouble.since),
                source: Source::Pod(name, trouble),
            })
        });
        let cohorts = self.cohorts.iter().filter(|(_, one)| one.unseen() > 0);
        let cohorts = cohorts.map(|(number, cohort)| Cause {
            end: cohort.trouble_end(limits),
            may_pass: cohort.trouble.is_none() && self.greetings.counts(cohort.since),
            source: Source::Cohort(*number, cohort.trouble.as_ref()),
        });
        let refused = self.refused.as_ref();
        let refused = refused.map(|(since, _, reason)| Cause {
            end: Some(after(*since, limits.schedule)),
            may_pass: false,
            source: Source::Refused(reason),
        });
        // While a worker that greeted is there, workers do greet: others that end early are its cohort's bad luck.
        let early_ends = self.early_ends.as_ref().filter(|_| !self.anyone_greeted());
        let early_ends = early_ends.map(|early_ends| {
            let patience = after(early_ends.since, limits.schedule);
            let enough = early_ends.deaths >= DEATHS;
            Cause {
                end: Some(if enough { early_ends.since } else { patience }),
                may_pass: false,
                source: Source::EarlyEnds(&early_ends.reason),
            }
        });
        let failed = self.greetings.failure().map(|(at, reason)| Cause {
            end: Some(at),
            may_pass: false,
            source: Source::Refused(reason),
        });
        let wrong = refused.into_iter().chain(early_ends).chain(failed);
        pods.chain(cohorts).chain(wrong)
    }

    /// Workers that have ended one after the other for the whole patience, none of which greeted. Others on their way
    /// are not waited for any more.
    pub(super) fn early_ends_for_long(&self, now: Instant) -> Option<String> {
        let early_ends = self
            .early_ends
            .as_ref()
            .filter(|_| !self.anyone_greeted())?;
        let over = now >= after(early_ends.since, self.limits.schedule);
        let source = Source::EarlyEnds(&early_ends.reason);
        let cause = |source| Cause {
            end: None,
            may_pass: false,
            source,
        };
        over.then(|| cause(source).reason())
    }

    pub(super) fn anyone_greeted(&self) -> bool {
        self.pods.keys().any(|name| self.has_greeted(name))
    }

    /// When the fleet ends if nothing changes; none while somebody works, or a part is held.
    pub(super) fn gives_up(&self) -> Option<Instant> {
        // The next workers may end early too, and decide sooner.
        let early = self
            .early_ends
            .as_ref()
            .is_some_and(|early_ends| early_ends.deaths > 0);
        if self.opening || (early && !self.anyone_greeted()) {
            return None;
        }
        if self.alive() {
            // Those that run and have not greeted decide, where nobody has and nothing else is on its way.
            let last = self.greetings.last_due(self.limits.start);
            return last.filter(|_| !self.anyone_greeted() && self.causes().next().is_none());
        }
        let first = self.causes().filter_map(|cause| cause.end).min()?;
        let passing = self.causes().filter(|cause| cause.may_pass);
        passing
            .map(|cause| cause.end)
            .try_fold(first, |last, end| Some(last.max(end?)))
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
