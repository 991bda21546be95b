//! What carries a run's messages, as the dispatcher knows it: it tells what becomes of its queues.
//!
//! No back-end is named here. The queues themselves are [`Queue`](crate::queue::Queue)s; a broker makes them, looks
//! after them while the run lives, and removes them.

use std::fmt;

use async_trait::async_trait;

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

/// The queues of a cohort's workers: they must be there before the workers start, and can go when these have ended.
#[async_trait]
pub trait CohortQueues: fmt::Debug + Send + Sync {
    /// Makes the queues of a cohort's workers. Called once for each cohort, before its Job exists.
    ///
    /// # Errors
    /// Why it cannot be; it is tried again later, for another cohort.
    async fn prepare(&self, cohort: u32, size: u32) -> Result<(), String>;

    /// Removes them. May be called for a cohort that was never prepared.
    ///
    /// # Errors
    /// Why something is left.
    async fn retire(&self, cohort: u32, size: u32) -> Result<(), String>;
}
