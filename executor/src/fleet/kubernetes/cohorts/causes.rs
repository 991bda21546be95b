//! Everything that keeps workers from running: trouble, with the time at which it has lasted too long, and slow starts.

use podpool_core::instant::after;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::{Cohort, Cohorts, Limits};

/// Early ends in a row that break the pool: one may be an accident, two may be one lost node.
pub(super) const DEATHS: u32 = 3;

/// One trouble, or a start that may become one.
pub(super) struct Cause<'a> {
    /// When it has lasted too long; never for what is held.
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

impl Cause<'_> {
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
        // While a worker that has greeted exists, the image and the queue work, so early ends of others break nothing.
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
        // A failed start has no time left of its own: it takes effect as soon as nothing else may start.
        let failed = self.greetings.failure().map(|(at, reason)| Cause {
            end: Some(at),
            may_pass: false,
            source: Source::Refused(reason),
        });
        let wrong = refused.into_iter().chain(early_ends).chain(failed);
        pods.chain(cohorts).chain(wrong)
    }

    /// The reason if workers have ended one after the other for the whole schedule timeout and none has greeted. Others
    /// that are starting are not waited for any more.
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

    /// When the fleet gives up if nothing changes; none while a worker runs, or a part is held.
    pub(super) fn gives_up(&self) -> Option<Instant> {
        // The next workers may end early too, and so break the pool sooner than any timeout.
        let early = self
            .early_ends
            .as_ref()
            .is_some_and(|early_ends| early_ends.deaths > 0);
        if self.opening || (early && !self.anyone_greeted()) {
            return None;
        }
        if self.alive() {
            // Pods that run and have not greeted decide, if no worker has greeted and no other pod is starting.
            // They run, so no start timeout of a pod applies to them; only the missing greeting does.
            let last = self.greetings.last_due(self.limits.start);
            return last.filter(|_| !self.anyone_greeted() && self.causes().next().is_none());
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
            Some(trouble) => trouble.end(limits),
            None => Some(after(self.since, limits.schedule)),
        }
    }
}
