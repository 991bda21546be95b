//! The state of the fleet for notices: how many workers run, and why the others do not.

use std::collections::BTreeMap;

use podpool_core::fleet::FleetEvent;
use tokio::time::Instant;

use super::causes::DEATHS;
use super::notices::{Reason, View, kind};
use super::pod::Pod;
use super::trouble::Trouble;
use super::{Cohorts, EarlyEnds, Effect};

impl Cohorts {
    /// Issues the notices that are due.
    pub(super) fn notify(&mut self, now: Instant) {
        let (wanted, ready) = (self.wanted(), self.ready());
        // The log takes up to 5 s to read. A line before that would lack the reason, and a second line with the reason
        // would follow.
        let due = !self.greetings.are_read() && self.notices.is_due(now, wanted, ready);
        let news = if due {
            let view = self.view(wanted, ready);
            self.notices.next_line(now, &view)
        } else {
            None
        };
        let silence = self.notices.silence_line(now);
        let moves = self.notices.move_lines(now);
        // Losses come first: they explain the numbers in the line about the fleet.
        let all = moves.into_iter().chain(silence).chain(news);
        self.effects.extend(all.map(Effect::Notify));
    }

    /// What statistics show of the fleet, if it differs from the last report.
    // Computed after a change alone, and not in every turn: it visits every pod.
    pub fn supply_report(&mut self) -> Option<FleetEvent> {
        if !std::mem::take(&mut self.reported.stale) {
            return None;
        }
        let (wanted, ready) = (self.wanted(), self.ready());
        let missing = !self.broken && ready < wanted;
        let reason = missing.then(|| self.view(wanted, ready).summary());
        let newest = (self.supply(), reason.flatten());
        if self.reported.last.as_ref() == Some(&newest) {
            return None;
        }
        let (workers, reason) = newest.clone();
        self.reported.last = Some(newest);
        let reason = reason.map(Into::into);
        Some(FleetEvent::Supply { workers, reason })
    }

    /// Workers that run and have greeted.
    pub(super) fn ready(&self) -> u32 {
        let ready = self.pods.iter().filter(|(name, pod)| {
            pod.life.supplies() && pod.life.is_running() && self.has_greeted(name)
        });
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    }

    /// The state of the fleet for notices.
    pub(super) fn view(&self, wanted: u32, ready: u32) -> View {
        let mut reasons = Reasons::default();
        let early_ends = self.early_ends.as_ref().filter(|_| !self.any_greeted());
        // The steps below count a missing worker once: as a pod, as a pod that its Job has not created yet, or as a
        // worker for which no cohort was opened yet.
        for (name, pod) in &self.pods {
            if let Some(trouble) = pod.life.trouble() {
                reasons.pod(pod, trouble);
            } else if pod.life.is_running() && pod.life.supplies() && !self.has_greeted(name) {
                reasons.slow(1, UNGREETED);
            }
        }
        for cohort in self.cohorts.values() {
            match (cohort.unseen(), &cohort.trouble, early_ends) {
                (0, _, _) => {}
                (unseen, Some(trouble), _) => reasons.wrong(unseen, &trouble.reason),
                // How the previous workers ended explains more than that replacements are starting.
                (unseen, None, Some(early_ends)) => reasons.wrong(unseen, &early_ends.explained()),
                (unseen, None, None) if cohort.listed => reasons.slow(unseen, WITHOUT_POD),
                (unseen, None, None) => reasons.slow(unseen, BEING_MADE),
            }
        }
        let missing = wanted.saturating_sub(self.supply());
        let refused = self.refused.as_ref().map(|(_, _, reason)| &**reason);
        let failed = self.greetings.failure().map(|(_, reason)| reason);
        // The most certain reason first: a fatal one, then a failed start, then a refusal that may pass.
        let reason = self.withheld.as_deref().or(failed).or(refused);
        match (missing, reason, early_ends) {
            (0, _, _) => {}
            (missing, Some(reason), _) => reasons.wrong(missing, reason),
            (missing, None, Some(early_ends)) => reasons.wrong(missing, &early_ends.explained()),
            (missing, None, None) => reasons.slow(missing, TO_BE_STARTED),
        }
        View {
            wanted,
            ready,
            reasons: reasons.0.into_values().collect(),
            gives_up: self.gives_up(),
        }
    }
}

/// What was reported last.
#[derive(Debug, Default)]
pub(super) struct ReportedSupply {
    stale: bool,
    last: Option<(u32, Option<String>)>,
}

impl ReportedSupply {
    /// Something has changed, perhaps what is reported.
    pub(super) const fn changed(&mut self) {
        self.stale = true;
    }
}

impl EarlyEnds {
    /// How the last one ended, and how many such ends break the pool.
    fn explained(&self) -> String {
        match self.deaths {
            0 => self.reason.clone(),
            deaths => format!(
                "{}; early ends in a row: {deaths}, and the pool breaks at {DEATHS}",
                self.reason
            ),
        }
    }
}

const UNGREETED: &str = "running without a greeting so far: a worker greets when it has reached Pub/Sub, and reports within the start timeout why it cannot";
const WITHOUT_POD: &str = "without a pod: the cluster has created none for their Job so far";
const TO_BE_STARTED: &str = "to be started: their Job is not created yet";
const BEING_MADE: &str =
    "to be started: their Job is being created, and the cluster or Pub/Sub has not answered so far";
const SET_UP: &str =
    "on their way: nodes are setting the pods up, and pulling a large image takes time";

/// By kind.
#[derive(Default)]
struct Reasons(BTreeMap<String, Reason>);

impl Reasons {
    fn pod(&mut self, pod: &Pod, trouble: &Trouble) {
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
            .or_insert_with(|| Reason {
                workers: 0,
                reason: reason.to_owned(),
                slow,
            });
        why.workers += workers;
    }
}
