//! The fleet that starts workers, as the dispatcher sees it: the dispatcher sends orders, the fleet sends events.
//!
//! A fleet identifies its workers by name (a pod's); the dispatcher reads the same names in the workers' greetings.
//! No back-end is named here: the local worker and the pods of a cluster are both fleets.

use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::{ClassId, Cohort};
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::outcome::Exit;
use crate::place::WorkerPlace;

/// An order to a fleet.
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
    /// Dispatch has received no heartbeat of a worker for a lease. The worker does not count until dispatch receives
    /// one.
    Missed(Arc<str>),
    /// Dispatch has received a greeting of a worker, or a heartbeat after a silence.
    Present(Arc<str>),
    /// Every future is resolved: remove everything that was made for the run, then send
    /// [`FleetEvent::Ended`].
    End,
    /// The same, without waiting for workers to exit by themselves.
    Stop,
    /// Another master has taken the run over: leave everything to that master, and send [`FleetEvent::Ended`].
    Abandon,
    /// The run goes on without its master: when the workers that are wanted run or are starting, leave everything, and
    /// send [`FleetEvent::Ended`].
    Detach,
}

/// An event that a fleet reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FleetEvent {
    /// A worker is gone. Reported once for each worker.
    Gone(Departure),
    /// A worker is surplus: it should be drained when it greets.
    Surplus(Arc<str>),
    /// Where a worker runs is known, or known better. It may come before the worker greets, or after. For people.
    Placed {
        /// The worker's name.
        worker: Arc<str>,
        /// Where it runs.
        place: WorkerPlace,
    },
    /// A group of workers was asked for, or taken over from an earlier master: a Job on a cluster. For people.
    Cohort {
        /// Its number, class and size.
        cohort: Cohort,
        /// Its name where it runs.
        name: Arc<str>,
        /// An earlier master of the run opened it.
        taken_over: bool,
    },
    /// How many workers run or are starting has changed, or the reason why others do not run. For people.
    Supply {
        /// Workers that run or are starting.
        workers: u32,
        /// Why fewer run than are wanted; none where nothing is missing.
        reason: Option<Arc<str>>,
    },
    /// No worker can start, and none is alive: every pending future ends with this reason.
    Broken(String),
    /// Nothing is left of the fleet but the `leftovers`: what could not be removed, and how to remove it. The last
    /// event.
    Ended {
        /// One line for each thing left behind.
        leftovers: Vec<String>,
    },
}

/// The end of a worker.
#[derive(Clone, Debug)]
pub struct Departure {
    /// The worker's name.
    pub worker: Arc<str>,
    /// Its host, if it had one.
    pub node: Option<Arc<str>>,
    /// What is known of its end.
    pub end: End,
    /// What its fleet observed, for people: `OOMKilled, exit code 137`, `evicted: the node was low on memory`.
    pub reason: String,
    /// When, by the clock of the worker's host; for people only.
    // Never compared with a time of this process: no decision compares the clocks of two machines.
    pub at: Option<SystemTime>,
    /// The tasks that its termination message lists as running; empty when there is no list. Only executions of this
    /// worker count.
    // The list has no MAC, so a pod could otherwise charge tasks that other workers run.
    pub running: Vec<(ExecutionId, TaskId, Attempt)>,
}

/// The kind of a worker's end, which decides whether a task is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// It exited as it was ordered to.
    Left,
    /// It was lost: deleted, evicted, pre-empted, silent, its node gone, stopped by a signal from outside. No task
    /// is charged.
    Lost,
    /// It crashed or was killed on a healthy node, so a task that it ran may be the cause.
    Died(Exit),
    /// Its container passed the memory limit, with this limit in bytes if it is known.
    OutOfMemory(Option<u64>),
}
