//! What follows from the end of an execution: budgets, delays, and who is charged.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::outcome::Cause;
use podpool_core::retry::Blame;
use tokio::time::Instant;

use crate::error::TaskErrorKind;

use super::Duties;

/// Losses in a row after which a task runs alone.
const ALONE_AFTER: u32 = 5;
/// A delay is rounded to less than this.
const ROUNDING: Duration = Duration::from_millis(1);

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// It waits again between these two times.
    Delayed(Instant, Instant),
    /// It is in the batch of this number.
    Out(u32),
    Ended,
}

/// A loss is reported twice at most: by the worker, and by its fleet or its silence.
type Report = (u32, Cause, Option<Arc<str>>);

#[derive(Debug)]
pub(super) struct Task {
    pub(super) priority: i32,
    pub(super) task_type: u32,
    pub(super) retries: u32,
    phase: Phase,
    pub(super) attempt: u32,
    pub(super) alone: bool,
    /// More than one envelope of it may be in the queue.
    pub(super) repeated: bool,
    pub(super) running: bool,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) workers: u32,
    pub(super) out_of_memory: u32,
    pub(super) losses: u32,
    pub(super) losses_in_row: u32,
    last: Option<Report>,
}

impl Task {
    fn new(priority: i32, task_type: u32, retries: u32) -> Self {
        Self {
            priority,
            task_type,
            retries,
            phase: Phase::Waiting,
            attempt: 1,
            alone: false,
            repeated: false,
            running: false,
            failures: 0,
            crashes: 0,
            workers: 0,
            out_of_memory: 0,
            losses: 0,
            losses_in_row: 0,
            last: None,
        }
    }

    pub(super) const fn is_out(&self) -> bool {
        matches!(self.phase, Phase::Out(_))
    }

    /// The batch that it is in.
    pub(super) const fn batch(&self) -> Option<u32> {
        match self.phase {
            Phase::Out(batch) => Some(batch),
            _ => None,
        }
    }

    /// Whether it may be published.
    pub(super) fn may_wait(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Waiting => true,
            Phase::Delayed(from, _) => now >= from,
            Phase::Out(_) | Phase::Ended => false,
        }
    }

    /// Whether it waits to be published, for certain.
    pub(super) fn waits(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Waiting => true,
            Phase::Delayed(_, to) => now > to,
            Phase::Out(_) | Phase::Ended => false,
        }
    }

    pub(super) const fn publish(&mut self, batch: u32) {
        self.phase = Phase::Out(batch);
    }

    /// The bounds of the delay after its next failure: 100 ms, doubled up to 1 s, shortened by half at most.
    fn delay(&self) -> (Duration, Duration) {
        let full = Duration::from_millis(100) * 2_u32.pow(self.failures.min(4));
        let full = full.min(Duration::from_secs(1));
        ((full / 2).saturating_sub(ROUNDING), full + ROUNDING)
    }
}

impl Duties {
    pub(in super::super) fn submitted(&mut self, number: u64, spec: (i32, u32, u32)) {
        let (priority, task_type, retries) = spec;
        let task = Task::new(priority, task_type, retries);
        assert_eq!(self.tasks.len() as u64, number);
        self.tasks.push(task);
        self.unended.insert(number);
        self.pending.insert(number);
        match self.life.broken {
            None => self.taken = number + 1,
            Some(kind) => self.end(number, Some(kind)),
        }
    }

    pub(super) fn task(&self, number: u64) -> &Task {
        &self.tasks[number as usize]
    }

    pub(super) fn task_mut(&mut self, number: u64) -> &mut Task {
        &mut self.tasks[number as usize]
    }

    /// A task ends in this turn.
    pub(super) fn end(&mut self, number: u64, kind: Option<TaskErrorKind>) {
        self.unended.remove(&number);
        self.pending.remove(&number);
        self.ends.insert(number, kind);
        self.limits.ended(kind);
        self.leave_batch(number);
        let task = self.task_mut(number);
        task.phase = Phase::Ended;
        if task.repeated {
            let attempt = task.attempt;
            self.revoke(number, attempt, true);
        }
    }

    pub(super) fn cancel(&mut self, number: u64) {
        self.revoke_out(number);
        self.end(number, Some(TaskErrorKind::Cancelled));
    }

    /// Its newest attempt must not run any more, if it is out.
    fn revoke_out(&mut self, number: u64) {
        let task = self.task_mut(number);
        let (attempt, repeated) = (task.attempt, task.repeated);
        if task.is_out() {
            self.revoke(number, attempt, repeated);
        }
    }

    /// An execution returned a result: that ends the task, whichever attempt it was.
    pub(super) fn done(&mut self, number: u64, attempt: u32) {
        if !self.unended.contains(&number) {
            self.came_late(number, attempt);
            return;
        }
        if self.task(number).attempt != attempt {
            self.revoke_out(number);
        }
        let task_type = self.task(number).task_type;
        self.measured.insert(task_type);
        self.end(number, None);
    }

    fn came_late(&mut self, number: u64, attempt: u32) {
        self.late += 1;
        self.ran_though_revoked(number, attempt);
    }

    /// An execution ended without a result. It counts for the newest attempt, once.
    pub(super) fn failed(
        &mut self,
        number: u64,
        attempt: u32,
        cause: Cause,
        retryable: bool,
        worker: Option<Arc<str>>,
    ) {
        if self.out(number) != Some(attempt) {
            match cause {
                Cause::Broken => {}
                Cause::Interrupted => self.late += 1,
                _ => self.came_late(number, attempt),
            }
            return;
        }
        if cause == Cause::Interrupted {
            self.lose(number, Blame::None, cause, worker);
            return;
        }
        let task = self.task_mut(number);
        task.last = Some((attempt, cause, worker));
        let again = task.spend(cause) && retryable;
        if again {
            let (from, to) = match cause {
                Cause::Failed | Cause::Panicked | Cause::TimedOut => {
                    task.failures -= 1;
                    let delay = task.delay();
                    task.failures += 1;
                    delay
                }
                _ => (Duration::ZERO, Duration::ZERO),
            };
            if !matches!(cause, Cause::Broken | Cause::Cancelled) {
                task.alone = cause == Cause::Suspect;
            }
            self.again(number, from, to);
        } else {
            self.end(number, Some(cause.into()));
        }
    }

    /// An execution was lost with its worker: its message comes back, unless the task must run alone or ends.
    pub(super) fn lose(
        &mut self,
        number: u64,
        blame: Blame,
        cause: Cause,
        worker: Option<Arc<str>>,
    ) {
        let now = self.now;
        let task = self.task_mut(number);
        let (attempt, batch) = (task.attempt, task.batch());
        task.repeated = true;
        task.running = false;
        let known = |last: &Report| {
            (last.0, last.1) == (attempt, Cause::Interrupted)
                && last.2.is_some()
                && last.2 == worker
        };
        if !task.last.as_ref().is_some_and(known) {
            task.losses += 1;
            task.losses_in_row += 1;
        }
        task.last = Some((attempt, cause, worker));
        let comes_back = task.spend_loss(blame, cause);
        let alone = blame == Blame::Suspect || task.losses_in_row >= ALONE_AFTER;
        if let Some(batch) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
            batch.news = now;
        }
        if !comes_back {
            self.revoke(number, attempt, true);
            self.end(number, Some(cause.into()));
        } else if alone {
            self.revoke(number, attempt, true);
            let task = self.task_mut(number);
            task.losses_in_row = 0;
            task.alone = true;
            self.again(number, Duration::ZERO, Duration::ZERO);
        }
    }

    /// The next attempt waits for its delay.
    fn again(&mut self, number: u64, from: Duration, to: Duration) {
        self.leave_batch(number);
        self.pending.insert(number);
        let now = self.now;
        let task = self.task_mut(number);
        task.attempt += 1;
        task.running = false;
        task.phase = match to {
            Duration::ZERO => Phase::Waiting,
            to => Phase::Delayed(now + from, now + to),
        };
    }
}
