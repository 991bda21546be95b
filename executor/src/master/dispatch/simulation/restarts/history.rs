//! What the ledger of a run tells in the end, by its scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Poll, Waker};
use std::time::Duration;

use podpool_core::id::TaskId;
use podpool_core::ledger::{End, EndRecord, Identity, Status, TaskRecord, Why};
use podpool_core::outcome::Cause;

use crate::error::TaskErrorKind;

use super::super::script::Script;
use super::super::site::wall;
use super::lives::{Kind, Life};
use super::master::Master;
use super::program::Call;
use super::world::Restarts;

/// A task that is stored, with its end.
struct Stored {
    record: TaskRecord,
    end: EndRecord,
}

impl Stored {
    fn status(&self) -> Status {
        self.end.end.status()
    }
}

/// Whether a task is as the script of its call allows. `Err` tells what is wrong.
type Judged = Result<(), String>;

impl Restarts {
    /// Each task of the program has one history, and a terminal state in the end.
    pub(super) fn check_history(&mut self) -> Judged {
        if !self.met.contains(&Life::Last) {
            return Err("the last master never came".to_owned());
        }
        let mut tasks: BTreeMap<Identity, Vec<Stored>> = BTreeMap::new();
        let mut numbers = Vec::new();
        self.stored()
            .tasks(&mut |task| numbers.push(task.task))
            .unwrap();
        for number in numbers {
            let record = self.stored().task(number).unwrap();
            let record = record.ok_or_else(|| format!("task {number} is lost"))?;
            let end = self.stored().end(number).unwrap();
            let end = end.ok_or_else(|| format!("task {number} has not ended"))?;
            self.check_times(&end)?;
            let same = tasks.entry(record.identity).or_default();
            same.push(Stored { record, end });
        }
        let calls = self.program.calls.clone();
        let given_up = self.program.given_up.clone();
        let mut known = BTreeSet::new();
        for (number, call) in calls.iter().enumerate() {
            if !known.insert(call.identity) {
                continue;
            }
            let history = tasks.remove(&call.identity);
            let history = history.ok_or_else(|| format!("call {number} is not stored"))?;
            let judged = self.check_call(call, &history, given_up.contains(&number));
            judged.map_err(|why| format!("call {number}, {:?}: {why}", call.script))?;
        }
        match tasks.is_empty() {
            true => Ok(()),
            false => Err(format!("tasks that no call made: {:?}", tasks.keys())),
        }
    }

    /// A time in the queue is by one clock: the worker's began before the simulation, or will after it.
    fn check_times(&self, end: &EndRecord) -> Judged {
        let Some((started, queued)) = end.started.zip(end.queued) else {
            return Ok(());
        };
        let published = started - queued;
        let (begin, now) = (wall(Duration::ZERO), wall(self.now - self.start));
        match begin <= published && started <= now {
            true => Ok(()),
            false => Err(format!("task {} began at no time: {end:?}", end.task)),
        }
    }

    fn check_call(&mut self, call: &Call, history: &[Stored], given_up: bool) -> Judged {
        for (place, stored) in history.iter().enumerate() {
            let before = place.checked_sub(1).map(|place| &history[place]);
            let asked = before.is_some_and(|it| it.record.why == Why::Reprocessed);
            check_why(stored, (before.map(Stored::status), asked), self.kind)?;
            self.check_task(call, stored)?;
        }
        let newest = history.last().expect("it is not empty").status();
        match (given_up, newest) {
            // How it ended is judged with the task.
            (false, Status::Done | Status::Failed) | (true, Status::Cancelled) => Ok(()),
            // By the last program.
            (false, Status::Cancelled) if call.alone => Ok(()),
            (true, other) => Err(format!("it was cancelled, and is {other:?}")),
            (false, other) => Err(format!("its newest task is {other:?}")),
        }
    }

    /// A task ended as its script says, with the attempts that it may have.
    fn check_task(&mut self, call: &Call, stored: &Stored) -> Judged {
        let task = stored.record.task;
        if stored.record.arguments != call.arguments {
            return Err(format!("task {task} has other arguments"));
        }
        if self.facts.cancelled.contains(&task) && stored.status() != Status::Cancelled {
            return Err(format!(
                "task {task} was cancelled, and is {:?}",
                stored.status()
            ));
        }
        match &stored.end.end {
            End::Done(output) => {
                if call.script.end().is_some() {
                    return Err(format!("task {task} has a result"));
                }
                let returned = self.facts.returned.get(&output[..]);
                if returned != Some(&task) || !output.starts_with(&call.arguments[1..]) {
                    return Err(format!("task {task} has the result of {returned:?}"));
                }
            }
            End::Failed { kind, .. } if !self.may_fail(call, task, *kind) => {
                return Err(format!("task {task} failed: {kind:?}"));
            }
            _ => {}
        }
        self.check_attempts(call, stored)
    }

    fn may_fail(&self, call: &Call, task: TaskId, kind: TaskErrorKind) -> bool {
        let blamed = self.facts.blamed.get(&task);
        match kind {
            TaskErrorKind::Crashed if blamed >= Some(&3) => true,
            TaskErrorKind::OutOfMemory | TaskErrorKind::WorkerLost => {
                self.facts.framed.contains(&task)
            }
            kind => call.script.end() == Some(kind),
        }
    }

    /// No attempt is beyond the budget, in the ledger and in the slots, and none is charged that did nothing.
    fn check_attempts(&mut self, call: &Call, stored: &Stored) -> Judged {
        let task = stored.record.task;
        let attempts = self.stored().attempts(task).unwrap();
        let causes: Vec<_> = attempts.iter().map(|it| it.report.cause).collect();
        let count = |of: &[Cause]| causes.iter().filter(|cause| of.contains(cause)).count();
        let failed = count(&[Cause::Failed, Cause::Panicked, Cause::TimedOut]);
        let crashed = count(&[Cause::Crashed]);
        // It is charged only where it ran alone; before that it is a suspect. What an attempt did before its worker was
        // lost, and was reported behind that, is late.
        let suspected = count(&[Cause::Suspect, Cause::Interrupted]);
        let budget = call.retries as usize + 1;
        let blamed = self.facts.blamed.get(&task).copied().unwrap_or_default();
        let (most_failed, most_crashed) = match call.script {
            Script::Fails | Script::Hangs => (budget, blamed),
            Script::FailsOnce | Script::HangsOnce => (1, blamed),
            Script::Crashes => (0, 3 + blamed),
            Script::CrashesOnce => (0, 1 + blamed),
            Script::Quick | Script::Slow | Script::Long => (0, blamed),
        };
        let ran = |of: &BTreeMap<TaskId, BTreeSet<_>>| of.get(&task).map_or(0, BTreeSet::len);
        let ran = (ran(&self.facts.failed), ran(&self.facts.crashed));
        let within = failed <= most_failed
            && crashed <= most_crashed
            && ran.0 <= budget + suspected
            && ran.1 <= 3 + suspected;
        if !within {
            return Err(format!(
                "task {task} was charged too much: {causes:?}, and ran {ran:?}"
            ));
        }
        // All of them, where it failed of itself.
        let spent = match &stored.end.end {
            End::Failed {
                kind: TaskErrorKind::Failed | TaskErrorKind::TimedOut,
                ..
            } => failed == budget,
            End::Failed {
                kind: TaskErrorKind::Crashed,
                ..
            } => crashed >= 3,
            _ => true,
        };
        match spent {
            true => Ok(()),
            false => Err(format!("task {task} was given up too early: {causes:?}")),
        }
    }

    /// Every future of the last program has the end that is stored.
    pub(super) fn check_futures(&mut self, master: &Master) {
        for (number, cell) in &master.cells {
            let call = self.program.calls[*number].clone();
            let Poll::Ready(end) = cell.poll(Waker::noop()) else {
                panic!("call {number} has not ended");
            };
            let kind = end.as_ref().err().map(|error| error.kind());
            let cancelled = kind == Some(TaskErrorKind::Cancelled);
            let right = match (cancelled, kind) {
                (true, _) => master.cancelled.contains(number),
                (false, None) => call.script.end().is_none(),
                (false, Some(kind)) => self.may_fail(&call, cell.id(), kind),
            };
            assert!(
                right,
                "call {number}, {:?}, ended with {kind:?}",
                call.script
            );
        }
    }
}

/// Why a task runs is what became of the one before it, which a user may have `asked` for.
fn check_why(stored: &Stored, (before, asked): (Option<Status>, bool), kind: Kind) -> Judged {
    let right = match stored.record.why {
        Why::First => before.is_none(),
        Why::Failed => before == Some(Status::Failed),
        Why::Cancelled => before == Some(Status::Cancelled),
        // On a cluster it is taken in, and goes on.
        Why::Interrupted => before == Some(Status::Interrupted) && kind == Kind::OneMachine,
        // What is asked for is asked for until it is done.
        Why::Reprocessed => before.is_some() && (before == Some(Status::Done) || asked),
        _ => false,
    };
    let (task, why) = (stored.record.task, stored.record.why);
    match right {
        true => Ok(()),
        false => Err(format!("task {task} runs by {why:?} after {before:?}")),
    }
}
