//! The emulator that `PUBSUB_EMULATOR_HOST` names, and runs on it that no other test uses.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use podpool::RunId;
use podpool::pubsub::{Admin, Connection, PubSubQueue, QueueNames, RunLabels, RunNames};
use podpool_core::queue::Queue;

const HOST: &str = "PUBSUB_EMULATOR_HOST";

/// When all runs begin. A test that collects garbage passes the time itself, so no test depends on the clock.
const CREATED: SystemTime = SystemTime::UNIX_EPOCH;

/// The shortest lease that Pub/Sub gives.
pub const LEASE: Duration = Duration::from_secs(10);

/// Whether there is an emulator. If there is none, prints that, and fails where `CI=true`, so that no test of a CI run
/// is left out unseen.
#[must_use]
pub fn is_there() -> bool {
    if std::env::var(HOST).is_ok() {
        return true;
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{HOST} is not set, and CI=true leaves nothing out");
    say("left out: PUBSUB_EMULATOR_HOST names no emulator");
    false
}

#[expect(clippy::print_stdout, reason = "what is left out is said")]
fn say(what: &str) {
    println!("{what}");
}

/// A run in a project of its own.
#[derive(Debug)]
pub struct Ground {
    /// A connection to the project.
    pub connection: Connection,
    /// The administration of the project.
    pub admin: Admin,
    /// The run's names.
    pub names: RunNames,
    /// The run's labels; the deadline is an hour away.
    pub labels: RunLabels,
}

impl Ground {
    /// A project with a new name; no topic is created yet.
    pub async fn new() -> Self {
        let run = RunId::random();
        let project = format!("test-{run}");
        let connection = Connection::builder().project(project).open().unwrap();
        Self {
            admin: Admin::new(&connection),
            connection,
            names: RunNames::own("podpool", &run).unwrap(),
            labels: RunLabels {
                run,
                name: None,
                created: CREATED,
                deadline: CREATED + Duration::from_secs(3_600),
            },
        }
    }

    /// Makes the run's topics and subscriptions, with `lease` as their acknowledgement deadline.
    pub async fn create(&self, lease: Duration) {
        let created = self.admin.create(&self.names, &self.labels, lease);
        created.await.unwrap();
    }

    /// A queue with [`LEASE`].
    #[must_use]
    pub fn queue(&self, names: &QueueNames, ack_deadline: Option<Duration>) -> PubSubQueue {
        PubSubQueue::new(&self.connection, names, LEASE, ack_deadline).unwrap()
    }

    /// A fresh run's queue of tasks.
    pub async fn tasks() -> Arc<dyn Queue> {
        let ground = Self::new().await;
        ground.create(LEASE).await;
        Arc::new(ground.queue(&ground.names.tasks(), Some(LEASE)))
    }

    /// Deletes a topic alone, by a request that podpool's own administration does not see.
    pub fn delete_topic(&self, name: &str) {
        self.delete("topics", name);
    }

    /// Deletes a subscription.
    pub fn delete_subscription(&self, name: &str) {
        self.delete("subscriptions", name);
    }

    fn delete(&self, kind: &str, name: &str) {
        delete(self.connection.project(), kind, name);
    }
}

/// Deletes one of a project's `topics` or `subscriptions` alone, by a request of REST, as another program would.
///
/// # Panics
/// When there is no object of this name.
pub fn delete(project: &str, kind: &str, name: &str) {
    let host = std::env::var(HOST).unwrap();
    let mut socket = TcpStream::connect(&host).unwrap();
    let path = format!("/v1/projects/{project}/{kind}/{name}");
    let request = format!("DELETE {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    // The emulator keeps the connection open, so a read to the end would hang: the status line alone is awaited.
    socket.set_read_timeout(Some(LEASE)).unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200", "{path}");
}
