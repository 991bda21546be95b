//! The workers' side of Pub/Sub: the queues of a run, opened from its description.

mod other_runs;
mod vanished;
mod way;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::openers::{Opener, WorkerFacts, WorkerQueues};
use podpool_core::broker::{BrokerError, ClassId, Description};
use podpool_core::queue::Queue;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::warn;

use super::connect::failed;
use super::{Connection, Owner, Ownership, PubSubQueue, QueueNames, RunNames, Signs};
use crate::broker::silent::SilentQueue;

/// The tag of descriptions. A description of another form gets another tag.
pub const TAG: &str = "pubsub-1";

/// The topics and subscriptions of a run, as workers receive them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    /// The project of the names.
    project: String,
    /// Where workers find the emulator, as `host:port`; none for Google's service. A worker's own variable goes before
    /// it.
    emulator: Option<String>,
    names: RunNames,
    /// The run with which messages are marked, where names are an administrator's.
    owner: Option<Owner>,
    /// The tasks' subscription's own ack deadline.
    ack_deadline: Duration,
}

/// Describes a run's topics and subscriptions to its workers.
pub(super) fn describe(
    project: &str,
    emulator: Option<String>,
    names: &RunNames,
    owner: Option<Owner>,
    ack_deadline: Duration,
) -> Result<Description, BrokerError> {
    let body = serde_json::to_string(&Body {
        project: project.to_owned(),
        emulator,
        names: names.clone(),
        owner,
        ack_deadline,
    });
    let body = body.map_err(failed("describe the run's topics to its workers"))?;
    Ok(Description {
        tag: TAG.to_owned(),
        body,
    })
}

/// Opens the queues that a [`PubSubBroker`](super::PubSubBroker) described.
#[derive(Clone, Copy, Debug, Default)]
pub struct PubSubOpener;

#[async_trait]
impl Opener for PubSubOpener {
    async fn open(&self, body: &str, worker_facts: &WorkerFacts) -> Result<WorkerQueues, String> {
        let body: Body = serde_json::from_str(body).map_err(|error| {
            format!("the description of the run's topics cannot be read: {error}")
        })?;
        if worker_facts.class != ClassId::DEFAULT {
            return Err(format!(
                "the run has no topic for class {}",
                worker_facts.class
            ));
        }
        let connection = way::connection(&body.project, body.emulator.as_deref());
        let connection = connection.map_err(|error| error.to_string())?;
        body.open(&connection, worker_facts)
    }
}

impl Body {
    fn open(
        self,
        connection: &Connection,
        worker_facts: &WorkerFacts,
    ) -> Result<WorkerQueues, String> {
        let (tell, met) = mpsc::unbounded_channel();
        let ownership = self.owner.clone().map(|own| Ownership::new(own, tell));
        let signs = Signs::default();
        let queue = |names: QueueNames, deadline| {
            PubSubQueue::new(connection, &names, worker_facts.lease, deadline)
                .map_err(|error| error.to_string())
        };
        let side = |queue: PubSubQueue| {
            Arc::new(match &ownership {
                Some(ownership) => queue.owned(ownership.clone()),
                None => self.repaired(queue, &signs),
            })
        };
        // The ack deadline is known for tasks alone, which saves the renewal after each pull. A worker only puts
        // results.
        let tasks = side(queue(self.names.tasks(), Some(self.ack_deadline))?);
        let results = side(queue(self.names.results(), None)?);
        let control = self.control(connection, worker_facts, &signs)?;
        // Both reports run until the worker's runtime ends: their queue of results holds a sender of `met`, and clones
        // of `signs`, so neither channel closes before. Detached, because no call of the worker may wait for a report.
        if ownership.is_some() {
            tokio::spawn(other_runs::report(met, results.clone()));
        }
        if self.names.are_own() {
            tokio::spawn(vanished::report(signs.clone(), results.clone()));
        }
        Ok(WorkerQueues {
            tasks,
            results,
            control,
            outlive: ownership.is_some(),
            advice: way::advice(self.emulator.as_deref()),
        })
    }

    fn repaired(&self, queue: PubSubQueue, signs: &Signs) -> PubSubQueue {
        match self.names.are_own() {
            true => queue.repaired(signs.clone()),
            false => queue,
        }
    }

    /// The worker's own control subscription. An administrator's may have been another run's before: its messages are
    /// dropped by their MAC.
    // Not `owned`: a message that an ended run left there is no sign that this run still exists, so none may end this
    // one.
    fn control(
        &self,
        connection: &Connection,
        worker_facts: &WorkerFacts,
        signs: &Signs,
    ) -> Result<Arc<dyn Queue>, String> {
        let named = worker_facts
            .place
            .and_then(|(cohort, index)| self.names.control_of(cohort, index));
        let Some(names) = named else {
            warn!("no control subscription: cancellations and the run's end are not received here");
            return Ok(Arc::new(SilentQueue::new(worker_facts.lease)));
        };
        let queue = PubSubQueue::new(connection, &names, worker_facts.lease, None);
        let queue = queue.map_err(|error| error.to_string())?;
        Ok(Arc::new(self.repaired(queue, signs)))
    }
}

#[cfg(test)]
mod tests {
    use podpool_core::id::RunId;

    use super::*;

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let run = RunId::new("backfill").unwrap();
        let names = RunNames::own("podpool", &run).unwrap();
        let owner = Owner::new(run, std::time::UNIX_EPOCH);
        let emulator = Some("10.0.0.1:8085".to_owned());
        let deadline = Duration::from_secs(60);
        let described = describe("p", emulator, &names, Some(owner.clone()), deadline).unwrap();
        assert_eq!(described.tag, TAG);
        let read: Body = serde_json::from_str(&described.body).unwrap();
        assert_eq!((read.names, read.owner), (names, Some(owner)));
        assert_eq!(read.emulator.as_deref(), Some("10.0.0.1:8085"));
    }

    #[tokio::test]
    async fn an_unreadable_description_is_refused_with_a_reason() {
        let worker_facts = WorkerFacts {
            class: ClassId::DEFAULT,
            place: None,
            lease: Duration::from_secs(60),
        };
        let said = PubSubOpener.open("{}", &worker_facts).await.unwrap_err();
        assert!(said.contains("project"), "{said}");
    }
}
