//! The queues of one run on the emulator, for a pool whose workers are this machine's.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use podpool::RunId;
use podpool::pubsub::{Admin, Connection, PubSubQueue, RunLabels, RunNames};
use podpool_core::queue::Queue;

use super::emulator::LEASE;

/// The age at which topics that a killed test left behind may be collected.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// Topics and subscriptions of one run. They stay until they are deleted.
#[derive(Debug)]
pub struct Topics {
    connection: Connection,
    names: RunNames,
}

impl Topics {
    /// Makes the topics and subscriptions, while the calling thread waits.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn make(run: &RunId) -> Self {
        // A thread of its own: `block_on` panics on a thread that runs a runtime, and the caller's thread may.
        let run = run.clone();
        let made = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(Self::create(&run))
        });
        made.join().unwrap()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the deadline is a label for whoever collects what a killed test left"
    )]
    async fn create(run: &RunId) -> Self {
        let connection = Connection::builder().open().unwrap();
        let names = RunNames::own("podpool", run).unwrap();
        let created = SystemTime::now();
        let labels = RunLabels {
            run: run.clone(),
            name: None,
            created,
            deadline: created + DEADLINE,
        };
        let admin = Admin::new(&connection);
        admin.create(&names, &labels, LEASE).await.unwrap();
        let control = admin.create_control(&names, &labels, LEASE, 0, 1).await;
        control.unwrap();
        Self { connection, names }
    }

    /// The queue of this name: `tasks`, `results` or `control`.
    ///
    /// # Panics
    /// When there is no such queue.
    #[must_use]
    pub fn queue(&self, name: &str) -> Arc<dyn Queue> {
        let (names, deadline) = match name {
            "tasks" => (self.names.tasks(), Some(LEASE)),
            "results" => (self.names.results(), Some(LEASE)),
            // Dispatcher and worker share this queue: the dispatcher puts to the topic, the worker takes from the
            // subscription of worker 0.
            "control" => {
                let mut control = self.names.control().unwrap();
                control.subscription = self.names.control_of(0, 0).unwrap().subscription;
                (control, Some(LEASE))
            }
            other => panic!("no queue is called {other}"),
        };
        Arc::new(PubSubQueue::new(&self.connection, &names, LEASE, deadline).unwrap())
    }
}

/// Deletes what a run has in Pub/Sub, whatever made it.
///
/// # Panics
/// When something cannot be deleted.
pub async fn delete(run: &RunId) {
    let connection = Connection::builder().open().unwrap();
    let admin = Admin::new(&connection);
    let names = RunNames::own("podpool", run).unwrap();
    let deleted = admin.delete_run(&names, run).await;
    assert!(deleted.failed.is_empty(), "{:?}", deleted.failed);
}
