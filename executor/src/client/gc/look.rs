//! The places where runs leave something, and the search for leftovers there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use podpool_core::broker::{self, Broker, Which};
use podpool_core::id::RunId;

use crate::broker::pubsub::PubSubBroker;
use crate::broker::run_payloads::asked_for;
use crate::fleet::kubernetes::client::Cluster;
use crate::fleet::kubernetes::fleet::{self, Found, Garbage};

use super::{GcError, Leftover, Places, Thing};

/// A namespace, as `build()` reads it.
const NAMESPACE: &str = "PODPOOL_NAMESPACE";

/// Ways to all places.
pub(super) struct Sight {
    pub(super) cluster: Cluster,
    pub(super) broker: Arc<dyn Broker>,
    store: Option<String>,
    now: SystemTime,
}

impl Sight {
    #[expect(
        clippy::disallowed_methods,
        reason = "labels say by everybody's clock when a run is over"
    )]
    pub(super) async fn open(places: &Places) -> Result<Self, GcError> {
        let variable = || {
            std::env::var(NAMESPACE)
                .ok()
                .filter(|name| !name.is_empty())
        };
        let namespace = places.namespace.clone().or_else(variable);
        // The cluster first: without its Jobs the deadline of a run is not known.
        let cluster = Cluster::connect(namespace.as_deref())
            .await
            .map_err(|error| error.to_string())
            .map_err(GcError::at("the Kubernetes cluster"))?;
        let mut broker = PubSubBroker::new();
        if let Some(project) = &places.project {
            broker = broker.project(project);
        }
        Ok(Self {
            cluster,
            broker: Arc::new(broker),
            store: asked_for(places.payload_store.clone()),
            // One moment for all places: between two clock readings a deadline could pass, and half of a run be listed.
            now: SystemTime::now(),
        })
    }

    /// Secrets, Jobs and pods.
    pub(super) async fn objects(&self, which: &Which) -> Result<Vec<Leftover>, GcError> {
        let namespace = self.cluster.namespace();
        let found = fleet::find(&self.cluster, &garbage(which, self.now)).await;
        let found = found
            .map_err(|error| error.to_string())
            .map_err(GcError::at(format!("namespace {namespace}")))?;
        Ok(found.into_iter().map(|it| object(it, namespace)).collect())
    }

    /// Leftovers of queues. Where runs are chosen by their deadline, those of a run with a Job that has a later one stay:
    /// a later master of the run has another deadline than the one that made its queues.
    pub(super) async fn queues(&self, which: &Which) -> Result<Vec<Leftover>, GcError> {
        let found = self.broker.leftovers(which, self.now).await;
        let mut found = found.map_err(|error| GcError::at(error.place)(error.reason))?;
        // After the queues: a run that is picked up in between is seen.
        if let Garbage::PastDeadline(now) = garbage(which, self.now)
            && !found.is_empty()
        {
            let namespace = self.cluster.namespace();
            let running = fleet::running(&self.cluster, now).await;
            let running = running
                .map_err(|error| error.to_string())
                .map_err(GcError::at(format!("namespace {namespace}")))?;
            found.retain(|it| !running.contains(&it.run));
        }
        Ok(found.into_iter().map(queue).collect())
    }

    /// The payloads that these runs stored.
    #[cfg(feature = "payload")]
    pub(super) async fn payloads(&self, runs: &BTreeSet<RunId>) -> Result<Vec<Leftover>, GcError> {
        match &self.store {
            Some(url) => payloads(url, runs).await,
            None => Ok(Vec::new()),
        }
    }

    /// Refuses a store.
    #[cfg(not(feature = "payload"))]
    pub(super) async fn payloads(&self, _: &BTreeSet<RunId>) -> Result<Vec<Leftover>, GcError> {
        match &self.store {
            None => Ok(Vec::new()),
            Some(url) => Err(GcError::at(url)(NO_STORE.to_owned())),
        }
    }
}

/// The payloads of these runs in a store.
#[cfg(feature = "payload")]
pub(super) async fn payloads(url: &str, runs: &BTreeSet<RunId>) -> Result<Vec<Leftover>, GcError> {
    let stored = crate::broker::payload::PayloadStore::runs(url).await;
    let stored = stored
        .map_err(|error| error.to_string())
        .map_err(GcError::at(url))?;
    // A store may hold payloads of runs of other clusters; only those of the chosen runs are touched.
    let of_runs = stored.into_iter().filter(|run| runs.contains(run));
    let leftover = |run: RunId| Leftover {
        what: format!("payloads of run {run} in {url}"),
        run,
        run_name: None,
        deadline: None,
        thing: Thing::Payloads(url.to_owned()),
    };
    Ok(of_runs.map(leftover).collect())
}

/// Why a store cannot be searched.
#[cfg(not(feature = "payload"))]
pub(super) const NO_STORE: &str = "a payload store needs podpool's feature `payload`";

/// Deletes the payloads that a run stored.
#[cfg(feature = "payload")]
pub(super) async fn delete_payloads(url: &str, run: &RunId) -> Result<(), String> {
    let store =
        crate::broker::payload::PayloadStore::open(url, run).map_err(|error| error.to_string())?;
    let deleted = store.delete_run().await;
    deleted.map(drop).map_err(|error| error.to_string())
}

fn garbage(which: &Which, now: SystemTime) -> Garbage {
    match which {
        Which::Run(run) => Garbage::Run(run.clone()),
        Which::Named(name) => Garbage::Named(name.clone()),
        Which::PastDeadline => {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            Garbage::PastDeadline(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
        }
    }
}

fn object(found: Found, namespace: &str) -> Leftover {
    // A label before 1970 or past the clock's range is shown without a deadline; the choice was made by the label
    // itself.
    let deadline = found.deadline.and_then(|at| u64::try_from(at).ok());
    Leftover {
        what: format!("{} {} of namespace {namespace}", found.kind, found.name),
        run: found.run.clone(),
        run_name: found.run_name.clone(),
        deadline: deadline.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))),
        thing: Thing::Object(found),
    }
}

fn queue(found: broker::Leftover) -> Leftover {
    Leftover {
        what: found.what.clone(),
        run: found.run.clone(),
        run_name: found.run_name.clone(),
        deadline: found.deadline,
        thing: Thing::Queue(found),
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;
    use crate::fleet::kubernetes::fleet::Kind;

    /// A Job of a run that has a name and ended in 1970.
    pub(in crate::client::gc) fn job(run: &str) -> Leftover {
        let found = Found {
            kind: Kind::Job,
            name: format!("pp-{run}-c0"),
            uid: "uid".to_owned(),
            run: RunId::new(run).unwrap(),
            run_name: podpool_core::id::RunName::new("nightly").ok(),
            deadline: Some(60),
            owned: false,
        };
        object(found, "batch")
    }

    #[test]
    fn the_cluster_is_searched_for_the_same_runs() {
        let at = UNIX_EPOCH + Duration::from_millis(7_900);
        assert_eq!(garbage(&Which::PastDeadline, at), Garbage::PastDeadline(7));
        let run = RunId::new("a").unwrap();
        assert_eq!(garbage(&Which::Run(run.clone()), at), Garbage::Run(run));
    }
}
