//! How many workers there are and should be, and when a cohort is opened for the difference.

use std::time::Duration;

use podpool_core::broker::ClassId;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::cohort::Cohort;
use super::{Cohorts, Effect};
use crate::fleet::shares::shares;

/// Time after a loss before a cohort replaces it, so that the losses of one node share a cohort.
// The pods of a lost node are lost together, and their deletions arrive within some hundred milliseconds of each other.
const GATHER_LOSSES: Duration = Duration::from_secs(1);
/// Time after a submission before a cohort is opened, so that the first cohort has the right size.
// A program that submits in a loop reaches the number that it needs within this time; a longer pause would delay the
// first task.
const GATHER_WORK: Duration = Duration::from_millis(200);
/// Longest time that the first cohort waits for the first list of the run's Jobs, which may be those of an earlier master.
// A cluster that answers lists within 200 ms. One that does not answer refuses the cohort too, and from then on the
// schedule timeout counts.
const FIRST_LIST: Duration = Duration::from_secs(5);
/// Shortest time between two cohorts: each costs a Job, its control subscriptions and its pods' scheduling. It also
/// bounds the rate at which a broken image creates Jobs.
// Shorter than the first back-off of the Job controller, which is 10 s, so a top-up cohort mostly comes before the
// controller's replacement.
// <https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy>
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest pause after cohorts whose workers did no work.
// Long enough to be no load on the API server, short enough that a raised quota is used within a minute.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Cohorts {
    /// Sets the number of tasks of a class that have not ended. Returns whether other workers are wanted now.
    pub(super) fn want(&mut self, class: ClassId, unfinished: usize) -> bool {
        let slots = self.limits.slots.max(1) as usize;
        let useful = u32::try_from(unfinished.div_ceil(slots)).unwrap_or(u32::MAX);
        // The shares are computed again only when the number of useful workers changes: most ends of tasks change none.
        if self.useful.insert(class, useful) == Some(useful) {
            return false;
        }
        let wanted = shares(&self.useful, self.limits.max_workers);
        let changed = wanted != self.wanted;
        self.wanted = wanted;
        changed
    }

    /// Number of workers that the unfinished tasks can use.
    pub(super) fn wanted(&self) -> u32 {
        self.wanted
            .values()
            .fold(0, |sum, it| sum.saturating_add(*it))
    }

    /// The same for the tasks of a class.
    pub(super) fn wanted_of(&self, class: ClassId) -> u32 {
        self.wanted.get(&class).copied().unwrap_or_default()
    }

    /// Number of workers that run or are starting.
    pub(super) fn supply(&self) -> u32 {
        self.supply_where(|_| true)
    }

    /// The same for the tasks of a class.
    pub(super) fn supply_of(&self, class: ClassId) -> u32 {
        self.supply_where(|other| other == class)
    }

    fn supply_where(&self, of: impl Fn(ClassId) -> bool) -> u32 {
        // `on_pod` enters the cohort of each pod, and only a refused cohort is removed. A pod that is left of one
        // counts for every class, rather than cause a second cohort.
        let of_class = |cohort: &u32| self.cohorts.get(cohort).is_none_or(|it| of(it.class));
        let pods = self.pods.values().filter(|pod| pod.life.supplies());
        let pods = pods.filter(|pod| of_class(&pod.cohort)).count();
        // Pods that the controller has not created yet count as supply, or every cohort would be opened twice.
        let cohorts = self.cohorts.values().filter(|cohort| of(cohort.class));
        let unseen: u32 = cohorts.map(Cohort::unseen).sum();
        u32::try_from(pods)
            .unwrap_or(u32::MAX)
            .saturating_add(unseen)
    }

    /// The class that lacks most workers, and how many it lacks.
    fn most_missing(&self) -> Option<(ClassId, u32)> {
        let missing = self.wanted.iter().map(|(class, wanted)| {
            let missing = wanted.saturating_sub(self.supply_of(*class));
            (*class, missing)
        });
        missing
            .filter(|(_, missing)| *missing > 0)
            .max_by_key(|(_, missing)| *missing)
    }

    pub(super) fn open_missing(&mut self, now: Instant) {
        if self.greetings.failure().is_some() {
            // Further pods would fail in the same way. Those that are already starting decide first.
            return;
        }
        let Some((class, missing)) = self.most_missing() else {
            // The shortage is over without a cohort: a lost worker has returned, or fewer workers are wanted.
            self.short = None;
            self.losing = false;
            return;
        };
        // The first shortage starts the pause; later ones join it and do not extend it.
        let since = *self.short.get_or_insert(now);
        if self.opening || self.over.is_some() || now < self.open_at(since) {
            return;
        }
        let number = self.next;
        let known = self.cohort(now, number, class);
        (known.size, known.ours) = (missing, true);
        let cohort = known.named(number);
        self.next += 1;
        // One at a time: the size of the next one depends on what became of this one.
        self.opening = true;
        self.opened_at = Some(now);
        self.short = None;
        self.losing = false;
        self.effects.push(Effect::Open(cohort));
    }

    /// When a cohort may be opened for workers that are missing since `since`.
    pub(super) fn open_at(&self, since: Instant) -> Instant {
        let gather = match (self.jobs_known, self.losing) {
            (false, _) => FIRST_LIST,
            (true, true) => GATHER_LOSSES,
            (true, false) => GATHER_WORK,
        };
        // Two early deaths may be an accident; each further one doubles the pause: 5 s, 10 s, 20 s, 40 s, 60 s.
        let deaths = self
            .early_ends
            .as_ref()
            .map_or(0, |early_ends| early_ends.deaths);
        let interval = pause_from(INTERVAL, deaths.saturating_sub(2));
        let after_last = self.opened_at.map(|last| after(last, interval));
        // All three must have passed: the gathering, the pause after the last cohort, and the pause after a refusal.
        [Some(after(since, gather)), after_last, self.not_before]
            .into_iter()
            .flatten()
            .fold(since, Instant::max)
    }
}

/// One second, and twice as long each time.
pub(super) fn pause(times: u32) -> Duration {
    pause_from(Duration::from_secs(1), times.saturating_sub(1))
}

fn pause_from(shortest: Duration, doublings: u32) -> Duration {
    // 2^10 times any pause here is longer than `LONGEST_PAUSE`, so the bound on the exponent only prevents an overflow.
    (shortest * 2_u32.saturating_pow(doublings.min(10))).min(LONGEST_PAUSE)
}
