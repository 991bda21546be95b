//! Messages on the results' queue, and reports of fleet and broker.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::entry::result_head;
use podpool_core::envelope::{Alive, Hello, Message, Printed, Results, Started, TaskRun};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{RunId, TaskId, WorkerId};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::error::{ShutdownError, TaskErrorKind};
use crate::master::mailbox::Closed;

use super::super::effect::Effect;
use super::life::Breach;
use super::workers::{Greeting, Worker};
use super::{MasterState, Phase};

impl MasterState {
    /// A message came on the results' queue.
    pub(crate) fn on_message(&mut self, now: Instant, body: Bytes) {
        let message = Message::read(body, &self.settings.mac_key);
        // Before the content counts: a worker of a run that another master has taken over echoes that master's epoch in
        // any message, and this master must stop before it settles a task.
        let origin = message.as_ref().ok().and_then(Message::origin);
        if let Some((run, epoch)) = origin
            && !self.is_ours(run, epoch)
        {
            return;
        }
        match message {
            Ok(Message::Results(results, entries)) => self.on_result(now, &results, &entries),
            Ok(Message::Started(started)) => self.on_started(now, &started),
            Ok(Message::Alive(alive)) => self.on_alive(now, alive),
            Ok(Message::Hello(hello)) => self.on_hello(now, hello),
            Ok(Message::Printed(printed)) => self.on_printed(printed),
            Ok(Message::Reference(lost, _)) => self.on_lost_results(now, &lost),
            Ok(_) => self.drop_message("it is no worker's"),
            Err(error) => self.drop_message(&error.to_string()),
        }
    }

    /// Whether a message is this run's and this master's: of its own run, from any epoch up to its own.
    fn is_ours(&mut self, run: &RunId, epoch: u64) -> bool {
        if *run != self.settings.run {
            self.drop_message(&format!("it is of run {run}"));
            return false;
        }
        if epoch > self.settings.epoch {
            self.supersede(epoch);
            return false;
        }
        true
    }

    /// Such a message proves nothing and names no task.
    fn drop_message(&mut self, problem: &str) {
        self.dropped += 1;
        warn!(
            problem,
            dropped = self.dropped,
            "a message on the results' queue was dropped"
        );
    }

    /// Results of an execution. Failures among them wait for the lines before them.
    fn on_result(&mut self, now: Instant, results: &Results, entries: &Bytes) {
        // The worker of this process puts its lines into the buffer before it reports how a task ended.
        let lines = if self.settings.elsewhere {
            results.lines
        } else {
            0
        };
        self.after_lines
            .expect_lines(results.execution.worker, lines);
        // Before the results are read: `Done` takes its task out of the table, and an earlier failure would then count
        // as late and be missing from the task's attempts.
        self.judge_earlier(now, entries);
        for failed in self.on_results(now, results, entries) {
            self.after_lines.add(now, failed, lines);
        }
    }

    /// Judges the failures of tasks that have returned by now: nothing is reported of a task after its result.
    fn judge_earlier(&mut self, now: Instant, mut entries: &[u8]) {
        // Nearly always: otherwise each message of thousands of results would be read twice.
        if self.after_lines.is_empty() {
            return;
        }
        let mut tasks = HashSet::new();
        while let Ok(Some(head)) = result_head(entries) {
            if head.done {
                tasks.insert(head.task);
            }
            entries = &entries[head.length..];
        }
        for failed in self.after_lines.of(|task: TaskId| tasks.contains(&task)) {
            self.on_failed(now, &failed);
        }
    }

    fn on_printed(&mut self, printed: Printed) {
        // A failure that waits for these lines is not judged here: the loop does that after it has carried out `Show`,
        // so that the lines are in the buffer whose position the failure then waits for.
        self.after_lines.came(printed.worker, printed.through);
        let name = self.worker_name(printed.worker);
        self.effects.push(Effect::Show(name, Box::new(printed)));
    }

    /// A worker took a batch.
    pub(crate) fn on_started(&mut self, now: Instant, started: &Started) {
        let worker = self.worker(now, started.execution.worker);
        worker.heard = now;
        worker.runs = worker.runs.max(1);
        // Added and not replaced: the message names one batch. A duplicate adds it twice, and the next heartbeat
        // replaces the list.
        worker.holds.extend_from_slice(&started.tasks);
        let mut begun = Vec::new();
        for run in &started.tasks {
            // Each for itself: any of them may have ended, by a cancel or by the result of another envelope, and a part of
            // the batch may have been put back.
            for task in run.tasks() {
                let Some(entry) = self.table.get_mut(task) else {
                    continue;
                };
                // The newest attempt alone: a late `Started` of a failed one would show a task as running between
                // attempts, and a shutdown that cancels what has not begun would leave it.
                if entry.attempt != run.attempt {
                    continue;
                }
                if entry.set_running() {
                    begun.push((task, entry.attempt));
                }
                if entry.phase == Phase::Published
                    && let Some(batch) = self.batches.get_mut(entry.batch)
                {
                    batch.news = now;
                    batch.begun = Some(self.wall);
                }
            }
        }
        self.note_begun(&begun, started.execution.worker);
    }

    /// A worker's greeting. Its content stays true, so that the first counts even behind a heartbeat; one of the same
    /// sequence is the first, delivered again.
    pub(crate) fn on_hello(&mut self, now: Instant, hello: Hello) {
        let name = hello.name;
        let worker = self.worker(now, hello.worker);
        if !worker.is_news(hello.sequence) && worker.greeting.is_some() {
            return;
        }
        worker.heard = now;
        worker.greeting = Some(Greeting {
            at: now,
            name: name.clone(),
            node: hello.node,
            class: hello.class,
            slots: hello.slots,
        });
        self.order(FleetOrder::Present(name.clone()));
        self.recount_workers();
        self.note_arrival(hello.worker);
        // The fleet may have named it as surplus before it greeted: control names workers by number, which comes only
        // now.
        if let Some(at) = self.surplus.iter().position(|other| *other == name) {
            self.surplus.swap_remove(at);
            self.drain.push(hello.worker);
        }
        self.drain_beyond();
        // The answer to a greeting is the state.
        self.announced.changed();
        self.compare_builds(now, &name, &hello.build);
    }

    fn compare_builds(&mut self, now: Instant, name: &str, build: &str) {
        let required = self.settings.same_build;
        let own = &self.settings.build;
        match self.builds.meet(own, name, build, required) {
            Some(reason) if required => self.break_pool(now, &reason),
            Some(line) => self.effects.push(Effect::Notice(line)),
            None => {}
        }
    }

    /// A worker's heartbeat. It adds a worker whose greeting was lost. A heartbeat behind a newer one changes nothing:
    /// what the worker held then may have ended, and what it acknowledged may have been revoked again.
    // Acknowledgements in a heartbeat that is lost or overtaken are not repeated: `forget_revoked` removes their
    // ranges.
    pub(crate) fn on_alive(&mut self, now: Instant, alive: Alive) {
        if !self.worker(now, alive.worker).is_news(alive.sequence) {
            return;
        }
        let adopted_below = self.adopted_below;
        self.note_clock(now, alive.worker, alive.epoch, alive.at);
        self.note_ran(|id, _| id == alive.worker);
        let worker = self.worker(now, alive.worker);
        (worker.reported, worker.runs) = (now, alive.running);
        worker.replays = alive.replays;
        // Read before the beat, which brings the worker back.
        let returned = !worker.liveness.is_here();
        worker.heard = now;
        worker
            .liveness
            .beat(now, alive.running, alive.free, alive.empty_pulls);
        // A heartbeat names all that the worker holds, so that what ended since the last one leaves the list.
        worker.holds = alive.held;
        let mut holds = worker.holds.iter();
        let holds = match holds.any(|run| run.first < adopted_below) {
            true => worker.holds.clone(),
            false => Vec::new(),
        };
        let name = worker.name().cloned();
        self.revoked.acknowledged(&alive.revoked);
        self.note_held(alive.worker, &holds);
        if returned {
            self.recount_workers();
            self.note_arrival(alive.worker);
            if let Some(name) = name {
                self.order(FleetOrder::Present(name));
            }
        }
    }

    /// A worker holds tasks whose begin it reported to an earlier master: they have begun.
    fn note_held(&mut self, worker: WorkerId, holds: &[TaskRun]) {
        let mut begun = Vec::new();
        for (task, attempt) in holds
            .iter()
            .flat_map(|run| run.tasks().map(|task| (task, run.attempt)))
        {
            let of_earlier = task < self.adopted_below && self.table.is_out(task, attempt);
            if of_earlier
                && let Some(entry) = self.table.get_mut(task)
                && entry.set_running()
            {
                begun.push((task, attempt));
            }
        }
        self.note_begun(&begun, worker);
    }

    /// The fleet reports.
    pub(crate) fn on_fleet(&mut self, now: Instant, event: FleetEvent) {
        // It tells nothing of a worker's tasks, so nothing is judged before it.
        if let FleetEvent::Placed { worker, place } = event {
            return self.on_placed(worker, place);
        }
        // What a worker reported of its tasks comes before what its fleet reports of the worker.
        self.judge_all_failures(now);
        match event {
            FleetEvent::Gone(departure) => self.on_departure(now, &departure),
            FleetEvent::Surplus(worker) => self.on_surplus(worker),
            FleetEvent::Broken(reason) => self.break_pool(now, &reason),
            // The ledger alone remembers it.
            FleetEvent::Cohort { .. } => {}
            FleetEvent::Supply { workers, reason } => self.tally.set_supply(workers, reason),
            FleetEvent::Ended { leftovers } => {
                if !self.life.fleet_ended(leftovers) {
                    // Whether tasks are pending or not: later ones would wait for ever.
                    self.break_pool(now, "the workers ended without an order");
                }
            }
            other => debug!(?other, "the fleet reported something new"),
        }
    }

    /// The broker reports.
    pub(crate) fn on_broker(&mut self, now: Instant, event: BrokerEvent) {
        // What a worker reported of its tasks comes before what the broker reports of its queues.
        self.judge_all_failures(now);
        match event {
            BrokerEvent::Restored => self.republish_all(now),
            // By `breach`, which leads to the fleet's removal: the older run keeps the names, and this run's objects
            // go.
            BrokerEvent::NamesInUse { by } => {
                let error = ShutdownError::NamesInUse { by: by.clone() };
                self.breach(now, Breach::NamesInUse(by), &error.to_string());
            }
            BrokerEvent::Broken(reason) => self.break_pool(now, &reason),
            other => debug!(?other, "the broker reported something new"),
        }
    }

    /// A worker is surplus: it leaves as soon as it greets.
    fn on_surplus(&mut self, name: Arc<str>) {
        let known = |(_, worker): &(&WorkerId, &Worker)| worker.name() == Some(&name);
        match self.workers.iter().find(known).map(|(id, _)| *id) {
            Some(id) => self.drain_worker(id),
            None => self.surplus.push(name),
        }
    }

    pub(super) fn drain_worker(&mut self, id: WorkerId) {
        self.drain.push(id);
        self.announced.changed();
    }

    /// Whether the last pull of results left nothing behind: only then does a worker's silence prove something.
    pub(crate) fn set_caught_up(&mut self, caught_up: bool) {
        self.caught_up = caught_up;
        self.read_once |= caught_up;
    }

    /// Another master has taken the run: this one stops, and leaves everything to it.
    pub(crate) fn supersede(&mut self, epoch: u64) {
        let reason = superseded(self.settings.epoch, epoch);
        // Many messages may have the higher epoch: only the first of them counts.
        if self.life.breach(Breach::Superseded(epoch), &reason) {
            self.order(FleetOrder::Abandon);
            // In this call and not at the end of the turn: `announce_to_fleet` would send a broken run's fleet the order to
            // stop, and so remove the workers of the other master.
            self.life.end_fleet();
            self.close(Closed::Broken(reason.as_str().into()));
            self.end_all(TaskErrorKind::PoolBroken, &reason);
        }
    }
}

/// Why a master stops whose run another master has taken.
fn superseded(own: u64, epoch: u64) -> String {
    format!(
        "superseded: another master has taken this run over (its epoch is {epoch}, this one's {own}); its tasks go on there"
    )
}
