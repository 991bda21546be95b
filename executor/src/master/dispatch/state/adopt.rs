//! Tasks that an earlier master left are taken in under their numbers: what runs goes on, what waits in a queue waits on,
//! and what was not published is.

use podpool_core::broker::ClassId;
use podpool_core::envelope::{Arguments, TaskRun};
use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::{PublishedRecord, Record};
use podpool_core::outcome::{Cause, Failure};
use podpool_core::retry::{Blame, Decision, Ended, Policy, decide};
use tokio::time::Instant;

use crate::error::AttemptReport;
use crate::master::owners::Owners;

use super::super::batches::Batch;
use super::super::history::History;
use super::super::outbox::{ALONE_BYTES, MAX_BYTES};
use super::super::remembered::{LeftTask, is_forced};
use super::super::table::{Entry, Phase};
use super::MasterState;
use super::judge::policy;

/// Most tasks of earlier masters that are published again together, if none of them is heard of. In which batches they
/// were is not known.
// What workers report of them is taken out of the group first. At half a lost queue costs twice as many messages; at double
// a message has more tasks than most.
const TOGETHER: usize = 64;

/// What follows from the attempts of a task so far.
#[derive(Debug)]
struct Resumed {
    history: Option<Box<History>>,
    /// The attempt that is out, or the next one.
    attempt: Attempt,
    alone: bool,
    /// A budget is spent: the master ended before it recorded that.
    given_up: bool,
}

impl MasterState {
    /// Takes in the tasks that an earlier master left; those between them have ended. `next` is the number of the first
    /// task of this master.
    pub(super) fn adopt(&mut self, now: Instant, left: Vec<LeftTask>, next: u64) {
        let mut group = Group::default();
        let mut ended_from = None;
        for task in left {
            let number = task.record.task.0;
            // Of tasks that ended another envelope may be in the queue.
            let first = ended_from.replace(number + 1).unwrap_or_default();
            self.revoked.add_ended(first..number);
            self.adopt_task(now, task, &mut group);
        }
        self.close_group(now, &mut group);
        if ended_from.is_some() {
            self.adopted_below = TaskId(next);
        }
        if let Some(first) = ended_from {
            self.revoked.add_ended(first..next);
        }
        if !self.batches.is_empty() {
            let next_lease = self.next_lease(now);
            self.republish_at.get_or_insert(next_lease);
        }
    }

    fn adopt_task(&mut self, now: Instant, task: LeftTask, group: &mut Group) {
        let LeftTask {
            spec,
            record,
            published,
            attempts,
        } = task;
        let id = record.task;
        let class = match self.classes.get(record.class) {
            Some(_) => record.class,
            // It began on another back-end, which has other classes.
            None => ClassId::DEFAULT,
        };
        let mut entry = Entry {
            owners: Owners::None,
            spec,
            class,
            arguments: Arguments::from(record.arguments.to_vec()),
            options: record.options,
            history: None,
            attempt: Attempt::FIRST,
            batch: 0,
            phase: Phase::Waiting,
            running: false,
            alone: false,
            // What the earlier master published of it is known in part.
            repeated: true,
        };
        if is_forced(record.why) {
            // Not stored with the options, and it decides whether an output skips the task.
            entry.options.get_or_insert_default().force = true;
        }
        let mut resumed = resume(&policy(&entry, self.settings.retries), attempts);
        if let Some(newest) = published.filter(|newest| *newest > resumed.attempt) {
            // The earlier master had other budgets: this attempt is out, whatever they are now.
            (resumed.attempt, resumed.given_up) = (newest, false);
        }
        entry.history = resumed.history;
        entry.attempt = resumed.attempt;
        entry.alone = resumed.alone;
        if let Some(remembered) = &mut self.remembered {
            remembered.adopt(id, record.identity);
        }
        self.tally.adopted();
        if let Some(error) = self.refusal(id, &entry) {
            self.settle(id, entry, Err(error), None);
            return;
        }
        if let Some(before) = entry.attempt.0.checked_sub(1).filter(|before| *before > 0) {
            // Workers then run the newest attempt alone.
            self.revoked.add(id, Attempt(before), true);
        }
        let is_out = published.is_some_and(|newest| newest >= entry.attempt);
        self.enter(id, entry);
        if resumed.given_up {
            self.give_up(id);
        } else if is_out {
            self.expect_in(now, id, group);
        }
    }

    /// A task that an earlier master published is expected to be in the queue, or to run.
    fn expect_in(&mut self, now: Instant, id: TaskId, group: &mut Group) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let kind = (entry.class, entry.task_type(), entry.alone);
        let bytes = entry.arguments.len();
        let large = bytes > ALONE_BYTES || !entry.spec.options.pack;
        let (priority, class, task_type) = (entry.priority(), entry.class, entry.task_type());
        let attempt = entry.attempt;
        if !group.takes(kind, bytes, large) {
            self.close_group(now, group);
        }
        if let Some(outbox) = self.classes.outbox(class) {
            outbox.remove(id, priority, task_type);
            outbox.adopted(task_type);
        }
        group.add(kind, id, attempt, bytes, large);
    }

    /// The tasks of a group are out, in one batch.
    fn close_group(&mut self, now: Instant, group: &mut Group) {
        let Group {
            kind: Some((class, task_type, alone)),
            runs,
            count,
            bytes,
            ..
        } = std::mem::take(group)
        else {
            return;
        };
        let number = self.batches.next_number();
        for id in runs.iter().flat_map(|run| run.tasks()) {
            if let Some(entry) = self.table.get_mut(id) {
                entry.phase = Phase::Published;
                entry.batch = number;
            }
        }
        self.batches.add(Batch {
            published: None,
            begun: None,
            tasks: runs,
            class,
            task_type,
            alone,
            left: count,
            bytes,
            news: now,
            packed: None,
            sending: false,
            doubtful: false,
            guessed: true,
        });
    }

    /// Parts a batch that is only supposed to be one message: those of its tasks that workers have go on by themselves.
    /// Returns whether others are left.
    pub(super) fn part_held(&mut self, now: Instant, number: u32, held: &[TaskId]) -> bool {
        let Some(batch) = self.batches.get_mut(number) else {
            return false;
        };
        let kind = (batch.class, batch.task_type, batch.alone);
        if held.len() >= batch.left as usize {
            batch.news = now;
            return false;
        }
        let mut group = Group::default();
        for id in held {
            if let Some(entry) = self.table.get_mut(*id) {
                group.add(kind, *id, entry.attempt, entry.arguments.len(), false);
            }
        }
        self.batches.part(number, group.count, group.bytes);
        self.close_group(now, &mut group);
        true
    }

    /// A batch is in the queue: a later master expects its tasks there.
    // Only where queues outlive their master. After the queue has it and not before: a task that was never published must
    // not be waited for. A kill in between costs an execution at most.
    pub(super) fn record_published(&mut self, number: u32) {
        if self.remembered.is_none() || !self.settings.remote {
            return;
        }
        let Some(batch) = self.batches.get_mut(number) else {
            return;
        };
        let runs = batch.tasks.clone();
        for run in &runs {
            for task in run.tasks() {
                let out = |entry: &mut Entry| {
                    entry.phase == Phase::Published
                        && entry.batch == number
                        && entry.attempt == run.attempt
                };
                if self.table.get_mut(task).is_some_and(out) {
                    let attempt = run.attempt;
                    self.record(Record::Published(PublishedRecord { task, attempt }));
                }
            }
        }
    }
}

/// Class, task type, and whether it runs alone.
type Kind = (ClassId, u32, bool);

/// Tasks that are out, and would be published again together.
#[derive(Debug, Default)]
struct Group {
    /// Class, task type, and whether they run alone.
    kind: Option<Kind>,
    runs: Vec<TaskRun>,
    count: u32,
    bytes: usize,
    /// Nothing may join: its task is large, or its type is not packed.
    closed: bool,
}

impl Group {
    fn takes(&self, kind: Kind, bytes: usize, large: bool) -> bool {
        let fits = self.bytes + bytes <= MAX_BYTES && (self.count as usize) < TOGETHER;
        self.count == 0 || (self.kind == Some(kind) && fits && !large && !self.closed && !kind.2)
    }

    fn add(&mut self, kind: Kind, id: TaskId, attempt: Attempt, bytes: usize, large: bool) {
        self.kind = Some(kind);
        TaskRun::push(&mut self.runs, id, attempt);
        self.count += 1;
        self.bytes += bytes;
        self.closed |= large;
    }
}

/// Judges the attempts again, as the earlier master did: what is spent, and which attempt is out.
// Delays are left out: the time since the failure is longer than most, and not known.
fn resume(policy: &Policy, attempts: Vec<AttemptReport>) -> Resumed {
    let mut resumed = Resumed {
        history: None,
        attempt: Attempt::FIRST,
        alone: false,
        given_up: false,
    };
    for report in attempts {
        let failure = Failure {
            retryable: report.retryable,
            ..Failure::new(report.cause, String::new())
        };
        let history = resumed.history.get_or_insert_default();
        let (attempt, cause) = (report.attempt, report.cause);
        let decision = decide(policy, &mut history.spent, ended(&report, &failure), 0.0);
        history.push(report);
        (resumed.attempt, resumed.alone) = match decision {
            Decision::Wait => (attempt, resumed.alone),
            // Nothing is wrong with the task: alone, if it was to run alone.
            Decision::Retry { .. } if matches!(cause, Cause::Broken | Cause::Cancelled) => {
                (attempt.next(), resumed.alone)
            }
            Decision::Retry { alone, .. } => (attempt.next(), alone),
            Decision::GiveUp => (attempt, resumed.alone),
        };
        resumed.given_up = decision == Decision::GiveUp;
    }
    resumed
}

/// How the execution of a report ended: a worker reported it, or it was lost with its worker.
fn ended<'a>(report: &AttemptReport, failure: &'a Failure) -> Ended<'a> {
    let blame = match (report.cause, report.execution) {
        (Cause::Interrupted, _) => Blame::None,
        // A worker names the execution; a fleet that reports a worker's end does not.
        (Cause::Suspect, None) => Blame::Suspect,
        (Cause::Crashed | Cause::OutOfMemory, None) => Blame::Charged,
        _ => return Ended::Reported(failure),
    };
    Ended::Lost {
        blame,
        cause: report.cause,
        fresh: true,
    }
}

#[cfg(test)]
mod tests;
