//! What the worker's state requests from its loop.

use bytes::Bytes;

use crate::envelope::PrintedTask;
use crate::id::{Attempt, TaskId};
use crate::queue::LeaseId;
use crate::slot::{Frame, Running, SlotId, Stream};

/// One thing to do, in order.
#[derive(Debug)]
pub enum Effect {
    /// Start a slot.
    Start(SlotId),
    /// Give a slot a frame of tasks.
    Run(SlotId, Frame),
    /// Reclaim the tasks of a frame that a slot has not started.
    Reclaim(SlotId, u64),
    /// Cancel the token of a task of a frame in a slot.
    Cancel(SlotId, u64, TaskId, Attempt),
    /// Let a slot end when it is idle.
    Exit(SlotId),
    /// Kill a slot and all it started.
    Kill(SlotId),
    /// Forget a slot that has ended.
    Drop(SlotId),
    /// Put a message on a queue; the receipt comes back when it is safe.
    Publish(Outgoing),
    /// Acknowledge a batch: all its results are safe.
    Ack(LeaseId),
    /// Give a batch back.
    Release(LeaseId),
    /// A line that a slot printed, with its task where that is known.
    Output(SlotId, Option<PrintedTask>, Stream, String),
    /// Send the lines so far: the message after them reports the end of a task that may have printed them.
    SendLines,
}

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where it goes.
    pub to: Topic,
    /// The message.
    pub message: Bytes,
    /// What its safe arrival settles.
    pub receipt: Option<Receipt>,
}

/// Where a worker may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Results and reports to the master.
    Results,
    /// Tasks that are put back.
    Tasks,
}

/// So many tasks of an execution are in safety once the message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The execution's number.
    pub execution: u64,
    /// How many of its tasks.
    pub tasks: u32,
}

// A trait, so that the state decides the same in a simulation, where no process exists that could be looked at.
/// What the state may look up about a slot while it decides. A simulation answers from its script.
pub trait Probe {
    /// The task that a slot runs now, and since when.
    fn running(&self, slot: SlotId) -> Option<Running>;
    /// The last lines that a slot printed while it had this frame and no other.
    fn tail(&self, slot: SlotId, frame: u64) -> Vec<String>;
    /// The highest resident set of a slot's process, in bytes.
    fn peak_rss(&self, slot: SlotId) -> Option<u64>;
    /// What a slot's process has resident now, in bytes.
    fn resident(&self, slot: SlotId) -> Option<u64>;
}
