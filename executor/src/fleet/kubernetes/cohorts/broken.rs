//! When the fleet gives up: no worker can start, none is alive, and the time for it to pass is over.

use podpool_core::fleet::FleetEvent;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::pod::Phase;
use super::{Cohorts, Effect, Notice};

impl Cohorts {
    /// From this time on the fleet ends with this reason, if no worker of another cohort is alive. The first reason
    /// counts.
    pub(super) fn fatal(&mut self, at: Instant, reason: String) {
        self.fatal.get_or_insert((at, reason));
    }

    /// Gives up if it must.
    pub(super) fn judge(&mut self, now: Instant) {
        if self.wanted() == 0 {
            self.greetings.forget_failure();
        }
        if self.broken || self.wanted() == 0 {
            return;
        }
        let alive = self.alive();
        if let Some(reason) = self.over.clone().filter(|_| !alive) {
            return self.give_up(reason);
        }
        if let Some((_, reason)) = self.fatal.take_if(|(at, _)| *at <= now) {
            if alive {
                self.not_before = Some(after(now, super::LONGEST_PAUSE));
                self.withhold(reason);
            } else {
                self.give_up(reason);
            }
            return;
        }
        if let Some(reason) = self.early_ends_for_long(now) {
            // Others that run or are on their way are as those before them.
            return self.give_up(reason);
        }
        if alive {
            return;
        }
        if self.withheld.take().is_some() {
            // The pause was for those who lived: now it is asked again at once.
            self.not_before = None;
        }
        if !self.may_still_start(now)
            && let Some(reason) = self.expired(now)
        {
            self.give_up(reason);
        }
    }

    /// Others work on. What keeps workers from coming is told with those who are missing; else it is told here, once.
    fn withhold(&mut self, reason: String) {
        if self.supply() >= self.wanted() && self.withheld.as_ref() != Some(&reason) {
            self.effects
                .push(Effect::Notify(Notice::trouble(reason.clone())));
        }
        self.withheld = Some(reason);
    }

    fn give_up(&mut self, reason: String) {
        self.broken = true;
        self.tell(FleetEvent::Broken(reason));
    }

    /// Whether a worker runs, in a cohort that goes on.
    pub(super) fn alive(&self) -> bool {
        self.pods.iter().any(|(name, pod)| {
            let cohort = self.cohorts.get(&pod.cohort);
            let goes_on = cohort.is_some_and(|cohort| !cohort.finished);
            let runs = matches!(pod.life.phase(), Phase::Running | Phase::Leaving { .. });
            goes_on && runs && !pod.life.is_missed() && self.greetings.may_work(name)
        })
    }

    /// Whether something is on its way, and nothing is wrong with it, or not for long.
    fn may_still_start(&self, now: Instant) -> bool {
        let passing = self.causes().filter(|cause| cause.may_pass);
        let mut open = passing.filter(|cause| cause.end.is_none_or(|end| now < end));
        let opening = self.opening && self.opened_at.is_none_or(|at| self.greetings.counts(at));
        opening || open.next().is_some()
    }

    /// The reason of the first thing whose time is over.
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
        // What is over already waits until nothing may start any more.
        ends.chain(fatal)
            .chain(early_ends)
            .filter(|at| *at > now)
            .min()
    }
}
