//! What carries a run's messages, as the dispatcher knows it: it tells what becomes of its queues.
//!
//! No back-end is named here. The queues themselves are [`Queue`](crate::queue::Queue)s; a broker makes them, looks
//! after them while the run lives, and removes them.

use crate::id::RunId;

/// What a broker tells of a run's queues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// A queue had vanished and was made again: whatever was in the queues may be lost.
    Restored,
    /// Another run uses the same queues, or left messages there, and it is the older one: this run must end.
    NamesInUse {
        /// The other run.
        by: RunId,
    },
    /// Nobody looks after the queues any more, for this reason: every pending future ends with it.
    Broken(String),
}
