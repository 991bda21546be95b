//! What waits until the ledger has stored the records before it: ends of tasks, batches, acknowledgements, replies.
//!
//! Without a ledger nothing waits. With one, everything that a record precedes keeps its order: who has a result finds
//! it again after a kill, no task runs that is not remembered, and a message of results is acknowledged only when a later
//! master would know them.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use podpool_core::fleet::FleetOrder;
use podpool_core::id::TaskId;
use podpool_core::instant::after;
use podpool_core::ledger::{CommandId, End, Record};
use podpool_core::queue::LeaseId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::master::command::CancelOutcome;
use crate::master::ledger::{Answer, LedgerLink, counts};

use super::effect::Effect;

/// Most bytes of records that are not stored yet: past it no results and no submissions are taken.
const UNSTORED: usize = 64 << 20;
/// How long a run that was aborted or broke waits for records, when everything else has ended.
// A disk that is slow stores them in that time. One that is full may stay so for the 10 minutes that a queue may refuse, and
// whoever aborts does not want to wait for that.
const LAST_CALL: Duration = Duration::from_secs(2);
/// What a record takes beside arguments or output, roughly.
const RECORD: usize = 256;

/// What waits.
#[derive(Debug)]
pub(super) enum Held {
    /// An end of a task, or a batch.
    Effect(Effect),
    /// Messages of results that are acknowledged then.
    Acknowledge(Vec<LeaseId>),
    /// The answer to a cancel.
    Reply(oneshot::Sender<CancelOutcome>, CancelOutcome),
}

/// The ledger, as the loop has it.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// None without a ledger, and when it has failed.
    link: Option<LedgerLink>,
    /// Records of this turn.
    records: Vec<Record>,
    /// Calls whose results are read, of this turn.
    fetches: Vec<(TaskId, TaskId)>,
    /// Bytes of the records of this turn, and of all that are not stored.
    bytes: usize,
    unstored: usize,
    /// Records so far, and those that are stored.
    appended: u64,
    stored: u64,
    /// What waits, with the number of records that come before it.
    held: VecDeque<(u64, Held)>,
    /// Messages of results whose failures wait for their lines: they are acknowledged after that.
    unjudged: Vec<LeaseId>,
    released: bool,
    /// Why nothing can be stored at present.
    refusal: Option<String>,
    /// When a run that has ended waits no longer for what is not stored.
    last_call: Option<Instant>,
}

impl Commits {
    pub(super) fn new(link: Option<LedgerLink>) -> Self {
        Self {
            link,
            ..Self::default()
        }
    }

    /// Whether there is a ledger.
    pub(super) const fn is_used(&self) -> bool {
        self.link.is_some()
    }

    /// Whether so much is not stored that nothing more may be taken in.
    pub(super) const fn is_full(&self) -> bool {
        self.unstored >= UNSTORED
    }

    /// Why nothing can be stored at present, if so.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub(super) fn set_refusal(&mut self, reason: Option<String>) {
        self.refusal = reason;
    }

    /// The run has ended, and what is not stored is waited for no longer than this.
    pub(super) fn last_call(&mut self, now: Instant) -> Instant {
        *self.last_call.get_or_insert(after(now, LAST_CALL))
    }

    /// When [`last_call`](Self::last_call) is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.last_call.filter(|_| !self.is_idle())
    }

    /// Whether everything is stored, and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.link.is_none() || (self.appended == self.stored && self.held.is_empty())
    }

    /// A record, which what follows waits for. Nothing waits for an event.
    pub(super) fn record(&mut self, record: Record) {
        if self.link.is_some() {
            self.bytes += weight(&record);
            self.appended += u64::from(counts(&record));
            self.records.push(record);
        }
    }

    /// Reads a stored result.
    pub(super) fn fetch(&mut self, call: TaskId, task: TaskId) {
        self.fetches.push((call, task));
    }

    /// Gives back what need not wait; the other is kept.
    pub(super) fn hold(&mut self, held: Held) -> Option<Held> {
        // An end without a record, as by a shutdown, waits for nothing: the disk may be full.
        let unrecorded = matches!(&held, Held::Effect(Effect::Settle(ended)) if !ended.recorded);
        if unrecorded || self.is_idle() {
            return Some(held);
        }
        self.held.push_back((self.appended, held));
        None
    }

    /// What follows waits until the ledger has stored something of this master: one that has lost its run learns it
    /// before. The next task gets this number.
    pub(super) fn fence(&mut self, next: TaskId) {
        self.record(Record::Reserved(next));
    }

    /// Whether an order to the fleet waits.
    pub(super) fn holds_fleet(&self) -> bool {
        self.held.iter().any(|(_, held)| is_order(held))
    }

    /// The orders to the fleet that wait, without waiting longer.
    pub(super) fn take_fleet(&mut self) -> Vec<FleetOrder> {
        let held = std::mem::take(&mut self.held).into_iter();
        let (orders, rest): (VecDeque<_>, VecDeque<_>) = held.partition(|(_, held)| is_order(held));
        self.held = rest;
        let order = |(_, held)| match held {
            Held::Effect(Effect::Fleet(order)) => Some(order),
            _ => None,
        };
        orders.into_iter().filter_map(order).collect()
    }

    /// Messages of results were taken in. Returns what acknowledges them; nothing where that follows from
    /// [`on_judged`](Self::on_judged), because failures among them are recorded only when they are judged.
    pub(super) fn on_taken_in(&mut self, leases: Vec<LeaseId>, held_back: bool) -> Option<Held> {
        if leases.is_empty() {
            return None;
        }
        if self.is_used() && held_back {
            self.unjudged.extend(leases);
            return None;
        }
        Some(Held::Acknowledge(leases))
    }

    /// Whether messages of results wait until their failures are judged.
    pub(super) const fn has_unjudged(&self) -> bool {
        !self.unjudged.is_empty()
    }

    /// All failures were judged, and recorded. Returns what acknowledges their messages.
    pub(super) fn on_judged(&mut self) -> Held {
        Held::Acknowledge(std::mem::take(&mut self.unjudged))
    }

    /// Sends the records of this turn on their way.
    pub(super) fn send(&mut self) {
        let Some(link) = &self.link else {
            self.fetches.clear();
            return;
        };
        if !self.records.is_empty() {
            self.unstored += self.bytes;
            link.append(std::mem::take(&mut self.records), self.bytes);
            self.bytes = 0;
        }
        if !self.fetches.is_empty() {
            link.fetch(std::mem::take(&mut self.fetches));
        }
    }

    /// Answers what another process asked.
    pub(super) fn answer_asked(&self, command: CommandId, answer: String) {
        if let Some(link) = &self.link {
            link.answer_asked(command, answer);
        }
    }

    /// The next answer of the ledger. May be dropped at any time.
    pub(super) async fn answer(&mut self) -> Answer {
        match &mut self.link {
            Some(link) => link.answer().await,
            None => pending().await,
        }
    }

    /// So many more records are stored. What waited for them can be taken by [`ready`](Self::ready).
    pub(super) fn on_stored(&mut self, records: u64, bytes: usize) {
        self.stored += records;
        self.unstored = self.unstored.saturating_sub(bytes);
    }

    /// The next thing that waits no longer.
    pub(super) fn ready(&mut self) -> Option<Held> {
        let (after, _) = self.held.front()?;
        if *after > self.stored {
            return None;
        }
        self.held.pop_front().map(|(_, held)| held)
    }

    /// The ledger has failed: nothing is recorded any more. What waits for it, which never comes.
    pub(super) fn fail(&mut self) -> Vec<Held> {
        self.link = None;
        self.records.clear();
        self.fetches.clear();
        // Nothing waits any more: what is submitted must reach the state, which refuses it.
        (self.bytes, self.unstored, self.refusal) = (0, 0, None);
        let held = std::mem::take(&mut self.held);
        held.into_iter().map(|(_, held)| held).collect()
    }

    /// Reserves further numbers of tasks, where few are left. The next task gets this one.
    pub(super) fn reserve(&mut self, next: TaskId) {
        let reserved = self
            .link
            .as_mut()
            .and_then(|link| link.numbers.reserve(next.0));
        if let Some(end) = reserved {
            self.record(Record::Reserved(end));
        }
    }

    /// The run is released, once. False where there is nothing to wait for. The next task would get this number.
    pub(super) fn release(&mut self, next: TaskId) -> bool {
        let Some(link) = self.link.as_ref().filter(|_| !self.released) else {
            return false;
        };
        link.release(Some(next));
        self.released = true;
        true
    }
}

const fn is_order(held: &Held) -> bool {
    matches!(held, Held::Effect(Effect::Fleet(_)))
}

/// Bytes that a record takes until it is stored.
fn weight(record: &Record) -> usize {
    RECORD
        + match record {
            Record::Task(task) => task.arguments.len(),
            Record::End(end) => match &end.end {
                End::Done(output) => output.len(),
                End::Failed { message, .. } => message.len(),
                _ => 0,
            },
            Record::Attempt(attempt) | Record::Amended(attempt) => {
                let report = &attempt.report;
                let texts = report.output.iter().chain(&report.chain);
                report.message.len() + texts.map(String::len).sum::<usize>()
            }
            Record::Event(event) => event.text.len(),
            _ => 0,
        }
}
