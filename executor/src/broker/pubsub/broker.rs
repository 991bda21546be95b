//! Pub/Sub as the broker of runs: their topics and subscriptions are made, described to workers, and found again.

mod doctor;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use podpool_core::broker::{
    Broker, BrokerError, BrokerLimits, ClassId, Leftover, LeftoverError, RunFacts, RunQueues, Which,
};
use podpool_core::id::RunId;
use tokio::sync::OnceCell;

use super::admin::Labelled;
use super::connect::{connect, failed, to_project};
use super::names::{RunNames, spoken};
use super::queue::{LEASES, MESSAGE_BYTES, check_lease};
use super::run_queues::PubSubRun;
use super::worker_emulator::{WorkerEmulator, for_workers};
use super::{Admin, AdminError};
use crate::broker::given_names::GivenNames;
use crate::error::start::chain;

/// The default prefix of the names of topics and subscriptions.
const PREFIX: &str = "podpool";
/// How long a lease lasts by default: the batches of a killed worker are delivered again after it.
// Within 10 to 600 s. A renewal is sent after 10 to 20 s of it, so that two may fail before the lease ends. At double,
// a killed worker's batches would wait two minutes; at half, a dead connection (45 s) would cost every lease.
const LEASE: Duration = Duration::from_secs(60);

/// Pub/Sub, as runs use it. Settings that are not given are read from the environment, as a
/// [`Connection`](super::Connection) reads them.
///
/// The lease of a run must be 10 to 600 whole seconds, and its tasks of the default class.
#[derive(Clone, Debug, Default)]
#[must_use = "a broker does nothing until a run is opened"]
pub struct PubSubBroker {
    project: Option<String>,
    prefix: Option<String>,
    given: Option<GivenNames>,
    worker_emulator: Option<WorkerEmulator>,
    /// For leftovers, which are listed and removed without a run: made once.
    admin: Arc<OnceCell<(Admin, String)>>,
}

impl PubSubBroker {
    /// Pub/Sub as the environment names it; runs make their own topics and subscriptions.
    pub fn new() -> Self {
        Self::default()
    }

    /// The project. Default: `PODPOOL_PROJECT`, then `GOOGLE_CLOUD_PROJECT`, then `podpool` on an emulator.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The prefix of the names of topics and subscriptions. Default `podpool`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Topics and subscriptions that an administrator made, for one run at a time. Default: a run makes its own.
    pub fn names(mut self, names: GivenNames) -> Self {
        self.given = Some(names);
        self
    }

    /// Where workers in pods find the emulator, as `host:port`. Default: `PODPOOL_WORKER_EMULATOR_HOST`, then the
    /// address at which this program finds it. Where `worker_env`, the workers' own variables, has
    /// `PUBSUB_EMULATOR_HOST`, workers use that address.
    ///
    /// # Errors
    /// [`BrokerError::Setting`] for an address that means the pod itself, has no port, or is given although this
    /// program uses no emulator.
    pub fn worker_emulator_host(
        mut self,
        host: Option<&str>,
        worker_env: &[(String, String)],
    ) -> Result<Self, BrokerError> {
        let variable = |name: &str| std::env::var(name).ok();
        self.worker_emulator = for_workers(host, worker_env, variable)?;
        Ok(self)
    }

    /// The names of a run's topics and subscriptions.
    fn names_of(&self, run: &RunId) -> Result<RunNames, BrokerError> {
        let prefix = self.prefix.as_deref().unwrap_or(PREFIX);
        let (option, names) = match &self.given {
            Some(given) => ("names", RunNames::given(given.clone())),
            None => ("prefix", RunNames::own(prefix, run)),
        };
        names.map_err(|error| BrokerError::Setting {
            name: format!("PubSubOptions::{option}"),
            value: match option {
                "prefix" => prefix.to_owned(),
                _ => "the given topics".to_owned(),
            },
            reason: error.to_string(),
        })
    }

    /// The client for administration, and the project.
    async fn admin(&self) -> Result<&(Admin, String), LeftoverError> {
        let at = |reason| LeftoverError {
            place: "Pub/Sub".to_owned(),
            reason,
        };
        // An error is not kept in the cell: the next call connects again.
        let connected = self.admin.get_or_try_init(|| async {
            let connection = to_project(self.project.as_deref()).open();
            let connection = connection.map_err(|error| at(error.to_string()))?;
            let admin = Admin::new(&connection).await;
            let admin = admin.map_err(|error| at(error.to_string()))?;
            Ok((admin, connection.project().to_owned()))
        });
        connected.await
    }
}

#[async_trait]
impl Broker for PubSubBroker {
    fn limits(&self) -> BrokerLimits {
        let (shortest, longest) = (*LEASES.start(), *LEASES.end());
        let leases = (Duration::from_secs(shortest), Duration::from_secs(longest));
        BrokerLimits::new(MESSAGE_BYTES, leases, LEASE).for_processes()
    }

    async fn check(&self) -> Result<(), BrokerError> {
        // Any run's id will do: ids have one form and a bounded length, so only the prefix or the given names can be
        // wrong.
        self.names_of(&RunId::random())?;
        match &self.worker_emulator {
            Some(emulator) => emulator.check().await,
            None => Ok(()),
        }
    }

    async fn open(&self, run: &RunFacts) -> Result<Arc<dyn RunQueues>, BrokerError> {
        let names = self.names_of(&run.run)?;
        check_lease(run.lease).map_err(|error| BrokerError::Setting {
            name: "lease".to_owned(),
            value: format!("{:?}", run.lease),
            reason: error.to_string(),
        })?;
        if let Some(class) = run.classes.iter().find(|it| **it != ClassId::DEFAULT) {
            let reason = "Pub/Sub has one topic of tasks for each run".to_owned();
            return Err(failed(format!("make a topic for class {class}"))(reason));
        }
        let connected = connect(self.project.as_deref()).await?;
        let emulator = self.worker_emulator.as_ref().map(|it| it.host.clone());
        let opened = PubSubRun::open(connected, names, emulator, run).await?;
        Ok(Arc::new(opened))
    }

    async fn leftovers(
        &self,
        which: &Which,
        now: SystemTime,
    ) -> Result<Vec<Leftover>, LeftoverError> {
        let (admin, project) = self.admin().await?;
        // In the order of their removal: a subscription that outlives its topic is in no listing of that topic.
        let found = async {
            let mut found = admin.labelled_subscriptions(now, which).await?;
            found.extend(admin.labelled_topics(now, which).await?);
            Ok::<_, AdminError>(found)
        };
        let found = found.await.map_err(|error| LeftoverError {
            place: format!("project {project} of Pub/Sub"),
            reason: error.to_string(),
        })?;
        Ok(found.into_iter().map(leftover).collect())
    }

    async fn remove(&self, leftover: &Leftover) -> Result<(), String> {
        let (admin, _) = self.admin().await.map_err(chain)?;
        let path = &leftover.id;
        let deleted = if path.contains("/topics/") {
            admin.delete_topic(path).await
        } else {
            admin.delete_subscription(path).await
        };
        match deleted {
            Ok(()) | Err(AdminError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn leftover(found: Labelled) -> Leftover {
    Leftover {
        what: spoken(&found.path),
        id: found.path,
        run: found.run,
        run_name: found.name,
        deadline: found.deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_invalid_prefix_is_named_without_a_call_to_the_service() {
        let broker = PubSubBroker::new().prefix("Goog");
        let said = broker.check().await.unwrap_err().to_string();
        assert!(
            said.contains("PubSubOptions::prefix") && said.contains("Goog"),
            "{said}"
        );
        PubSubBroker::new().check().await.unwrap();
    }

    #[test]
    fn a_leftover_is_named_in_words_and_not_by_its_path() {
        let found = leftover(Labelled {
            path: "projects/p/topics/t".to_owned(),
            run: RunId::new("a").unwrap(),
            name: None,
            deadline: None,
        });
        assert_eq!(found.what, "topic t of project p");
    }
}
