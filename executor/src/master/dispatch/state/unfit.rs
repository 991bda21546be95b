//! Workers whose slots do not start: that is the worker's fault, as long as another one works or may still come.

use std::time::Duration;

use podpool_core::id::WorkerId;
use tokio::time::Instant;
use tracing::warn;

use super::State;
use super::judge::{Failed, is_out};
use super::loss::GIVE_UP_AFTER;

/// A worker whose slots do not start says so within this, unless its start timeout is longer.
const STARTS: Duration = Duration::from_secs(60);

impl State {
    /// A worker reports that a task could not begin, for none of its slots starts. It leaves; the task goes to another
    /// one, uncharged.
    pub(super) fn on_unfit(&mut self, now: Instant, failed: &Failed) {
        let (id, attempt) = (failed.task, failed.attempt);
        self.note_unfit(now, failed);
        let story = self.attempt_report(failed);
        let Some(entry) = self
            .table
            .get_mut(id)
            .filter(|entry| is_out(entry, attempt))
        else {
            return;
        };
        let history = entry.history.get_or_insert_default();
        history.losses += 1;
        let over = history.losses >= GIVE_UP_AFTER;
        entry.cell.remember(story.clone());
        history.push(story);
        if over {
            self.give_up(id);
        } else {
            // The worker has acknowledged what brought it: the next attempt is published here.
            self.retry(now, id, Duration::ZERO);
        }
    }

    /// Notes the worker, once, and ends the pool if it was the last that could have come.
    fn note_unfit(&mut self, now: Instant, failed: &Failed) {
        let id = failed.execution.worker;
        let worker = self.worker(now, id);
        if std::mem::replace(&mut worker.unfit, true) {
            return;
        }
        worker.hungry = None;
        let name = worker.name.clone().unwrap_or_else(|| id.to_string().into());
        let reason = &failed.failure.message;
        self.pace.recount_slots();
        self.unfit.push((id, now));
        if self.has_no_fit_worker(now) {
            self.break_pool(reason);
            return;
        }
        warn!(worker = %name, %reason, "the slots of a worker do not start; it leaves, and its tasks go to others");
        self.drain_worker(id);
    }

    fn drain_worker(&mut self, id: WorkerId) {
        self.drain.push(id);
        self.control_changed = true;
    }

    /// Whether no worker is fit, and as many as are wanted have been tried in a row: until then others may be starting.
    /// Where they are replaced one by one, another is always there that has not said so yet. So when three times as many
    /// were tried, those that came after the first of them are fit only once they run something, or have had time to say so.
    fn has_no_fit_worker(&self, now: Instant) -> bool {
        let workers = self.settings.workers.max(1);
        let slots = self.settings.slots.div_ceil(workers).max(1);
        let wanted = self.unfinished().div_ceil(slots).clamp(1, workers);
        let since = self.unfit.first().map_or(now, |(_, since)| *since);
        let many = self.unfit.len() >= wanted.saturating_mul(3);
        let old = |greeted: Instant| greeted <= since || now - greeted > STARTS;
        let fit = self.workers.values().any(|worker| {
            let trusted = !many || worker.proven || worker.greeted.is_none_or(old);
            !worker.gone && !worker.unfit && trusted
        });
        !fit && self.unfit.len() >= wanted
    }
}
