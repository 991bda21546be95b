//! What happened to a run as a whole, for people.

use std::time::SystemTime;

/// Most events that a ledger keeps of a run. Older ones are dropped and counted.
// A worker that comes and goes is two events: 5,000 workers. Half a screen of text for each would be some MiB.
pub const MOST_EVENTS: usize = 10_000;

/// One thing that happened to a run: a worker came or went, the pool broke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct EventRecord {
    /// When, by the wall clock of its master.
    pub at: SystemTime,
    /// Of which kind it is, in a word or two: `worker came`.
    pub kind: String,
    /// What happened, in one sentence.
    pub text: String,
}

/// The events of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Events {
    /// How many older ones were dropped.
    pub dropped: u64,
    /// The newest [`MOST_EVENTS`], oldest first.
    pub newest: Vec<EventRecord>,
}
