//! Leftovers of runs whose masters were killed: [`list`] shows them, [`remove`] removes them.
//!
//! A run that is shut down removes its own objects. A master that is killed cannot: Jobs, pods and the Secret stay on
//! the cluster until the run's deadline at most, topics and subscriptions longer, and so do payloads. All have the
//! run's id, by which they are found again: by that id, by the run's name, or by a deadline that is over. Nothing is
//! guessed: objects without a label of podpool are never touched.
//!
//! ```no_run
//! use podpool::gc::{self, Places, Which};
//!
//! # async fn gc() -> Result<(), Box<dyn std::error::Error>> {
//! let places = Places::new();
//! for leftover in gc::list(&places, &Which::PastDeadline).await? {
//!     println!("{leftover}");
//! }
//! let which = Which::Run(podpool::RunId::new("nightly-5c0x8m2r7kqd")?);
//! let removed = gc::remove(&places, &which).await?;
//! for (leftover, why) in &removed.failed {
//!     eprintln!("{leftover} is still there: {why}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `ledger`, `remove_run` removes a run of a ledger from all places and from the ledger.
//!
//! A run that is chosen by its id or its name is removed **whether it is running or not**: its tasks end with its
//! workers, and its pool breaks. Messages that a run left on an administrator's topics are removed by
//! [`Admin::purge`](crate::broker::pubsub::Admin::purge).

mod error;
mod look;
#[cfg(feature = "ledger")]
mod run;

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use podpool_core::broker;
use podpool_core::id::{RunId, RunName};

use crate::fleet::kubernetes::fleet::{self, Found};

pub use self::error::GcError;
use self::look::Sight;
#[cfg(feature = "ledger")]
pub use self::run::remove_run;
pub use podpool_core::broker::Which;

/// The places where runs may have left something. Settings that are not given are read from the environment, as
/// [`build`](crate::Builder::build) reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Places {
    namespace: Option<String>,
    project: Option<String>,
    payload_store: Option<String>,
}

impl Places {
    /// The cluster that `KUBECONFIG` names, or that this program runs in; Pub/Sub as `PUBSUB_EMULATOR_HOST` or Google's
    /// credentials name it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The namespace of Jobs, pods and Secrets. Default: `PODPOOL_NAMESPACE`, then the kubeconfig's, or the own one.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// The project of topics and subscriptions. Default: `PODPOOL_PROJECT`, then `GOOGLE_CLOUD_PROJECT`, then `podpool`
    /// on an emulator.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The store of large payloads, by its URL. Default: `PODPOOL_PAYLOAD_STORE`, else no store is searched.
    pub fn payload_store(mut self, url: impl Into<String>) -> Self {
        self.payload_store = Some(url.into());
        self
    }
}

/// One thing that a run made and that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leftover {
    /// Its kind and name, for people: `job pp-nightly-5c0x8m2r7kqd-c0 of namespace batch`.
    pub what: String,
    /// The run that made it.
    pub run: RunId,
    /// The run's name, if it has one and the object records it.
    pub run_name: Option<RunName>,
    /// The run's deadline, if the object records it. Until then its master may be running.
    pub deadline: Option<SystemTime>,
    thing: Thing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Object(Found),
    Queue(broker::Leftover),
    /// A store's URL.
    #[cfg(feature = "payload")]
    Payloads(String),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (run {}", self.what, self.run)?;
        if let Some(name) = &self.run_name {
            write!(f, ", named {name}")?;
        }
        let deadline = self
            .deadline
            .and_then(|at| jiff::Timestamp::try_from(at).ok());
        if let Some(deadline) = deadline {
            write!(f, ", until {deadline}")?;
        }
        f.write_str(")")
    }
}

/// The result of [`remove`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Leftovers that are removed, or about to be: pods use up to their grace.
    pub removed: Vec<Leftover>,
    /// Leftovers that are still there, and why.
    pub failed: Vec<(Leftover, String)>,
    /// Whether the run was deleted from its ledger too; only where it was removed by its ledger.
    pub forgotten: bool,
}

/// Finds leftovers, in the order in which [`remove`] removes them: Secrets, Jobs, pods, payloads, subscriptions,
/// topics. Needs a tokio runtime with IO and time, and the rights to list Jobs, pods, topics and subscriptions; Secrets
/// are left out where listing them is forbidden, for they go with their Jobs.
///
/// Payloads are found by the ids of runs: the chosen one, and those of which something else is left.
///
/// # Errors
/// [`GcError`] when a place cannot be searched.
pub async fn list(places: &Places, which: &Which) -> Result<Vec<Leftover>, GcError> {
    let sight = Sight::open(places).await?;
    find(&sight, which).await
}

/// Removes what [`list`] finds, and returns the leftovers that still exist. One that others removed meanwhile counts as
/// removed. Each is checked to be the run's before it is deleted: by its labels, and on the cluster by its uid.
///
/// # Errors
/// [`GcError`] when a place cannot be searched; nothing was removed then.
pub async fn remove(places: &Places, which: &Which) -> Result<Removed, GcError> {
    let sight = Sight::open(places).await?;
    let mut done = Removed::default();
    for leftover in find(&sight, which).await? {
        match delete(&sight, &leftover).await {
            Ok(()) => done.removed.push(leftover),
            Err(why) => done.failed.push((leftover, why)),
        }
    }
    Ok(done)
}

async fn find(sight: &Sight, which: &Which) -> Result<Vec<Leftover>, GcError> {
    // All places before the first removal: a place that cannot be searched must not leave half of a run removed.
    let objects = sight.objects(which).await?;
    let queues = sight.queues(which).await?;
    let mut runs: BTreeSet<_> = objects
        .iter()
        .chain(&queues)
        .map(|it| it.run.clone())
        .collect();
    if let Which::Run(run) = which {
        runs.insert(run.clone());
    }
    // Payloads have no deadline of their own: a run is taken by the deadline of its other objects, or by its id. They
    // stand before the queues, so that a removal that is cut short still finds the run by its queues.
    let payloads = sight.payloads(&runs).await?;
    Ok([objects, payloads, queues].concat())
}

async fn delete(sight: &Sight, leftover: &Leftover) -> Result<(), String> {
    match &leftover.thing {
        Thing::Object(found) => {
            let deleted = fleet::delete(&sight.cluster, found).await;
            deleted.map(drop).map_err(|error| error.to_string())
        }
        Thing::Queue(found) => sight.broker.remove(found).await,
        #[cfg(feature = "payload")]
        Thing::Payloads(url) => look::delete_payloads(url, &leftover.run).await,
    }
}

#[cfg(test)]
mod tests;
