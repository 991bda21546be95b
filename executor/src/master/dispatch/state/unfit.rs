//! Workers whose slots do not start. Tasks go to other workers, as long as another one works or may still come.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::super::failed::Failed;
use super::MasterState;
use super::life::Breach;
use super::workers::{Slots, Worker};

/// A worker whose slots do not start reports it within this time, unless its start timeout is longer.
// A pod's default start timeout. At half, slow workers would count as working before they could report; at double a
// pool none of whose workers can work ends that much later.
const STARTS: Duration = Duration::from_secs(60);

impl MasterState {
    /// A worker reports that a task could not begin, for none of its slots starts. Counts the worker, once, and ends
    /// the pool if no other worker can work.
    pub(super) fn note_unfit(&mut self, now: Instant, failed: &Failed) {
        let id = failed.execution.worker;
        if !self.worker(now, id).liveness.fail() {
            return;
        }
        let name = self.worker_name(id);
        let reason = &failed.failure.message;
        self.recount_workers();
        self.unfit.push((id, now));
        if self.has_no_fit_worker(now) {
            // Not by `breach`, which judges the failures that wait: this is called while failures are judged.
            self.breach_now(Breach::Broken, reason);
            return;
        }
        warn!(worker = %name, %reason, "the slots of a worker do not start; it leaves, and its tasks go to others");
        self.drain_worker(id);
    }

    /// Whether no worker is fit, and as many as are wanted have failed in a row: until then others may be starting.
    /// Where workers are replaced one by one, another is always there that has not failed yet. So when three times as
    /// many have failed, workers that came after the first of them are fit only once they run a task, or have had time
    /// to fail.
    // Three times: each worker that is wanted was replaced twice, and no slot of any of them started.
    fn has_no_fit_worker(&self, now: Instant) -> bool {
        let workers = self.settings.workers.max(1);
        let slots = self.settings.slots.div_ceil(workers).max(1);
        let wanted = self.unfinished().div_ceil(slots).clamp(1, workers);
        let since = self.unfit.first().map_or(now, |(_, since)| *since);
        let many = self.unfit.len() >= wanted.saturating_mul(3);
        let old = |greeted: Instant| greeted <= since || now - greeted > STARTS;
        let trusted = |worker: &Worker| {
            let proven = worker.liveness.slots() == Slots::Start;
            !many || proven || worker.greeted().is_none_or(old)
        };
        let fit = |worker: &Worker| worker.liveness.is_fit() && trusted(worker);
        let fit = self.workers.values().any(fit);
        !fit && self.unfit.len() >= wanted
    }
}
