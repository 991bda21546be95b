//! When attempts were published and began, by the master's wall clock. For people: no decision depends on it.
//!
//! A worker states in its messages when it made them, by its own wall clock. The clocks of two hosts differ, so the time
//! is corrected: the master notes by how much a message came later than it was made. The least of that in the last minutes
//! is the difference of the clocks, and the time of the fastest message. A result that waited, because a queue refused it
//! or this master was busy, is dated right by the messages that did not wait.
//!
//! Only messages count for the difference that were made since this master has the run: their workers echo its epoch. What
//! waited for its next master would show no difference but the time that it waited. Where no such message came, the
//! worker's own clock is shown, and no time in the queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podpool_core::envelope::Results;
use podpool_core::id::{Attempt, TaskId, WorkerId};
use podpool_core::ledger::{PlaceRecord, Record};
use podpool_core::outcome::Failure;
use podpool_core::place::WorkerPlace;
use podpool_core::wall::WallTime;
use tokio::time::Instant;

use crate::error::AttemptReport;

use super::super::table::Phase;
use super::MasterState;
use super::workers::Worker;

/// A difference is forgotten after one to two of these.
// A clock that gains 50 microseconds a second is off by 30 ms after two: less than a message takes. Within one, dozens of
// heartbeats come.
const WINDOW: Duration = Duration::from_secs(300);

/// By how many microseconds the master's clock is ahead of a worker's.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockDifference {
    /// When the present window began.
    since: Option<Instant>,
    /// The least in it, and in the one before.
    newest: Option<i64>,
    before: Option<i64>,
}

impl ClockDifference {
    pub(super) const fn new() -> Self {
        Self {
            since: None,
            newest: None,
            before: None,
        }
    }

    /// A message came that was made so many microseconds before, by the two clocks.
    fn note(&mut self, now: Instant, micros: i64) {
        let age = self.since.map(|since| now.saturating_duration_since(since));
        if age.is_none_or(|age| age >= WINDOW) {
            self.since = Some(now);
            let last = self.newest.take();
            self.before = last.filter(|_| age.is_some_and(|age| age < WINDOW * 2));
        }
        self.newest = Some(self.newest.map_or(micros, |least| least.min(micros)));
    }

    fn micros(&self) -> Option<i64> {
        [self.newest, self.before].into_iter().flatten().min()
    }
}

/// When a message of results was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    at: WallTime,
    /// What the worker's clock is corrected by; none where no difference is known.
    micros: Option<i64>,
}

impl Made {
    /// A time of the worker's host, by the master's clock.
    fn corrected(self, time: WallTime) -> Option<SystemTime> {
        // A clock that shows nothing after 1970 is none.
        (time.0 > 0).then(|| time.corrected(self.micros.unwrap_or(0)))?
    }

    /// When an execution began that ended shortly before the message was made.
    // Results of short tasks wait some milliseconds for each other, and longer ones do not wait.
    fn began(self, elapsed: Duration) -> Option<SystemTime> {
        self.corrected(self.at)?.checked_sub(elapsed)
    }
}

/// When an attempt began, and how long it had waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) started: Option<SystemTime>,
    pub(crate) queued: Option<Duration>,
}

/// How long something waited. A clock that was set back has it wait for no time.
fn between(published: SystemTime, started: SystemTime) -> Duration {
    started.duration_since(published).unwrap_or_default()
}

impl MasterState {
    /// What the wall clock shows, once in each turn.
    pub(crate) const fn set_wall(&mut self, wall: SystemTime) {
        self.wall = wall;
    }

    /// A message came that its worker made at this time, by its clock.
    pub(super) fn note_clock(&mut self, now: Instant, id: WorkerId, epoch: u64, at: WallTime) {
        if at.0 > 0
            && epoch == self.settings.epoch
            && let Some(micros) = at.behind(self.wall.into())
            && let Some(worker) = self.workers.get_mut(&id)
        {
            worker.clock.note(now, micros);
        }
    }

    /// When results were made, by what is known of their worker's clock.
    pub(super) fn made(&mut self, now: Instant, results: &Results) -> Made {
        let (id, at) = (results.execution.worker, results.at);
        self.note_clock(now, id, results.epoch, at);
        let known = self.workers.get(&id).and_then(|it| it.clock.micros());
        // The worker's greeting was lost, or comes later.
        let own = || at.behind(self.wall.into());
        let own = || own().filter(|_| at.0 > 0 && results.epoch == self.settings.epoch);
        Made {
            at,
            micros: known.or_else(own),
        }
    }

    /// The times of an attempt that gave a result. To be called before its task leaves the table.
    pub(super) fn times_of_result(
        &mut self,
        made: Made,
        task: TaskId,
        attempt: Attempt,
        elapsed: Duration,
    ) -> Times {
        let started = made.began(elapsed);
        self.times(made, task, attempt, started)
    }

    /// The times of an attempt that failed.
    pub(super) fn times_of_failure(
        &mut self,
        made: Made,
        (task, attempt): (TaskId, Attempt),
        elapsed: Duration,
        failure: &Failure,
    ) -> Times {
        // Without it the attempt did not begin.
        let started = failure.ran.as_ref().and_then(|ran| {
            let noted = ran.started.map(WallTime::from);
            let noted = noted.and_then(|noted| made.corrected(noted));
            noted.or_else(|| made.began(elapsed))
        });
        self.times(made, task, attempt, started)
    }

    fn times(
        &mut self,
        made: Made,
        task: TaskId,
        attempt: Attempt,
        started: Option<SystemTime>,
    ) -> Times {
        let started_here = started.filter(|_| made.micros.is_some());
        let published = started_here.and_then(|_| self.published_at(task, attempt));
        let queued = published.zip(started_here);
        Times {
            started,
            queued: queued.map(|(published, started)| between(published, started)),
        }
    }

    /// When this attempt was published; none where it is not out any more, or an earlier master has published it.
    fn published_at(&mut self, task: TaskId, attempt: Attempt) -> Option<SystemTime> {
        let entry = self.table.get_mut(task)?;
        let is_out = entry.attempt == attempt && entry.phase == Phase::Published;
        let batch = is_out.then_some(entry.batch)?;
        self.batches.get_mut(batch)?.published
    }

    /// Adds to the report of a lost execution where it ran, and what was read of its begin.
    pub(super) fn complete_loss(&mut self, task: TaskId, report: &mut AttemptReport) {
        let worker = report.worker.as_ref();
        report.place = worker.and_then(|worker| self.places.get(worker).cloned());
        let Some(entry) = self.table.get_mut(task) else {
            return;
        };
        if entry.running
            && entry.attempt == report.attempt
            && let Some(batch) = self.batches.get_mut(entry.batch)
        {
            report.started = batch.begun;
            let waited = batch.published.zip(batch.begun);
            report.queued = waited.map(|(published, begun)| between(published, begun));
        }
    }

    /// The fleet reports where a worker runs.
    pub(super) fn on_placed(&mut self, worker: Arc<str>, place: WorkerPlace) {
        if self.places.get(&worker).is_some_and(|it| **it == place) {
            return;
        }
        let place = Arc::new(place);
        self.places.insert(worker.clone(), place.clone());
        if self.remembered.is_some() {
            self.record(Record::Place(PlaceRecord {
                worker: worker.clone(),
                place: place.clone(),
            }));
        }
        let is_here = |it: &Worker| it.liveness.is_here() && it.name() == Some(&worker);
        if self.workers.values().any(is_here) {
            self.note_place(worker, place);
        }
    }

    /// Adds to reports where their workers ran, as far as that became known after they were made.
    pub(super) fn add_places(&self, attempts: &mut [AttemptReport]) {
        for report in attempts.iter_mut().filter(|it| it.place.is_none()) {
            let worker = report.worker.as_ref();
            report.place = worker.and_then(|worker| self.places.get(worker).cloned());
        }
    }
}

#[cfg(test)]
mod tests;
