//! A run's end of its queues. On an administrator's names another run may be there: nothing is published, and no pod is
//! started, before it was looked for.

use std::time::Duration;

use podpool_core::worker::Queues;
use tokio::sync::mpsc;

use crate::broker::pubsub::sweep::look;
use crate::broker::pubsub::{Connection, Owner, Ownership, PubSubQueue, Signs};
use crate::broker::run_payloads::Payloads;
use crate::error::BuildError;
use crate::error::start::{chain, refused};
use crate::fleet::kubernetes::job::RunSecret;

use super::{Cluster, Met};

/// What a run needs to speak with its workers.
pub(super) struct Joined {
    pub(super) queues: Queues,
    pub(super) met: Met,
    /// The tasks' queue, where it outlives the run.
    pub(super) given: Option<PubSubQueue>,
    pub(super) secret: RunSecret,
}

impl Cluster {
    /// Opens the run's queues, and describes them to its workers. `ack_deadlines` are those of the tasks' and the
    /// results' subscriptions.
    pub(super) async fn join(
        &self,
        connection: &Connection,
        payloads: &Payloads,
        ack_deadlines: (Option<Duration>, Option<Duration>),
        own: Owner,
        signs: &Signs,
    ) -> Result<Joined, BuildError> {
        let (met, met_rx) = mpsc::unbounded_channel();
        let ownership = Ownership::new(own.clone(), met);
        let ownership = Some(ownership).filter(|_| !self.names.are_own());
        let side = |queue: PubSubQueue| match &ownership {
            Some(ownership) => queue.owned(ownership.clone()),
            None => queue.repaired(signs.clone()),
        };
        let mut given = None;
        if let Some(ownership) = &ownership {
            let lease = (self.lease(), ack_deadlines.0);
            let tasks = side(self.queue(connection, &self.names.tasks(), lease)?);
            let results = side(self.results_queue(connection, ack_deadlines.1)?);
            tokio::join!(look(&tasks), look(&results));
            if let Some(older) = ownership.older() {
                let by = older.run().clone();
                return Err(BuildError::NamesInUse { by });
            }
            given = Some(tasks);
        }
        let queues = self.queues(connection, payloads, ack_deadlines.1, side)?;
        let owner = ownership.as_ref().map(|_| own.clone());
        let descriptor = self.descriptor(connection.project(), ack_deadlines.0, owner);
        let descriptor = descriptor
            .authenticate(&self.key)
            .map_err(chain)
            .map_err(refused("describe the run to its workers"))?;
        let secret = RunSecret {
            descriptor,
            key: self.key.to_vec(),
        };
        Ok(Joined {
            queues,
            met: (own, met_rx),
            given,
            secret,
        })
    }
}
