//! The broker that carries a run's messages: everything beside the [`Queue`] itself.
//!
//! A [`Broker`] makes a run's queues or checks given ones, makes vanished queues again, describes them to workers in
//! other processes, and finds the queues that killed runs left. No back-end is named here. A new one implements
//! [`Broker`] and [`RunQueues`], has its workers' side [registered](openers::register) under a tag, and passes
//! `conformance::broker`.

pub mod leftovers;
pub mod openers;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::id::{RunId, RunName};
use crate::queue::Queue;

pub use self::leftovers::{Leftover, LeftoverError, Which};

/// A class: tasks that need the same resources. Each class has a queue of tasks of its own; results and control are the
/// run's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The class of tasks without special requirements. Every run has it.
    pub const DEFAULT: Self = Self(0);
}

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes, finds and removes the queues of runs.
///
/// Calls need a tokio runtime with IO and time. Queues that a broker opens may be bound to that runtime.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// The limits of its queues.
    fn limits(&self) -> BrokerLimits;

    /// Checks the settings without a call to the service, so that a wrong one is reported before anything else is
    /// started.
    ///
    /// # Errors
    /// [`BrokerError`], which names the setting.
    async fn check(&self) -> Result<(), BrokerError>;

    /// Makes the queues of a run, or checks that given ones can be used, and opens the master's side of them. Dropping
    /// the future may leave something behind; an error leaves nothing that can be removed within some seconds.
    ///
    /// # Errors
    /// [`BrokerError`]: the service is not reached or refuses, a setting is wrong, or another run has the queues.
    async fn open(&self, run: &RunFacts) -> Result<Arc<dyn RunQueues>, BrokerError>;

    /// Lists what runs left in the service, in the order in which it is to be removed. `now` decides what is past its
    /// deadline.
    ///
    /// # Errors
    /// [`LeftoverError`] where the service cannot be looked at.
    async fn leftovers(
        &self,
        which: &Which,
        now: SystemTime,
    ) -> Result<Vec<Leftover>, LeftoverError>;

    /// Removes one of them. A leftover that does not exist any more counts as removed.
    ///
    /// # Errors
    /// Why it is still there.
    async fn remove(&self, leftover: &Leftover) -> Result<(), String>;
}

/// The limits of a broker, for every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerLimits {
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// Shortest and longest lease that it gives.
    pub leases: (Duration, Duration),
    /// The lease of a run without a setting for it.
    pub default_lease: Duration,
    /// Whether it makes a queue for each class. Else there is [`ClassId::DEFAULT`] alone.
    pub classes: bool,
    /// Whether workers in other processes can open the queues. Else a single worker in the master's process can.
    pub processes: bool,
}

impl BrokerLimits {
    /// Limits of a broker for one process, with the default class alone.
    #[must_use]
    pub const fn new(
        message_bytes: usize,
        leases: (Duration, Duration),
        default_lease: Duration,
    ) -> Self {
        Self {
            message_bytes,
            leases,
            default_lease,
            classes: false,
            processes: false,
        }
    }

    /// The same, open to workers in other processes.
    #[must_use]
    pub const fn for_processes(mut self) -> Self {
        self.processes = true;
        self
    }
}

/// The facts of a run that its broker needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFacts {
    /// The run. It is part of every name that the broker makes for it.
    pub run: RunId,
    /// Its name, for people.
    pub name: Option<RunName>,
    /// When it began, by its master's clock.
    pub created: SystemTime,
    /// When everything of the run may be deleted.
    // By the same clock as `created`, and read by the clock of the caller of `gc`: a run lasts days, so a difference of
    // minutes between the clocks does no harm.
    pub deadline: SystemTime,
    /// How long tasks and control are leased. Within [`BrokerLimits::leases`].
    pub lease: Duration,
    /// The epoch: the number of this master of the run, from 1. A later master also removes what the first one made.
    pub epoch: u64,
    /// The classes of its tasks; [`ClassId::DEFAULT`] is among them.
    pub classes: Vec<ClassId>,
}

/// The queues of one run, as its master has them.
#[async_trait]
pub trait RunQueues: CohortQueues {
    /// The tasks of a class: the master puts them. None for a class that the run does not have.
    fn tasks(&self, class: ClassId) -> Option<Arc<dyn Queue>>;

    /// The results of all classes: the master takes them.
    fn results(&self) -> Arc<dyn Queue>;

    /// Control: what the master puts reaches every worker.
    fn control(&self) -> Arc<dyn Queue>;

    /// What workers read to open the queues.
    fn description(&self) -> Description;

    /// Whether the queues exist for other runs when this one has ended.
    fn outlive(&self) -> bool;

    /// Whether the queues of tasks were made when they were opened: nothing that an earlier master of the run published
    /// is in them. Default: true.
    fn are_fresh(&self) -> bool {
        true
    }

    /// Watches the queues until it is stopped: reports their changes, and makes vanished queues again. It completes
    /// queues that it has begun to make before it returns. Called once.
    // `stopped` is a token rather than a drop of the future: a drop in the middle of a creation would leave queues that
    // are made halfway, and that `remove` may not see yet.
    async fn watch(&self, events: UnboundedSender<BrokerEvent>, stopped: CancellationToken);

    /// Removes what was made for the run, and returns what is left, a line for each. Called at the end of the run, when
    /// the watch has returned.
    async fn remove(&self) -> Vec<String>;
}

/// How a worker opens a run's queues: the opener, and what the opener reads. Part of the run's authenticated
/// descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The name under which an [opener](openers) is registered.
    pub tag: String,
    /// The text that the opener reads. It has a version of its own, or another version has another tag.
    pub body: String,
}

/// An event that a broker reports about a run's queues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent {
    /// A queue had vanished and was made again: the messages in the queues may be lost.
    Restored,
    /// Another run uses the same queues, or left messages there, and it is the older one: this run must end.
    NamesInUse {
        /// The other run.
        by: RunId,
    },
    /// The queues are watched no more, for this reason: every pending future ends with it.
    Broken(String),
}

/// Workers that are started together, and the class that all of them serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cohort {
    /// Its number, unique in the run: no two cohorts share one, whatever their classes.
    pub number: u32,
    /// The class of the tasks that its workers run.
    pub class: ClassId,
    /// How many workers it has; their indexes are below it.
    pub size: u32,
}

/// The queues of a cohort's workers. They must exist before the workers start, and can be removed when the workers have
/// ended.
#[async_trait]
pub trait CohortQueues: fmt::Debug + Send + Sync {
    /// Makes the queues of a cohort's workers. Called once for each cohort, before its workers exist.
    ///
    /// # Errors
    /// Why the queues cannot be made; the caller tries again later, for another cohort.
    async fn prepare(&self, cohort: Cohort) -> Result<(), String>;

    /// Removes them. May be called more than once, and for a cohort that was never prepared.
    ///
    /// # Errors
    /// Why something is left.
    // A cohort whose `prepare` failed halfway is retired too, and a master retires cohorts of an earlier master.
    async fn retire(&self, cohort: Cohort) -> Result<(), String>;
}

/// Why a run's queues could not be opened. Nothing of the run was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A setting cannot be used.
    #[error("{name} cannot be {value:?}: {reason}")]
    Setting {
        /// The builder's method or the environment's variable.
        name: String,
        /// What it was set to.
        value: String,
        /// What it may be.
        reason: String,
    },
    /// The queues were given, and an older run uses them or left messages there.
    #[error("run {by} is older and uses the same queues")]
    NamesInUse {
        /// The older run.
        by: RunId,
    },
    /// The service is not reached, or refuses something.
    #[error("cannot {what}")]
    Failed {
        /// What was tried, to follow "cannot".
        what: String,
        /// What was seen, and what to do.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
