//! When the fleet gives up: no worker runs, none can start, and the time allowed for that is over.

use podpool_core::fleet::FleetEvent;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::pod::Phase;
use super::{Cohorts, Effect, Notice};

impl Cohorts {
    /// From this time on the fleet ends with this reason, if no worker of another cohort runs. The first reason counts.
    pub(super) fn fatal(&mut self, at: Instant, reason: String) {
        self.fatal.get_or_insert((at, reason));
    }

    /// Gives up if the state requires it.
    pub(super) fn judge(&mut self, now: Instant) {
        if self.wanted() == 0 {
            self.greetings.forget_failure();
        }
        // Without unended tasks no reason breaks the pool. A reason that lasts is found again with the next task.
        if self.broken || self.wanted() == 0 {
            return;
        }
        let alive = self.alive();
        // The order is that of certainty: first reasons that no time can remove, then fatal ones whose time has come,
        // then early ends, and last the timeouts of starts.
        // Nothing can start any more; running workers are waited for, because they can finish the work.
        if let Some(reason) = self.over.clone().filter(|_| !alive) {
            return self.give_up(reason);
        }
        if let Some((_, reason)) = self.fatal.take_if(|(at, _)| *at <= now) {
            if alive {
                // Another cohort would fail in the same way, so the next attempt waits for the longest pause.
                self.not_before = Some(after(now, super::supply::LONGEST_PAUSE));
                self.withhold(reason);
            } else {
                self.give_up(reason);
            }
            return;
        }
        if let Some(reason) = self.early_ends_for_long(now) {
            // Other pods that run or are starting would end in the same way as the pods before them.
            return self.give_up(reason);
        }
        if alive {
            return;
        }
        if self.withheld.take().is_some() {
            // The pause avoided useless cohorts while other workers ran. No worker runs now, so a cohort is requested
            // at once: it either works or gives the reason for the break.
            self.not_before = None;
        }
        if !self.may_still_start(now)
            && let Some(reason) = self.expired(now)
        {
            self.give_up(reason);
        }
    }

    /// Other workers continue. The reason is part of the notice about missing workers; if none is missing, it is
    /// reported here, once.
    fn withhold(&mut self, reason: String) {
        if self.supply() >= self.wanted() && self.withheld.as_ref() != Some(&reason) {
            self.effects
                .push(Effect::Notify(Notice::trouble(reason.clone())));
        }
        self.withheld = Some(reason);
    }

    fn give_up(&mut self, reason: String) {
        self.broken = true;
        self.report(FleetEvent::Broken(reason));
    }

    /// Whether a worker runs, in a cohort that has not finished.
    pub(super) fn alive(&self) -> bool {
        self.pods.iter().any(|(name, pod)| {
            let cohort = self.cohorts.get(&pod.cohort);
            let goes_on = cohort.is_some_and(|cohort| !cohort.finished);
            // A pod that is being deleted still finishes its tasks within its grace.
            let runs = matches!(pod.life.phase(), Phase::Running | Phase::Leaving { .. });
            goes_on && runs && !pod.life.is_missed() && self.greetings.may_work(name)
        })
    }

    /// Whether something is starting without trouble, or with trouble that may still pass.
    fn may_still_start(&self, now: Instant) -> bool {
        let passing = self.causes().filter(|cause| cause.may_pass);
        let mut open = passing.filter(|cause| cause.end.is_none_or(|end| now < end));
        // A cohort that was requested after a failed start is a replacement, and is not waited for.
        let opening = self.opening && self.opened_at.is_none_or(|at| self.greetings.counts(at));
        opening || open.next().is_some()
    }

    /// The reason of the first cause whose time is over.
    fn expired(&self, now: Instant) -> Option<String> {
        let causes = self.causes();
        let due = causes.filter_map(|cause| Some((cause.end?, cause)));
        let due = due.filter(|(end, _)| *end <= now);
        let first = due.min_by_key(|(end, _)| *end);
        first.map(|(_, cause)| cause.reason())
    }

    /// When the fleet may have to give up.
    pub(super) fn broken_at(&self, now: Instant) -> Option<Instant> {
        if self.wanted() == 0 {
            return None;
        }
        let fatal = self.fatal.as_ref().map(|(at, _)| *at);
        let early_ends = self.early_ends.as_ref();
        let early_ends = early_ends.map(|early_ends| after(early_ends.since, self.limits.schedule));
        let ends = self.causes().filter_map(|cause| cause.end);
        // Causes whose time is over already take effect when nothing may start any more.
        ends.chain(fatal)
            .chain(early_ends)
            .filter(|at| *at > now)
            .min()
    }
}
