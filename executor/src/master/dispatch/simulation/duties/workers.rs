//! What is known of the workers: who is there, and what it holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use podpool_core::envelope::{Alive, Hello, Started, TaskRun};
use podpool_core::fleet::{Departure, End};
use podpool_core::id::WorkerId;
use podpool_core::outcome::Cause;
use podpool_core::retry::Blame;
use tokio::time::Instant;

use super::super::worker::SLOTS;
use super::Duties;
use super::orders::Order;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: Option<Arc<str>>,
    pub(super) greeted: Option<Instant>,
    here: bool,
    heard: Instant,
    holds: Vec<TaskRun>,
    sequence: u64,
    idle: Option<Instant>,
    pub(super) replays: u64,
    unfit: bool,
}

impl Worker {
    pub(super) const fn is_fit(&self) -> bool {
        self.here && !self.unfit
    }

    /// It is lost or has left, with what it held.
    fn leave(&mut self) -> Vec<TaskRun> {
        self.here = false;
        self.idle = None;
        std::mem::take(&mut self.holds)
    }
}

impl Duties {
    fn worker(&mut self, id: WorkerId) -> &mut Worker {
        let now = self.now;
        self.workers.entry(id).or_insert_with(|| Worker {
            name: None,
            greeted: None,
            here: true,
            heard: now,
            holds: Vec::new(),
            sequence: 0,
            idle: None,
            replays: 0,
            unfit: false,
        })
    }

    /// The first greeting counts, and each newer one.
    pub(super) fn hello(&mut self, hello: &Hello) {
        let now = self.now;
        let worker = self.worker(hello.worker);
        let newer = hello.sequence > worker.sequence;
        worker.sequence = worker.sequence.max(hello.sequence);
        if !newer && worker.greeted.is_some() {
            return;
        }
        worker.heard = now;
        worker.greeted = Some(now);
        worker.name = Some(hello.name.clone());
        self.orders.push(Order::Heard(hello.name.clone()));
        if self.surplus.contains(&hello.name) {
            self.surplus.retain(|name| *name != hello.name);
            self.drain.insert(hello.worker);
        }
        self.changed();
    }

    /// A heartbeat behind a newer one changes nothing.
    pub(super) fn beat(&mut self, alive: &Alive) {
        let now = self.now;
        let worker = self.worker(alive.worker);
        if alive.sequence <= worker.sequence {
            return;
        }
        worker.sequence = alive.sequence;
        worker.replays = alive.replays;
        worker.heard = now;
        worker.holds.clone_from(&alive.held);
        worker.idle = match (alive.free, alive.empty_pulls) {
            (0, _) => None,
            (_, 0) => worker.idle,
            _ => Some(now),
        };
        let returned = !std::mem::replace(&mut worker.here, true);
        let name = worker.name.clone().filter(|_| returned);
        self.orders.extend(name.map(Order::Heard));
        self.acknowledged(alive);
    }

    pub(super) fn started(&mut self, started: &Started) {
        let now = self.now;
        let worker = self.worker(started.execution.worker);
        worker.heard = now;
        worker.holds.extend_from_slice(&started.tasks);
        let each = started
            .tasks
            .iter()
            .flat_map(|run| run.tasks().map(|task| (task.0, run.attempt.0)));
        for (number, attempt) in each {
            if self.unended.contains(&number) && self.task(number).attempt == attempt {
                let task = self.task_mut(number);
                task.running = true;
                if let Some(batch) = task.batch().and_then(|batch| self.batches.get_mut(&batch)) {
                    batch.news = now;
                }
            }
        }
    }

    /// The slots of a worker do not start: it leaves.
    pub(super) fn unfit(&mut self, id: WorkerId) {
        let worker = self.worker(id);
        if !std::mem::replace(&mut worker.unfit, true) {
            worker.idle = None;
            self.drain.insert(id);
            self.changed();
        }
    }

    /// Workers are lost that sent nothing for a lease, although every message was read.
    pub(super) fn look_for_silence(&mut self) {
        let silent = self.now.checked_sub(self.settings.lease);
        let Some(before) = silent.filter(|_| self.caught_up) else {
            return;
        };
        let lost = |worker: &Worker| worker.here && worker.heard <= before;
        let lost = self.workers.iter().filter(|(_, worker)| lost(worker));
        let lost: Vec<_> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            let worker = self.worker(id);
            let (holds, name) = (worker.leave(), worker.name.clone());
            self.orders.extend(name.clone().map(Order::Silent));
            let name = name.unwrap_or_else(|| id.to_string().into());
            for task in self.out_of(&holds) {
                self.lose(task, Blame::None, Cause::Interrupted, Some(name.clone()));
            }
        }
    }

    /// The fleet reports that a worker is gone: what ran there is charged if it ran alone, and suspect beside others.
    pub(super) fn depart(&mut self, departure: &Departure) {
        let (mut ids, mut holds) = (BTreeSet::new(), Vec::new());
        for (id, worker) in &mut self.workers {
            if worker.name.as_ref() == Some(&departure.worker) {
                ids.insert(*id);
                holds.append(&mut worker.leave());
            }
        }
        self.drain.retain(|id| !ids.contains(id));
        let own = departure.running.iter();
        let own: Vec<_> = own.filter(|(it, ..)| ids.contains(&it.worker)).collect();
        let ran: Vec<_> = own
            .iter()
            .map(|(_, task, attempt)| (task.0, attempt.0))
            .collect();
        let ran: BTreeSet<_> = ran
            .into_iter()
            .filter(|(task, n)| self.out(*task) == Some(*n))
            .collect();
        let runs = ran.iter().map(|(task, _)| *task);
        let mut tasks = self.out_of(&holds);
        let more: Vec<_> = runs.clone().filter(|task| !tasks.contains(task)).collect();
        tasks.extend(more);
        for task in tasks {
            let charged = runs.clone().any(|other| other == task);
            let (blame, cause) = match (departure.end, charged, own.len()) {
                (End::Died(_), true, 1) => (Blame::Charged, Cause::Crashed),
                (End::OutOfMemory(_), true, 1) => (Blame::Charged, Cause::OutOfMemory),
                (End::Died(_) | End::OutOfMemory(_), true, _) => (Blame::Suspect, Cause::Suspect),
                _ => (Blame::None, Cause::Interrupted),
            };
            self.lose(task, blame, cause, Some(departure.worker.clone()));
        }
    }

    /// The tasks of some attempts that are expected to end.
    fn out_of(&self, runs: &[TaskRun]) -> Vec<u64> {
        let each = runs
            .iter()
            .flat_map(|run| run.tasks().map(|task| (task.0, run.attempt.0)));
        let mut tasks = Vec::new();
        for (task, attempt) in each {
            if self.out(task) == Some(attempt) && !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        tasks
    }

    /// A worker is surplus: it leaves once it has greeted.
    pub(in super::super) fn surplus(&mut self, name: Arc<str>) {
        self.judge_all();
        let known = |(_, worker): &(&WorkerId, &Worker)| worker.name.as_ref() == Some(&name);
        match self.workers.iter().find(known).map(|(id, _)| *id) {
            Some(id) => {
                self.drain.insert(id);
                self.changed();
            }
            None => self.surplus.push(name),
        }
    }

    /// Whether a worker pulled in vain after a time, and was heard after it.
    pub(super) fn is_idle(&self, before: Instant) -> bool {
        let mut here = self
            .workers
            .values()
            .filter(|it| it.here && it.heard > before);
        here.any(|worker| worker.idle.is_some_and(|at| at > before))
    }

    /// What the workers hold that were heard after a time.
    pub(super) fn held_after(&self, before: Instant) -> BTreeSet<u64> {
        let here = self
            .workers
            .values()
            .filter(|it| it.here && it.heard > before);
        let runs = here.flat_map(|worker| &worker.holds);
        runs.flat_map(|run| run.tasks())
            .map(|task| task.0)
            .collect()
    }

    /// Slots of the workers that are there, as many as there may be at most.
    pub(super) fn fit_slots(&self) -> usize {
        let fit = self.workers.values().filter(|worker| worker.is_fit());
        (fit.count() * SLOTS as usize).min(self.settings.slots)
    }
}
