//! What starts workers, as the dispatcher knows it: orders go to a fleet, events come back.
//!
//! A fleet knows its workers by name (a pod's); the dispatcher learns the same names from the workers' greetings.
//! No back-end is named here: the local worker and the pods of a cluster are fleets alike.

use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::ClassId;
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::outcome::Exit;

/// What a fleet is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetOrder {
    /// So many tasks of a class have not ended: no more slots than that are of use to it. Sent when the number changes;
    /// while the run is open a fleet may keep workers beyond it.
    Needed {
        /// The class.
        class: ClassId,
        /// Its tasks that have not ended.
        unfinished: usize,
        /// Whether no more tasks will be submitted.
        closing: bool,
    },
    /// No heartbeat of a worker came for a lease: it does not count as a worker until one comes.
    Silent(Arc<str>),
    /// A heartbeat or greeting of a worker came.
    Heard(Arc<str>),
    /// Every future is resolved: remove everything that was made for the run, then say
    /// [`FleetEvent::Ended`].
    End,
    /// The same, without waiting for workers to leave by themselves.
    Stop,
    /// Another master has taken the run over: leave everything to it, and say [`FleetEvent::Ended`].
    Abandon,
}

/// What a fleet reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FleetEvent {
    /// A worker is gone.
    Gone(Departure),
    /// A worker is surplus: it should be drained when it greets.
    Surplus(Arc<str>),
    /// No worker can start, and none is alive: every pending future ends with this reason.
    Broken(String),
    /// Nothing is left of the fleet. `leftovers` says what could not be removed, and how to.
    Ended {
        /// One line for each thing left behind.
        leftovers: Vec<String>,
    },
}

/// How a worker went.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The worker's name.
    pub worker: Arc<str>,
    /// Its host, if it had one.
    pub node: Option<Arc<str>>,
    /// What is known of its end.
    pub end: End,
    /// What its fleet saw, for people: `OOMKilled, exit code 137`, `evicted: the node was low on memory`.
    pub reason: String,
    /// When, by the fleet's clock; for people only.
    pub at: Option<SystemTime>,
    /// What its termination message lists as running; empty when nothing was found. It counts for executions of this
    /// worker alone.
    pub running: Vec<(ExecutionId, TaskId, Attempt)>,
}

/// What a worker's end can be charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It left as it was ordered to.
    Left,
    /// It was lost: deleted, evicted, pre-empted, silent, its node gone, stopped by a signal from outside. No task
    /// is charged.
    Lost,
    /// It died of what it did, on a healthy node.
    Died(Exit),
    /// Its container passed the memory limit, with this limit in bytes if it is known.
    OutOfMemory(Option<u64>),
}
