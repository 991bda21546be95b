//! What the loop does with the ledger: it carries out what has waited, and ends the pool where nothing can be stored.

use podpool_core::fleet::FleetEvent;
use podpool_core::ledger::{EventRecord, LedgerError, Record};
use podpool_core::notice;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::error::start::chain;
use crate::error::{TaskError, TaskErrorKind};
use crate::master::events::EventKind;
use crate::master::ledger::{Answer, now};
use crate::master::mailbox::Closed;
use crate::master::owners::Ended;

use super::RunningDispatch;
use super::commits::Held;
use super::effect::Effect;

impl RunningDispatch {
    /// Does something now, or when the records before it are stored.
    pub(super) fn do_after_commit(&mut self, held: Held) {
        if let Some(held) = self.commits.hold(held) {
            self.carry(held);
        }
    }

    fn carry(&mut self, held: Held) {
        match held {
            Held::Effect(Effect::Settle(ended)) => ended.notify(&mut self.wakers),
            Held::Effect(Effect::Publish {
                class,
                batch,
                message,
            }) => self.tasks.push(class, message, batch),
            // A fleet that has ended by itself needs no orders.
            Held::Effect(Effect::Fleet(order)) => drop(self.fleet.orders.send(order)),
            Held::Effect(_) => {}
            Held::Acknowledge(leases) => self.answer_now(leases),
            // The caller may have gone.
            Held::Reply(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    /// Records what happened to the run as a whole, for people.
    pub(super) fn remember_that(&mut self, kind: &str, text: impl FnOnce() -> String) {
        if self.commits.is_used() {
            self.commits.record(Record::Event(EventRecord {
                at: now(),
                kind: kind.to_owned(),
                text: text(),
            }));
        }
    }

    /// Records that a group of workers was asked for.
    pub(super) fn remember_cohort(&mut self, event: &FleetEvent) {
        let FleetEvent::Cohort {
            cohort,
            name,
            taken_over,
        } = event
        else {
            return;
        };
        let kind = match taken_over {
            true => "cohort taken over",
            false => "cohort opened",
        };
        self.remember_that(kind, || {
            let (number, class, size) = (cohort.number, cohort.class, cohort.size);
            let workers = if size == 1 { "worker" } else { "workers" };
            format!("cohort {number}, {name}, of class {class}: {size} {workers}")
        });
    }

    /// Records that a worker came or went.
    pub(super) fn remember_event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::WorkerCame {
                worker,
                node,
                place,
                slots,
            } => self.remember_that("worker came", || {
                let place = place.as_ref().map_or_else(String::new, |it| it.to_string());
                let place = match place.is_empty() {
                    true => String::new(),
                    false => format!(" ({place})"),
                };
                format!("worker {worker} came, on node {node}{place}, with {slots} slots")
            }),
            EventKind::WorkerWent {
                worker,
                node,
                reason,
            } => self.remember_that("worker went", || match node {
                Some(node) => format!("worker {worker} went, on node {node}: {reason}"),
                None => format!("worker {worker} went: {reason}"),
            }),
            _ => {}
        }
    }

    /// Records why no task is taken any more, unless the program shut the run down.
    pub(super) fn remember_end(&mut self, closed: &Closed) {
        match closed {
            Closed::ShutDown => {}
            Closed::Broken(reason) => self.remember_that("broken", || reason.as_ref().to_owned()),
            Closed::Limit(error) => self.remember_that("limit", || error.to_string()),
        }
    }

    pub(super) fn on_ledger(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Stored(records, bytes) => {
                self.commits.on_stored(records, bytes);
                while let Some(held) = self.commits.ready() {
                    self.carry(held);
                }
            }
            Answer::Fetched(results) => {
                self.observed.measured.add_stored(results.len());
                for (call, task, output) in results {
                    self.state.on_fetched(call, task, output);
                }
                self.carry_out();
            }
            Answer::Refused(reason) => {
                notice::trouble(format!(
                    "the ledger stores nothing at present: {reason}; results wait for it, and it is tried again"
                ));
                self.commits.set_refusal(Some(reason));
            }
            Answer::Served => {
                notice::trouble("the ledger answers again".to_owned());
                self.commits.set_refusal(None);
            }
            Answer::Failed(error) => self.on_ledger_failed(now, &error),
            Answer::Asked(id, asked) => self.on_asked(id, asked),
            Answer::Released => {}
        }
    }

    /// Nothing can be stored any more: the pool is broken, and what was not stored is done again by the next master.
    fn on_ledger_failed(&mut self, now: Instant, error: &LedgerError) {
        let reason = match error {
            LedgerError::Superseded { .. } => error.to_string(),
            _ => format!("the ledger failed: {}", chain(error)),
        };
        match error {
            LedgerError::Superseded { epoch, .. } => {
                // First: what was held back of the run's removal must not be carried out.
                self.state.supersede(*epoch);
                self.give_up_held(&reason);
            }
            _ => {
                self.give_up_held(&reason);
                self.state.break_pool(now, &reason);
            }
        }
        self.carry_out();
    }

    /// What waits for the ledger ends without it. A fleet is ordered to end, unless another master has the run.
    pub(super) fn give_up_held(&mut self, reason: &str) {
        let left = self.state.life().is_left();
        for held in self.commits.fail() {
            match held {
                Held::Effect(Effect::Fleet(order)) if !left => {
                    drop(self.fleet.orders.send(order));
                }
                // Their results are not remembered: whoever has one would not find it again.
                Held::Effect(Effect::Settle(ended)) => {
                    if ended.outcome.is_ok() {
                        self.state.note_unremembered();
                    }
                    unremembered(ended, reason).notify(&mut self.wakers);
                }
                // Nothing of them was stored: results come again, and batches must not run.
                Held::Effect(_) | Held::Acknowledge(_) => {}
                Held::Reply(reply, outcome) => drop(reply.send(outcome)),
            }
        }
    }

    /// Ends the wait of a run that was aborted or broke, and of which nothing is left but what is not stored.
    pub(super) fn end_of_waiting(&mut self, now: Instant) {
        if self.state.life().is_given_up()
            && self.commits.holds_fleet()
            && now >= self.commits.last_call(now)
        {
            // Whether another master has the run cannot be learned: whoever aborts does not want to wait for the disk.
            warn!("the ledger does not answer; the run is removed");
            for order in self.commits.take_fleet() {
                drop(self.fleet.orders.send(order));
            }
        }
        let left = self.state.is_over() && !self.commits.is_idle();
        if left && self.state.life().is_given_up() && now >= self.commits.last_call(now) {
            warn!("records of the run could not be stored before its end");
            let reason = "results could not be stored before the executor ended";
            self.give_up_held(reason);
            // The outcome of the shutdown: no task is left that could end by it.
            self.state.break_pool(now, reason);
            self.carry_out();
        }
    }

    /// The run is released, so that the next master need not ask whether this one lives. A master that has lost the run
    /// meanwhile learns it here.
    pub(super) async fn release_ledger(&mut self) {
        if !self.commits.release(self.inbox.next()) {
            return;
        }
        let released = async {
            loop {
                match self.commits.answer().await {
                    Answer::Released => return None,
                    Answer::Failed(error) => return Some(error),
                    _ => {}
                }
            }
        };
        // The thread of the ledger tries a transaction for as long as a queue may refuse.
        let answer = timeout(self.outages.timeout(), released).await;
        if let Ok(Some(LedgerError::Superseded { epoch, .. })) = answer {
            self.state.supersede(epoch);
            self.carry_out();
        }
    }
}

/// The end of a task that could not be stored.
fn unremembered(ended: Ended, reason: &str) -> Ended {
    let Ended {
        owners,
        outcome,
        recorded,
    } = ended;
    let subject = owners.subject();
    let outcome = match (outcome, subject) {
        (Ok(_), Some(subject)) => Err(TaskError::new(TaskErrorKind::PoolBroken, subject, reason)),
        (outcome, _) => outcome,
    };
    Ended {
        owners,
        outcome,
        recorded,
    }
}
