//! What the master knows and decides: no IO, no clock, no channel.
//!
//! Submissions come in, batches go out, results settle futures. Every task that has not ended stands in the
//! table; dropping the state settles each of them, so that no path leaves a future waiting.

mod builds;
mod cancel;
mod judge;
mod loss;
mod lost;
mod pace;
mod publish;
mod republish;
mod revoked;
#[cfg(test)]
mod tests;
mod unfit;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::entry::{RESULT_HEAD, ResultEntry, next_result, result_head};
use podpool_core::envelope::{Alive, Hello, MacKey, Results, RunState, Started, TaskType};
use podpool_core::fleet::FleetOrder;
use podpool_core::id::{Attempt, RunId, TaskId, WorkerId};
use tokio::time::Instant;
use tracing::warn;

use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::{INLINE, Output, Wakers};
use crate::master::mailbox::Submission;

use self::builds::Builds;
pub(crate) use self::judge::Failed;
use super::batches::Batches;
use super::notices::Retries;
use super::outbox::Outbox;
use super::table::{Entry, Phase, Table};

/// Outputs below this are copied out of the message they came in, so that one kept result does not keep the
/// message of thousands.
const COPY_BELOW: usize = 4096;

/// What the master is told when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) run: RunId,
    pub(crate) mac_key: MacKey,
    /// Slots of all workers together.
    pub(crate) slots: usize,
    /// Largest message that the tasks' queue carries, in bytes.
    pub(crate) message_bytes: usize,
    /// Most batches that are out at once.
    pub(crate) batches_out: usize,
    /// Most bytes of arguments that are out at once.
    pub(crate) bytes_out: usize,
    /// How long the tasks' leases last.
    pub(crate) lease: Duration,
    /// Overrides every task's own retries.
    pub(crate) retries: Option<u32>,
    /// The master's epoch: a younger master of the same run has a higher one.
    pub(crate) epoch: u64,
    /// After how long without a word a worker is taken for lost; never by default.
    pub(crate) silence: Option<Duration>,
    /// Times that a task may run out of memory and run again.
    pub(crate) out_of_memory: u32,
    /// Most workers at a time.
    pub(crate) workers: usize,
    /// The master's build; empty where workers are of the same file.
    pub(crate) build: String,
    /// Whether workers must be of the same build.
    pub(crate) same_build: bool,
    /// Whether the queues are across a network: only then are round trips worth measuring.
    pub(crate) remote: bool,
}

/// What is known of a worker.
#[derive(Debug)]
struct WorkerState {
    /// Unknown until its greeting comes.
    name: Option<Arc<str>>,
    node: Option<Arc<str>>,
    /// When it was heard last.
    heard: Instant,
    /// When a heartbeat told last of empty pulls, if all since then told of free slots. A pull may wait longer than
    /// the time between two heartbeats, so not every one of a hungry worker tells of one.
    hungry: Option<Instant>,
    holds: Vec<podpool_core::envelope::TaskRun>,
    /// Whether it was lost or has left; a word of it brings it back.
    gone: bool,
    /// When it greeted, and how many slots it has by its greeting.
    greeted: Option<Instant>,
    slots: Option<u32>,
    /// Whether it said that its slots do not start.
    unfit: bool,
    /// Whether it told of tasks that run: its slots start.
    proven: bool,
}

impl WorkerState {
    const fn new(now: Instant) -> Self {
        Self {
            name: None,
            node: None,
            heard: now,
            hungry: None,
            holds: Vec::new(),
            gone: false,
            greeted: None,
            slots: None,
            unfit: false,
            proven: false,
        }
    }
}

/// The master's state.
#[derive(Debug)]
pub(crate) struct State {
    settings: Settings,
    table: Table,
    outbox: Outbox,
    batches: Batches,
    task_types: Vec<Option<TaskType>>,
    delayed: BinaryHeap<Reverse<(Instant, u64)>>,
    workers: HashMap<WorkerId, WorkerState>,
    revoked: revoked::RevokedList,
    control_sequence: u64,
    control_changed: bool,
    run_state: RunState,
    republish_at: Option<Instant>,
    /// When it is looked next whether revoked attempts can still be in the queue; never while there are none.
    revoked_at: Option<Instant>,
    republished: Vec<(u32, Bytes)>,
    newest_batch: u32,
    /// The number of the next batch; what is published again has one of its own.
    next_batch: u64,
    broken: Option<String>,
    wakers: Wakers,
    /// Results that came after their task's end, or for an older attempt.
    late_results: u64,
    pace: pace::Pace,
    /// Workers that are told to leave.
    drain: Vec<WorkerId>,
    /// Names of surplus workers, until they greet.
    surplus: Vec<Arc<str>>,
    /// Whether the last pull of results left nothing behind.
    caught_up: bool,
    /// What the fleet must hear of its workers.
    fleet_orders: Vec<FleetOrder>,
    /// Workers in a row whose slots do not start, since a task ended in a slot, and when each said so.
    unfit: Vec<(WorkerId, Instant)>,
    builds: Builds,
    /// Why workers like one that greeted are refused.
    refused: Option<String>,
    /// Lines to be said.
    notices: Vec<String>,
    /// What is said of attempts that are made again.
    retries: Retries,
}

impl State {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            outbox: Outbox::new(settings.slots.max(1)),
            settings,
            table: Table::default(),
            batches: Batches::default(),
            task_types: Vec::new(),
            delayed: BinaryHeap::new(),
            workers: HashMap::new(),
            revoked: revoked::RevokedList::default(),
            control_sequence: 0,
            control_changed: true,
            run_state: RunState::Open,
            republish_at: None,
            revoked_at: None,
            republished: Vec::new(),
            newest_batch: 0,
            next_batch: 0,
            broken: None,
            wakers: Wakers::default(),
            late_results: 0,
            pace: pace::Pace::default(),
            drain: Vec::new(),
            surplus: Vec::new(),
            caught_up: false,
            fleet_orders: Vec::new(),
            unfit: Vec::new(),
            builds: Builds::default(),
            refused: None,
            notices: Vec::new(),
            retries: Retries::default(),
        }
    }

    /// The run.
    pub(crate) const fn run(&self) -> &RunId {
        &self.settings.run
    }

    /// How many tasks have not ended.
    pub(crate) const fn unfinished(&self) -> usize {
        self.table.len()
    }

    /// How many tasks wait in the outbox.
    pub(crate) const fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Why nothing runs any more, if so.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Results that came too late to matter.
    pub(crate) const fn late_results(&self) -> u64 {
        self.late_results
    }

    /// Wakes those whose futures were settled since the last call.
    pub(crate) fn wake(&mut self) {
        self.wakers.wake();
    }

    /// A task was submitted.
    pub(crate) fn submit(&mut self, submission: Submission) {
        let id = submission.cell.id();
        let entry = Entry {
            cell: submission.cell,
            spec: submission.spec,
            arguments: submission.arguments,
            options: submission.options,
            history: None,
            attempt: Attempt::FIRST,
            batch: 0,
            phase: Phase::Waiting,
            alone: false,
            repeated: false,
        };
        if let Some(reason) = &self.broken {
            let error = TaskError::new(TaskErrorKind::PoolBroken, entry.subject(), reason.as_str());
            entry.cell.settle(Err(error), &mut self.wakers);
            return;
        }
        if entry.cell.is_settled() {
            // Cancelled before it came here.
            return;
        }
        if let Some(error) = self.too_large(&entry) {
            entry.cell.settle(Err(error), &mut self.wakers);
            return;
        }
        self.outbox.push(id, entry.priority(), entry.task_type());
        if !entry.spec.options.pack {
            self.outbox.set_lonely(entry.task_type());
        }
        self.table.insert(id, entry);
    }

    /// A worker took a batch.
    pub(crate) fn on_started(&mut self, now: Instant, started: &Started) {
        let worker = self.worker(now, started.execution.worker);
        worker.heard = now;
        worker.holds.extend_from_slice(&started.tasks);
        for run in &started.tasks {
            let Some(entry) = self.table.get_mut(run.first) else {
                continue;
            };
            if entry.phase == Phase::Published
                && let Some(batch) = self.batches.get_mut(entry.batch)
            {
                batch.news = now;
            }
            for task in run.tasks() {
                if let Some(entry) = self.table.get_mut(task)
                    && entry.attempt == run.attempt
                {
                    entry.cell.set_running(run.attempt);
                }
            }
        }
    }

    /// A worker says that it is there.
    pub(crate) fn on_hello(&mut self, now: Instant, hello: Hello) {
        self.fleet_orders
            .push(FleetOrder::Heard(hello.name.clone()));
        let worker = self.worker(now, hello.worker);
        worker.name = Some(hello.name.clone());
        worker.node = Some(hello.node);
        worker.heard = now;
        worker.greeted = Some(now);
        worker.slots = Some(hello.slots);
        self.pace.recount_slots();
        let Settings {
            build, same_build, ..
        } = &self.settings;
        let other = self
            .builds
            .meet(build, &hello.name, &hello.build, *same_build);
        if *same_build {
            self.refused = self.refused.take().or(other);
        } else {
            self.notices.extend(other);
        }
        if let Some(at) = self.surplus.iter().position(|name| *name == hello.name) {
            self.surplus.swap_remove(at);
            self.drain.push(hello.worker);
        }
        // The answer to a greeting is the state.
        self.control_changed = true;
    }

    /// A worker's heartbeat. It makes a worker known whose greeting was lost.
    pub(crate) fn on_alive(&mut self, now: Instant, alive: Alive) {
        self.revoked.acknowledged(&alive.revoked);
        let worker = self.worker(now, alive.worker);
        worker.heard = now;
        let returned = std::mem::take(&mut worker.gone);
        let name = worker.name.clone().filter(|_| returned);
        if alive.free == 0 {
            worker.hungry = None;
        } else if alive.empty_pulls > 0 {
            worker.hungry = Some(now);
        }
        worker.proven |= alive.running > 0;
        worker.holds = alive.held;
        if returned {
            self.pace.recount_slots();
        }
        self.fleet_orders.extend(name.map(FleetOrder::Heard));
    }

    /// What the fleet must hear of its workers since the last call.
    pub(crate) fn take_fleet_orders(&mut self) -> Vec<FleetOrder> {
        std::mem::take(&mut self.fleet_orders)
    }

    fn worker(&mut self, now: Instant, id: WorkerId) -> &mut WorkerState {
        self.workers.entry(id).or_insert_with(|| {
            self.pace.recount_slots();
            WorkerState::new(now)
        })
    }

    /// A worker is surplus: it leaves as soon as it greets.
    pub(crate) fn on_surplus(&mut self, name: Arc<str>) {
        let known = |(_, worker): &(&WorkerId, &WorkerState)| worker.name.as_ref() == Some(&name);
        match self.workers.iter().find(known) {
            Some((id, _)) => {
                self.drain.push(*id);
                self.control_changed = true;
            }
            None => self.surplus.push(name),
        }
    }

    /// Whether the last pull of results left nothing behind: only then does silence say something.
    pub(crate) fn set_caught_up(&mut self, caught_up: bool) {
        self.caught_up = caught_up;
    }

    /// The name of a worker, for people.
    pub(crate) fn worker_name(&self, id: WorkerId) -> Option<&Arc<str>> {
        self.workers.get(&id)?.name.as_ref()
    }

    /// Results of an execution. The failures among them are for [`on_failed`](Self::on_failed), when they may be told.
    pub(crate) fn on_results(
        &mut self,
        now: Instant,
        results: &Results,
        entries: &Bytes,
    ) -> Vec<Failed> {
        let mut failures = Vec::new();
        let copy = results.count > 1;
        let packed = self.take_packed(results.execution.worker, entries);
        let worked = self.pace.work();
        let mut at = 0;
        let outcome = loop {
            match result_head(&entries[at..]) {
                Ok(Some(head)) if head.done => {
                    let output = &entries[at + RESULT_HEAD..at + head.length];
                    let result = (head.task, head.attempt, head.elapsed);
                    self.on_done(result, entries, output, copy);
                    at += head.length;
                }
                Ok(Some(head)) => {
                    match next_result(&mut entries.slice(at..)) {
                        Ok(Some(ResultEntry {
                            outcome: Err(failure),
                            ..
                        })) => {
                            self.pace.worked(head.elapsed);
                            failures.push(Failed {
                                task: head.task,
                                attempt: head.attempt,
                                execution: results.execution,
                                elapsed: head.elapsed,
                                failure,
                            });
                        }
                        Ok(_) => {}
                        Err(error) => break Err(error),
                    }
                    at += head.length;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Some(packed) = packed {
            let time = now.saturating_duration_since(packed);
            self.pace.travelled(time, worked);
        }
        if let Err(error) = outcome {
            warn!(%error, execution = %results.execution, "the rest of a result message was dropped");
        }
        failures
    }

    /// `Done` of any attempt ends a task.
    fn on_done(
        &mut self,
        (id, attempt, elapsed): (TaskId, Attempt, Duration),
        message: &Bytes,
        output: &[u8],
        copy: bool,
    ) {
        let Some(entry) = self.end(id) else {
            self.on_late(id, attempt);
            return;
        };
        if entry.phase == Phase::Published && entry.attempt != attempt {
            // The newest attempt is still out, for nothing.
            self.revoke(id, &entry);
        }
        self.unfit.clear();
        let task_type = entry.task_type();
        self.outbox.measured(task_type, elapsed);
        self.pace.done(task_type, elapsed);
        let output = if copy && (INLINE + 1..COPY_BELOW).contains(&output.len()) {
            Bytes::copy_from_slice(output).into()
        } else {
            Output::part(message, output)
        };
        entry.cell.settle(Ok(output), &mut self.wakers);
    }

    /// A result changes nothing any more.
    fn on_late(&mut self, id: TaskId, attempt: Attempt) {
        self.late_results += 1;
        self.control_changed |= self.revoked.ended(id, attempt);
    }

    /// Takes a task out of the table: it has ended.
    fn end(&mut self, id: TaskId) -> Option<Entry> {
        let entry = self.table.remove(id)?;

        match entry.phase {
            Phase::Published => self.unpublish(&entry),
            Phase::Waiting => {
                self.outbox.remove(id, entry.priority(), entry.task_type());
            }
            Phase::Delayed => {}
        }
        if entry.repeated {
            // Another envelope of it may still be about.
            self.revoke(id, &entry);
        }
        Some(entry)
    }

    /// The newest attempt is no longer out.
    fn unpublish(&mut self, entry: &Entry) {
        self.outbox.returned(entry.task_type());
        self.batches.task_left(entry.batch);
    }

    /// When [`on_tick`](Self::on_tick) must be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let delayed = self.delayed.peek().map(|Reverse((at, _))| *at);
        let silence = self.silence_deadline().filter(|_| self.caught_up);
        let told = self.retries.deadline();
        [delayed, self.republish_at, self.revoked_at, silence, told]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        while let Some(Reverse((at, id))) = self.delayed.peek()
            && *at <= now
        {
            let id = TaskId(*id);
            self.delayed.pop();
            self.publish_again(id);
        }
        self.republish_silent(now);
        self.forget_revoked(now);
        self.check_silence(now);
        self.retries.on_tick(now);
    }

    /// Lines to be said.
    pub(crate) fn take_notices(&mut self) -> Vec<String> {
        self.notices.append(&mut self.retries.take());
        std::mem::take(&mut self.notices)
    }

    /// Why a worker that greeted is refused, and the pool with it.
    pub(crate) fn take_refusal(&mut self) -> Option<String> {
        self.refused.take()
    }
}
