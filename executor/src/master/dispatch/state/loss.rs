//! Workers go: what they had comes back by its lease, and a task is charged only with proof.

use std::collections::HashSet;
use std::time::Duration;

use podpool_core::envelope::TaskRun;
use podpool_core::fleet::{Departure, End, FleetOrder};
use podpool_core::id::{Attempt, TaskId, WorkerId};
use podpool_core::instant::after;
use podpool_core::outcome::{Cause, Exit, Failure};
use podpool_core::retry::{Blame, Decision, Ended, decide};
use tokio::time::Instant;
use tracing::warn;

use crate::error::AttemptReport;

use super::super::table::Entry;
use super::MasterState;
use super::judge::policy;
use super::remember::{amended_record, attempt_record};
use super::workers::Worker;

impl MasterState {
    /// A worker is gone, as its fleet reports.
    pub(crate) fn on_departure(&mut self, now: Instant, departure: &Departure) {
        self.note_ran(|_, worker| worker.name() == Some(&departure.worker));
        let (ids, mut holds) = self.leave(departure);
        // A termination message is no message of the run, and has no MAC: it counts for that pod's executions alone.
        let own = departure.running.iter();
        let own: Vec<_> = own.filter(|(it, ..)| ids.contains(&it.worker)).collect();
        let running = self.still_out(own.iter().map(|(_, task, n)| (*task, *n)));
        // What ran is added to what the worker held: `Started` and heartbeat of a young batch may be lost with the
        // worker.
        for (task, attempt) in &running {
            TaskRun::push(&mut holds, *task, *attempt);
        }
        let died = matches!(departure.end, End::Died(_) | End::OutOfMemory(_));
        // Of all that ran, not of what is still expected: a task that has ended here may have ended the worker.
        let alone = own.len() == 1;
        for (task, attempt) in self.still_out(each(&holds)) {
            let ran = running.contains(&(task, attempt));
            let blame = match (died && ran, alone) {
                (false, _) => Blame::None,
                (true, true) => Blame::Charged,
                (true, false) => Blame::Suspect,
            };
            let mut report = report(departure, attempt, blame);
            self.complete_loss(task, &mut report);
            self.lose(now, task, attempt, blame, report);
        }
    }

    /// Marks the workers by this name as gone. Returns their numbers, and what they held.
    // All by this name: names come from greetings, and nothing in this state makes them unique.
    fn leave(&mut self, departure: &Departure) -> (Vec<WorkerId>, Vec<TaskRun>) {
        let name = &departure.worker;
        let (mut ids, mut holds) = (Vec::new(), Vec::new());
        let mut was_here = false;
        for (id, worker) in &mut self.workers {
            if worker.name() == Some(name) {
                ids.push(*id);
                was_here |= worker.liveness.is_here();
                holds.append(&mut worker.leave());
                self.drain.retain(|drained| drained != id);
            }
        }
        // It may go before it greets: its name would stay for the rest of the run.
        self.surplus.retain(|surplus| surplus != name);
        self.recount_workers();
        // Not where its silence was reported before; one that never greeted has its end alone.
        if was_here || ids.is_empty() {
            self.note_departure(departure);
        }
        (ids, holds)
    }

    /// Takes workers for lost that sent nothing for so long, although every message was read.
    pub(super) fn check_missed(&mut self, now: Instant) {
        // While results are behind, the heartbeat that is missed may be among them.
        let Some(silence) = self.settings.silence.filter(|_| self.caught_up) else {
            return;
        };
        let silent =
            |worker: &Worker| worker.liveness.is_here() && now >= after(worker.heard, silence);
        // Collected first: each loss changes the workers.
        let lost = self.workers.iter().filter(|(_, worker)| silent(worker));
        let lost: Vec<WorkerId> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.on_missed(now, id, silence);
        }
    }

    fn on_missed(&mut self, now: Instant, id: WorkerId, silence: Duration) {
        self.note_ran(|other, _| other == id);
        let name = self.worker_name(id);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let holds = worker.leave();
        let (known, node) = (worker.name().cloned(), worker.node().cloned());
        self.recount_workers();
        // Orders name a worker by its name: one whose greeting was lost cannot be reported.
        if let Some(name) = known {
            self.order(FleetOrder::Missed(name));
        }
        warn!(worker = %name, "no message came from a worker for {silence:?}; its tasks come back when their leases end");
        let departure = Departure {
            worker: name,
            node,
            end: End::Lost,
            reason: format!("no message came from it for {silence:?}"),
            at: None,
            running: Vec::new(),
        };
        self.note_departure(&departure);
        for (task, attempt) in self.still_out(each(&holds)) {
            let mut report = report(&departure, attempt, Blame::None);
            self.complete_loss(task, &mut report);
            self.lose(now, task, attempt, Blame::None, report);
        }
    }

    /// When the next worker's silence becomes a loss.
    pub(super) fn missed_deadline(&self) -> Option<Instant> {
        let silence = self.settings.silence?;
        let here = self.workers.values().filter(|it| it.liveness.is_here());
        here.map(|worker| after(worker.heard, silence)).min()
    }

    /// Those of some attempts that are still expected to end, each once.
    fn still_out(
        &mut self,
        attempts: impl Iterator<Item = (TaskId, Attempt)>,
    ) -> Vec<(TaskId, Attempt)> {
        let mut seen = HashSet::new();
        attempts
            .filter(|(task, attempt)| self.table.is_out(*task, *attempt) && seen.insert(*task))
            .collect()
    }

    /// An execution was lost with its worker. The message that comes back by its lease is the retry, unless a
    /// budget is spent or the task must run alone: then what is out is revoked first.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        id: TaskId,
        attempt: Attempt,
        blame: Blame,
        mut report: AttemptReport,
    ) {
        let retries = self.settings.retries;
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        // The attempt stays out, under the same number: a result that the worker sent before its end still counts, and
        // so does that of the redelivery. Which of both comes is unknown, so that the task's end revokes the other.
        entry.repeated = true;
        let ran = entry.set_pending();
        let policy = policy(entry, retries);
        let fresh = remember(entry, &mut report);
        let remembered = self.remembered.as_deref();
        self.effects.extend(match fresh {
            true => attempt_record(remembered, id, &report),
            false => amended_record(remembered, id, &report),
        });
        let ended = Ended::Lost {
            blame,
            cause: report.cause,
            fresh,
        };
        let history = entry.history.get_or_insert_default();
        // A loss has no delay that could be shortened.
        let decision = decide(&policy, &mut history.spent, ended, 0.0);
        self.tally.stopped(ran);
        // A loss is news: the batch comes again by its lease, and must not be published beside that.
        if let Some(batch) = self.batches.get_mut(entry.batch) {
            batch.news = now;
        }
        match decision {
            Decision::Wait => self.note_loss(id, fresh),
            // Revoked first, here and in `isolate`: the message comes again in any case, and would run beside the next
            // attempt or after the end.
            Decision::GiveUp => {
                self.revoke_attempts(id, attempt, true);
                self.give_up(id);
            }
            Decision::Retry { after, .. } => self.isolate(now, id, attempt, after),
        }
    }

    /// What is out is revoked, and the next attempt runs with nothing beside it.
    fn isolate(&mut self, now: Instant, id: TaskId, attempt: Attempt, after: Duration) {
        self.revoke_attempts(id, attempt, true);
        if let Some(entry) = self.table.get_mut(id) {
            entry.alone = true;
            let subject = entry.subject(id);
            warn!("{subject} is tried alone: workers were lost with it");
        }
        self.retry(now, id, after);
    }
}

/// Adds a loss to a task's history. False where it was known: the worker reported it itself, or was silent first. The
/// fleet's reason replaces the earlier one, and what was known of its times stays.
fn remember(entry: &mut Entry, report: &mut AttemptReport) -> bool {
    let history = entry.history.get_or_insert_default();
    // The last one alone: losses of one execution are reported one after the other, and another worker's in between
    // makes the next a loss of its own.
    match history
        .attempts
        .last_mut()
        .filter(|last| same(last, report))
    {
        Some(last) => {
            if last.started.is_some() {
                (report.started, report.queued) = (last.started, last.queued);
            }
            last.clone_from(report);
            entry.owners.amended(report);
            false
        }
        None => {
            history.push(report.clone());
            entry.owners.attempted(report);
            true
        }
    }
}

/// Whether two reports are of one loss: the same attempt in the same worker.
fn same(last: &AttemptReport, report: &AttemptReport) -> bool {
    last.attempt == report.attempt
        && last.cause == Cause::Interrupted
        && last.worker.is_some()
        && last.worker == report.worker
}

fn each(runs: &[TaskRun]) -> impl Iterator<Item = (TaskId, Attempt)> {
    runs.iter()
        .flat_map(|run| run.tasks().map(|task| (task, run.attempt)))
}

fn report(departure: &Departure, attempt: Attempt, blame: Blame) -> AttemptReport {
    let cause = match (blame, departure.end) {
        (Blame::None, _) => Cause::Interrupted,
        (Blame::Suspect, _) => Cause::Suspect,
        (Blame::Charged, End::OutOfMemory(_)) => Cause::OutOfMemory,
        (Blame::Charged, _) => Cause::Crashed,
    };
    let exit = match departure.end {
        End::Died(exit) => Some(exit),
        End::OutOfMemory(_) => Some(Exit::Signal(9)),
        _ => None,
    };
    let message = format!("its worker went: {}", departure.reason);
    let failure = Failure {
        exit,
        ..Failure::new(cause, message)
    };
    let mut report = AttemptReport::new(attempt, failure);
    report.worker = Some(departure.worker.clone());
    report.node.clone_from(&departure.node);
    report
}
