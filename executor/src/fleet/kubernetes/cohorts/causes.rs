//! Everything that keeps workers from running: trouble, with the time at which it has lasted too long, and slow starts.

use podpool_core::instant::after;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::{Cohort, Cohorts, Limits};

/// Early ends in a row that break the pool: one may be an accident, two may be one lost node.
pub(super) const DEATHS: u32 = 3;

/// One trouble, or a start that may become one.
pub(super) struct Cause<'a> {
    /// When it has lasted too long; none for a pod or Job that is held.
    pub(super) end: Option<Instant>,
    /// Whether it may pass without intervention until then.
    pub(super) may_pass: bool,
    source: Source<'a>,
}

/// The text of the reason is built only when it is needed.
enum Source<'a> {
    Pod(&'a str, &'a Trouble),
    Cohort(u32, Option<&'a Trouble>),
    Refused(&'a str),
    EarlyEnds(&'a str),
}

impl<'a> Cause<'a> {
    /// Trouble that does not pass without intervention, and has lasted too long at this time.
    const fn lasting(end: Instant, source: Source<'a>) -> Self {
        Self {
            end: Some(end),
            may_pass: false,
            source,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self.source {
            Source::Pod(name, trouble) if trouble.reason.is_empty() => format!(
                "pod {name} is still being set up; `kubectl describe pod {name}` shows what it waits for"
            ),
            Source::Pod(_, trouble) | Source::Cohort(_, Some(trouble)) => trouble.reason.clone(),
            Source::Cohort(number, None) => format!(
                "Job c{number} has created no pods; `kubectl describe job` shows what it waits for"
            ),
            Source::Refused(reason) => reason.to_owned(),
            Source::EarlyEnds(reason) => {
                format!("workers end right after their start; the last one: {reason}")
            }
        }
    }
}

impl Cohorts {
    /// All trouble, and all starts that are under way.
    pub(super) fn causes(&self) -> impl Iterator<Item = Cause<'_>> {
        let refused = self.refused.as_ref();
        let refused = refused.map(|(since, _, reason)| {
            Cause::lasting(after(*since, self.limits.schedule), Source::Refused(reason))
        });
        // A failed start has no time left of its own: it takes effect as soon as nothing else may start.
        let failed = self.greetings.failure();
        let failed = failed.map(|(at, reason)| Cause::lasting(at, Source::Refused(reason)));
        let wrong = refused
            .into_iter()
            .chain(self.early_end_cause())
            .chain(failed);
        self.pod_causes().chain(self.cohort_causes()).chain(wrong)
    }

    fn pod_causes(&self) -> impl Iterator<Item = Cause<'_>> {
        self.pods.iter().filter_map(|(name, pod)| {
            let trouble = pod.life.trouble()?;
            // Trouble with a patience does not pass by itself: it only counts when its time is over, and postpones
            // nothing. A start without trouble postpones the end until the schedule timeout.
            Some(Cause {
                end: trouble.end(&self.limits, self.has_pulled(pod.cohort)),
                may_pass: trouble.patience.is_none() && self.greetings.counts(trouble.since),
                source: Source::Pod(name, trouble),
            })
        })
    }

    /// Whether a worker of the class of this cohort has had its image: then it exists, and nodes may pull it.
    fn has_pulled(&self, cohort: u32) -> bool {
        let cohort = self.cohorts.get(&cohort);
        cohort.is_some_and(|cohort| self.pulled.contains(&cohort.class))
    }

    fn cohort_causes(&self) -> impl Iterator<Item = Cause<'_>> {
        let short = self.cohorts.iter().filter(|(_, one)| one.unseen() > 0);
        short.map(|(number, cohort)| Cause {
            end: cohort.trouble_end(&self.limits),
            may_pass: cohort.trouble.is_none() && self.greetings.counts(cohort.since),
            source: Source::Cohort(*number, cohort.trouble.as_ref()),
        })
    }

    /// While a worker that has greeted exists, the image and the queue work, so early ends of others do not break the
    /// pool.
    fn early_end_cause(&self) -> Option<Cause<'_>> {
        let ends = self.early_ends.as_ref().filter(|_| !self.any_greeted())?;
        // A time in the past: the cause takes effect as soon as no other start may succeed.
        let at = if ends.deaths >= DEATHS {
            ends.since
        } else {
            after(ends.since, self.limits.schedule)
        };
        Some(Cause::lasting(at, Source::EarlyEnds(&ends.reason)))
    }

    /// The reason if workers have ended one after the other for the whole schedule timeout and none has greeted. Other
    /// workers that are starting are not waited for any more.
    // Without this bound a fleet whose cohorts overlap would never give up: some pod would always be starting.
    pub(super) fn early_ends_for_long(&self, now: Instant) -> Option<String> {
        let ends = self.early_ends.as_ref().filter(|_| !self.any_greeted())?;
        let end = after(ends.since, self.limits.schedule);
        let cause = Cause::lasting(end, Source::EarlyEnds(&ends.reason));
        (now >= end).then(|| cause.reason())
    }

    pub(super) fn any_greeted(&self) -> bool {
        self.pods.keys().any(|name| self.has_greeted(name))
    }

    /// When the fleet gives up if nothing changes; none while a worker runs, or a part is held.
    pub(super) fn gives_up(&self) -> Option<Instant> {
        // The next workers may end early too, and so break the pool sooner than any timeout.
        let early = self
            .early_ends
            .as_ref()
            .is_some_and(|early_ends| early_ends.deaths > 0);
        if self.opening || (early && !self.any_greeted()) {
            return None;
        }
        if self.alive() {
            // Pods that run and have not greeted decide, if no worker has greeted and no other pod is starting.
            // They run, so no start timeout of a pod applies to them; only the missing greeting does.
            let last = self.greetings.last_due(self.limits.start);
            return last.filter(|_| !self.any_greeted() && self.causes().next().is_none());
        }
        let first = self.causes().filter_map(|cause| cause.end).min()?;
        let passing = self.causes().filter(|cause| cause.may_pass);
        passing
            .map(|cause| cause.end)
            // One cause without an end, a hold, postpones the end without limit: then there is none.
            .try_fold(first, |last, end| Some(last.max(end?)))
    }
}

impl Cohort {
    /// When it has had fewer pods than it should for too long.
    fn trouble_end(&self, limits: &Limits) -> Option<Instant> {
        match &self.trouble {
            // No pod exists, so there was no pull.
            Some(trouble) => trouble.end(limits, false),
            None => Some(after(self.since, limits.schedule)),
        }
    }
}
