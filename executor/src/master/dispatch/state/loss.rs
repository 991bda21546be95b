//! Workers go: what they had comes back by its lease, and only proof puts blame on a task.

use std::collections::HashSet;
use std::time::Duration;

use podpool_core::envelope::TaskRun;
use podpool_core::fleet::{Departure, End, FleetOrder};
use podpool_core::id::{Attempt, TaskId, WorkerId};
use podpool_core::instant::after;
use podpool_core::outcome::{Cause, Exit, Failure};
use tokio::time::Instant;
use tracing::warn;

use crate::error::AttemptReport;

use super::judge::is_out;
use super::{State, WorkerState};

/// Losses in a row after which a task runs alone: it may be what its workers die of.
const ALONE_AFTER: u32 = 5;
/// Losses after which a task is given up.
pub(super) const GIVE_UP_AFTER: u32 = 100;
/// Workers that may die of one task.
const POISON: u32 = 3;

/// What a worker's end means for a task that it had.
enum Blame {
    /// Nothing: it was lost with its worker.
    None,
    /// Its worker died while it alone ran there.
    Charged,
    /// Its worker died while others ran there too.
    Suspect,
}

impl State {
    /// A worker is gone, as its fleet saw it.
    pub(crate) fn on_departure(&mut self, now: Instant, departure: &Departure) {
        let named = |worker: &WorkerState| worker.name.as_ref() == Some(&departure.worker);
        let ids = self.workers.iter().filter(|(_, worker)| named(worker));
        let ids: Vec<WorkerId> = ids.map(|(id, _)| *id).collect();
        let mut holds = Vec::new();
        for id in &ids {
            if let Some(worker) = self.workers.get_mut(id) {
                worker.gone = true;
                worker.hungry = None;
                holds.append(&mut worker.holds);
            }
            self.drain.retain(|drained| drained != id);
        }
        self.pace.recount_slots();
        let running = self.still_out(departure.running.iter().map(|(_, task, n)| (*task, *n)));
        for (task, attempt) in &running {
            TaskRun::push(&mut holds, *task, *attempt);
        }
        let blamed = matches!(departure.end, End::Died(_) | End::OutOfMemory(_));
        let alone = running.len() == 1;
        for (task, attempt) in self.still_out(each(&holds)) {
            let blame = match (blamed && running.contains(&(task, attempt)), alone) {
                (false, _) => Blame::None,
                (true, true) => Blame::Charged,
                (true, false) => Blame::Suspect,
            };
            self.lose(
                now,
                task,
                attempt,
                &blame,
                &story(departure, attempt, &blame),
            );
        }
    }

    /// Takes workers for lost that said nothing for so long, although every message was read.
    pub(super) fn check_silence(&mut self, now: Instant) {
        let Some(silence) = self.settings.silence.filter(|_| self.caught_up) else {
            return;
        };
        let silent = |worker: &WorkerState| !worker.gone && now >= after(worker.heard, silence);
        let lost = self.workers.iter().filter(|(_, worker)| silent(worker));
        let lost: Vec<WorkerId> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.on_silence(now, id, silence);
        }
    }

    fn on_silence(&mut self, now: Instant, id: WorkerId, silence: Duration) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.gone = true;
        worker.hungry = None;
        let holds = std::mem::take(&mut worker.holds);
        let known = worker.name.clone().map(FleetOrder::Silent);
        self.pace.recount_slots();
        self.fleet_orders.extend(known);
        let name = worker.name.clone().unwrap_or_else(|| id.to_string().into());
        let node = worker.node.clone();
        warn!(worker = %name, "a worker was not heard for {silence:?}; what it had comes back by its lease");
        let departure = Departure {
            worker: name,
            node,
            end: End::Lost,
            reason: format!("it was not heard for {silence:?}"),
            at: None,
            running: Vec::new(),
        };
        for (task, attempt) in self.still_out(each(&holds)) {
            let story = story(&departure, attempt, &Blame::None);
            self.lose(now, task, attempt, &Blame::None, &story);
        }
    }

    /// When the next worker will have been silent for too long.
    pub(super) fn silence_deadline(&self) -> Option<Instant> {
        let silence = self.settings.silence?;
        let live = self.workers.values().filter(|worker| !worker.gone);
        live.map(|worker| after(worker.heard, silence)).min()
    }

    /// Those of some attempts that are still expected to end, each once.
    fn still_out(
        &mut self,
        attempts: impl Iterator<Item = (TaskId, Attempt)>,
    ) -> Vec<(TaskId, Attempt)> {
        let mut seen = HashSet::new();
        let mut out = Vec::new();
        for (task, attempt) in attempts {
            let entry = self.table.get_mut(task);
            if entry.is_some_and(|entry| is_out(entry, attempt)) && seen.insert(task) {
                out.push((task, attempt));
            }
        }
        out
    }

    /// An execution was lost with its worker. The message that comes back by its lease is the retry, unless a
    /// budget is spent or the task must run alone: then what is out is revoked first.
    fn lose(
        &mut self,
        now: Instant,
        id: TaskId,
        attempt: Attempt,
        blame: &Blame,
        story: &AttemptReport,
    ) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.repeated = true;
        entry.cell.set_pending();
        let batch = entry.batch;
        let history = entry.history.get_or_insert_default();
        let known = history.attempts.last_mut().filter(|last| same(last, story));
        let news = known.is_none();
        match known {
            // The worker reported it itself, or it was silent first: its fleet knows better why.
            Some(last) => {
                last.clone_from(story);
                entry.cell.amend(story.clone());
            }
            None => {
                history.push(story.clone());
                entry.cell.remember(story.clone());
            }
        }
        history.losses += u32::from(news);
        history.losses_in_row += u32::from(news);
        let ladder = (history.losses, history.losses_in_row);
        let over = match blame {
            Blame::Charged if story.cause == Cause::OutOfMemory => {
                history.spent.out_of_memory += 1;
                history.spent.out_of_memory > self.settings.out_of_memory
            }
            Blame::Charged => {
                history.poison += 1;
                history.poison >= POISON
            }
            Blame::Suspect => false,
            Blame::None => ladder.0 >= GIVE_UP_AFTER,
        };
        if let Some(batch) = self.batches.get_mut(batch) {
            batch.news = now;
        }
        let must_be_alone = matches!(blame, Blame::Suspect) || ladder.1 >= ALONE_AFTER;
        if over {
            self.give_up_lost(id, attempt);
        } else if must_be_alone {
            self.isolate(now, id, attempt);
        }
    }

    fn give_up_lost(&mut self, id: TaskId, attempt: Attempt) {
        self.revoke_attempts(id, attempt, true);
        self.give_up(id);
    }

    /// What is out is revoked, and the next attempt runs with nothing beside it.
    fn isolate(&mut self, now: Instant, id: TaskId, attempt: Attempt) {
        self.revoke_attempts(id, attempt, true);
        if let Some(entry) = self.table.get_mut(id) {
            if let Some(history) = &mut entry.history {
                history.losses_in_row = 0;
            }
            entry.alone = true;
            let subject = entry.subject();
            warn!("{subject} is tried alone: workers were lost with it");
        }
        self.retry(now, id, Duration::ZERO);
    }

    /// A worker reported that it gave a task back.
    pub(super) fn on_interrupted(
        &mut self,
        now: Instant,
        id: TaskId,
        attempt: Attempt,
        story: &AttemptReport,
    ) {
        self.lose(now, id, attempt, &Blame::None, story);
    }
}

/// Whether two stories tell of one loss: the same attempt in the same worker.
fn same(last: &AttemptReport, story: &AttemptReport) -> bool {
    last.attempt == story.attempt
        && last.cause == Cause::Interrupted
        && last.worker.is_some()
        && last.worker == story.worker
}

fn each(runs: &[TaskRun]) -> impl Iterator<Item = (TaskId, Attempt)> {
    runs.iter()
        .flat_map(|run| run.tasks().map(|task| (task, run.attempt)))
}

fn story(departure: &Departure, attempt: Attempt, blame: &Blame) -> AttemptReport {
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
    let mut story = AttemptReport::new(
        attempt,
        Failure {
            exit,
            ..Failure::new(cause, message)
        },
    );
    story.worker = Some(departure.worker.clone());
    story.node.clone_from(&departure.node);
    story
}
