//! A master of a simulated run: its state, what waits for commits, and its ledger's thread, in the order of the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use podpool_core::envelope::{MacKey, Message};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::{LedgerError, Record};
use podpool_core::queue::LeaseId;
use tokio::sync::oneshot;

use crate::master::cell::{Cell, CellGuard, Wakers};
use crate::master::command::{CancelOutcome, ShutdownBehavior};
use crate::master::ledger::by_hand::ByHand;
use crate::master::ledger::{Answer, LedgerLink};
use crate::master::mailbox::Submission;
use crate::report::outlet::Position;

use super::super::super::commits::{Commits, Held};
use super::super::super::effect::Effect;
use super::super::super::state::MasterState;
use super::super::site::wall;
use super::lives::Life;
use super::world::{Outer, Restarts};

/// What wakes a master.
pub(super) enum Woken {
    Results(Vec<(LeaseId, Bytes)>, bool),
    Fleet(FleetEvent),
    Sent(u32),
    Answer,
    Submit(usize),
    Cancel(usize),
    ShutDown(ShutdownBehavior),
    Detach,
    Tick,
}

/// A message that is not answered yet.
pub(super) struct Pulled {
    pub(super) body: Bytes,
    /// Attempts whose results change nothing, and that are made again.
    pub(super) again: Vec<(TaskId, Attempt)>,
}

pub(super) struct Master {
    pub(super) epoch: u64,
    /// Where its tasks run.
    pub(super) site: u64,
    pub(super) state: MasterState,
    pub(super) commits: Commits,
    pub(super) thread: ByHand,
    pub(super) life: Life,
    /// It does nothing until it goes on; then it does all this.
    pub(super) stopped: Option<Vec<Outer>>,
    /// The number of its next task.
    pub(super) next: u64,
    /// The futures of its program, by the call.
    pub(super) cells: BTreeMap<usize, Arc<Cell>>,
    /// Calls that its program cancelled, and those whose replies are awaited.
    pub(super) cancelled: BTreeSet<usize>,
    pub(super) replies: Vec<(usize, oneshot::Receiver<CancelOutcome>)>,
    /// Tasks whose record it has decided, and those whose end it has.
    pub(super) recorded: BTreeSet<TaskId>,
    pub(super) ended: BTreeSet<TaskId>,
    /// Attempts that it has published, or decided to.
    pub(super) published: BTreeSet<(TaskId, Attempt)>,
    /// Messages that it has not answered yet.
    pulled: BTreeMap<LeaseId, Pulled>,
    /// Whether its thread was asked for something in this turn.
    asked: bool,
    /// Whether its thread, or a pull, is on its way.
    pub(super) storing: bool,
    pub(super) pulling: bool,
    /// Transactions after which it is killed.
    pub(super) stores_left: Option<u32>,
    /// Whether it was told to end.
    pub(super) shut_down: bool,
}

impl Master {
    pub(super) fn new(
        state: MasterState,
        (link, thread): (LedgerLink, ByHand),
        life: Life,
        next: u64,
        site: u64,
    ) -> Self {
        Self {
            epoch: state.settings().epoch,
            site,
            state,
            commits: Commits::new(Some(link)),
            thread,
            life,
            stopped: None,
            next,
            cells: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            replies: Vec::new(),
            recorded: BTreeSet::new(),
            ended: BTreeSet::new(),
            published: BTreeSet::new(),
            pulled: BTreeMap::new(),
            asked: false,
            storing: false,
            pulling: false,
            stores_left: None,
            shut_down: false,
        }
    }

    /// Shut down, with everything stored.
    pub(super) fn is_over(&self) -> bool {
        self.stopped.is_none() && self.state.is_over() && self.commits.is_idle()
    }
}

impl Restarts {
    /// One turn of a master's loop.
    pub(super) fn turn(&mut self, epoch: u64, woken: Woken) {
        let Some(mut master) = self.masters.remove(&epoch) else {
            return;
        };
        let now = self.now;
        master.state.set_wall(wall(now - self.start));
        let mail = self.wake(&mut master, woken);
        master.state.on_lines(now, Position::default());
        if master.commits.has_unjudged() && !master.state.holds_failures() {
            self.carry_out(&mut master);
            let held = master.commits.on_judged();
            self.do_after_commit(&mut master, held);
        }
        master.state.on_tick(now);
        if let Some(mail) = mail {
            self.on_mail(&mut master, &mail);
        }
        master.state.publish(now);
        self.carry_out(&mut master);
        master.state.conclude(now);
        self.carry_out(&mut master);
        self.read_replies(&mut master);
        if std::mem::take(&mut master.asked) && !std::mem::replace(&mut master.storing, true) {
            let slow = self.rng.u8(..100) < 4;
            let after = match slow {
                true => Duration::from_millis(self.rng.u64(..3_000)),
                false => self.soon(),
            };
            self.at(after, Outer::Store(epoch));
        }
        if master.state.life().is_superseded() && !master.shut_down {
            // Its program learns that the pool is broken, and ends.
            self.at(
                Duration::ZERO,
                Outer::ShutDown(epoch, ShutdownBehavior::Abort),
            );
            master.shut_down = true;
        }
        self.masters.insert(epoch, master);
    }

    /// What woke the loop. Gives back what is read from the mailbox later in the turn.
    fn wake(&mut self, master: &mut Master, woken: Woken) -> Option<Woken> {
        let now = self.now;
        match woken {
            Woken::Results(deliveries, caught_up) => {
                master.state.set_caught_up(caught_up);
                let mut leases = Vec::new();
                for (lease, body) in deliveries {
                    let again = self.note_message(master, &body);
                    leases.push(lease.clone());
                    let pulled = Pulled {
                        body: body.clone(),
                        again,
                    };
                    master.pulled.insert(lease, pulled);
                    master.state.on_message(now, body);
                    self.carry_out(master);
                }
                let held_back = master.state.holds_failures();
                if let Some(held) = master.commits.on_taken_in(leases, held_back) {
                    self.do_after_commit(master, held);
                }
            }
            Woken::Fleet(event) => master.state.on_fleet(now, event),
            Woken::Sent(batch) => master.state.on_stored(now, batch),
            Woken::Answer => {
                while let Some(answer) = master.commits.answer().now_or_never() {
                    self.on_ledger(master, answer);
                }
            }
            Woken::Tick => {}
            mail => return Some(mail),
        }
        None
    }

    fn on_mail(&mut self, master: &mut Master, mail: &Woken) {
        match *mail {
            Woken::Submit(call) => self.submit(master, call),
            Woken::Cancel(call) => {
                let Some(cell) = master.cells.get(&call).cloned() else {
                    return;
                };
                master.cancelled.insert(call);
                let (reply, receiver) = oneshot::channel();
                let outcome = master.state.cancel_call(&cell);
                self.carry_out(master);
                master.replies.push((call, receiver));
                self.do_after_commit(master, Held::Reply(reply, outcome));
            }
            Woken::ShutDown(behavior) => {
                master.shut_down = true;
                master.state.shut_down(behavior);
                self.carry_out(master);
            }
            Woken::Detach => {
                master.shut_down = true;
                master.state.shut_down(ShutdownBehavior::WaitForTasks);
                self.carry_out(master);
                master.state.detach();
            }
            _ => {}
        }
    }

    fn submit(&mut self, master: &mut Master, number: usize) {
        if master.shut_down {
            // Its mailbox refuses.
            return;
        }
        let call = &self.program.calls[number];
        let cell = Arc::new(Cell::with_key(call.spec, call.key.clone()));
        master.commits.reserve(TaskId(master.next));
        cell.set_id(TaskId(master.next));
        master.next += 1;
        master.cells.insert(number, cell.clone());
        // A result that is there is computed anew now and then.
        let force = call.key.is_some() && self.rng.u8(..100) < 4;
        master.state.submit(Submission {
            cell: CellGuard::new(cell),
            spec: call.spec,
            arguments: call.arguments.clone().into(),
            options: Some(call.options(force)),
        });
    }

    pub(super) fn carry_out(&mut self, master: &mut Master) {
        let mut effects = Vec::new();
        master.state.take_effects(&mut effects);
        for effect in effects {
            match effect {
                Effect::Settle(_) | Effect::Publish { .. } => {
                    self.check_decided(master, &effect);
                    self.do_after_commit(master, Held::Effect(effect));
                }
                Effect::Record(record) => {
                    match &*record {
                        Record::Task(it) => _ = master.recorded.insert(it.task),
                        Record::End(it) => _ = master.ended.insert(it.task),
                        _ => {}
                    }
                    master.asked = true;
                    master.commits.record(*record);
                }
                Effect::Fetch { call, task } => {
                    master.asked = true;
                    master.commits.fetch(call, task);
                }
                Effect::Control(message) => {
                    let Ok(Message::Control(control)) = Message::read(message, &MacKey::Absent)
                    else {
                        panic!("not a control message");
                    };
                    self.note(format_args!("{control:?}"));
                    self.site(master.site).announce_to_workers(&control);
                }
                Effect::Fleet(order) => {
                    self.note(format_args!("{} orders {order:?}", master.epoch));
                    if let FleetOrder::End
                    | FleetOrder::Stop
                    | FleetOrder::Abandon
                    | FleetOrder::Detach = order
                    {
                        let ended = Outer::FleetEnded(master.epoch);
                        self.at(Duration::from_millis(500), ended);
                    }
                }
                Effect::Notice(line) => self.note(format_args!("notice: {line}")),
                Effect::Close(closed) => self.note(format_args!("{closed:?}")),
                Effect::Event(_) | Effect::Show(..) => {}
            }
        }
        master.commits.send();
    }

    fn do_after_commit(&mut self, master: &mut Master, held: Held) {
        if let Some(held) = master.commits.hold(held) {
            self.carry(master, held);
        }
    }

    fn carry(&mut self, master: &mut Master, held: Held) {
        match held {
            Held::Effect(Effect::Settle(ended)) => {
                self.check_settled(&ended);
                ended.notify(&mut Wakers::default());
            }
            Held::Effect(Effect::Publish { batch, message, .. }) => {
                let length = message.len();
                self.note(format_args!(
                    "{}: batch {batch} of {length} bytes",
                    master.epoch
                ));
                self.site(master.site).put(&message);
                let after = self.soon();
                self.at(after, Outer::Sent(master.epoch, batch));
            }
            Held::Effect(other) => panic!("{other:?} waits for nothing"),
            Held::Acknowledge(leases) => self.acknowledge(master, &leases),
            Held::Reply(reply, outcome) => drop(reply.send(outcome)),
        }
    }

    fn acknowledge(&mut self, master: &mut Master, leases: &[LeaseId]) {
        let left = master.state.life().is_left();
        for lease in leases {
            let pulled = master.pulled.remove(lease).expect("it was pulled");
            let now = self.now;
            if left {
                self.place(master.site).results.expire(lease);
                continue;
            }
            self.check_acknowledged(master, pulled);
            self.place(master.site).results.ack(lease, now);
        }
    }

    fn on_ledger(&mut self, master: &mut Master, answer: Answer) {
        match answer {
            Answer::Stored(records, bytes) => {
                self.note(format_args!(
                    "{}: {records} records are stored",
                    master.epoch
                ));
                master.commits.on_stored(records, bytes);
                while let Some(held) = master.commits.ready() {
                    self.carry(master, held);
                }
            }
            Answer::Fetched(results) => {
                for (call, task, output) in results {
                    let output = output.expect("it is stored");
                    master.state.on_fetched(call, task, Ok(output));
                }
                self.carry_out(master);
            }
            Answer::Failed(LedgerError::Superseded { epoch, .. }) => {
                self.note(format_args!("{} is superseded", master.epoch));
                // What waits never comes: futures that are dropped end with an error.
                drop(master.commits.fail());
                master.state.supersede(epoch);
                self.carry_out(master);
            }
            Answer::Failed(error) => panic!("the ledger failed: {error:?}"),
            Answer::Refused(reason) => panic!("the ledger refuses: {reason}"),
            Answer::Asked(..) => panic!("nobody asks"),
            Answer::Served | Answer::Released => {}
        }
    }

    /// What the program does with the answers to its cancels.
    fn read_replies(&mut self, master: &mut Master) {
        for (call, mut reply) in std::mem::take(&mut master.replies) {
            match reply.try_recv() {
                Ok(outcome) => self.on_reply(master, call, outcome),
                Err(oneshot::error::TryRecvError::Empty) => master.replies.push((call, reply)),
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
        }
    }
}
