//! The decisions of the master's state that the dispatcher's loop carries out.

use std::sync::Arc;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::envelope::Printed;
use podpool_core::fleet::FleetOrder;
use podpool_core::id::TaskId;
use podpool_core::ledger::Record;

use crate::master::events::EventKind;
use crate::master::mailbox::Closed;
use crate::master::owners::Ended;

/// One thing to do, in order.
// The order counts: `Close` comes before the `Settle`s of a broken pool, and a fleet's orders as they were decided.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Remember this. What follows and depends on it waits until it is stored: `Settle`, `Publish`, and the
    /// acknowledgement of the message that caused it.
    // In a box: a run without a ledger has none of these.
    Record(Box<Record>),
    /// Read the stored result of `task` for the call with the number `call`.
    Fetch {
        /// The number that the call was given.
        call: TaskId,
        /// The remembered task.
        task: TaskId,
    },
    /// Notify a task's owners of its end.
    Settle(Ended),
    /// Put a batch on the queue of its class, and report its number when it is stored.
    Publish {
        /// The class of its tasks.
        class: ClassId,
        /// The batch's number among those that are out.
        batch: u32,
        /// The message.
        message: Bytes,
    },
    /// Put this on the control queue.
    Control(Bytes),
    /// Send the fleet an order.
    Fleet(FleetOrder),
    /// Send this to those who subscribed to events.
    // In a box: most effects are small, and a run without subscribers has none of these.
    Event(Box<EventKind>),
    /// Show a notice.
    Notice(String),
    /// Take no more tasks, for this reason.
    Close(Closed),
    /// Show lines that tasks of the worker by this name printed.
    Show(Arc<str>, Box<Printed>),
}
