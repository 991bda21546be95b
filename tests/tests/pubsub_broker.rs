//! The brokers' suite over Pub/Sub's emulator.

#![cfg(feature = "pubsub")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use podpool::RunId;
use podpool::pubsub::{PubSubBroker, PubSubOpener, RunNames};
use podpool_core::conformance::broker::{Subject, all};
use podpool_tests::pubsub::emulator;

/// The longest time that the emulator may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pubsub_keeps_every_promise_of_a_broker() {
    if !emulator::is_there() {
        return;
    }
    let project = format!("test-{}", RunId::random());
    let broker = PubSubBroker::new().project(&project);
    let mut subject = Subject::new(Arc::new(broker), Arc::new(PubSubOpener));
    subject.patience = PATIENCE;
    subject.vanish = Some(Arc::new(move |run: RunId| {
        let (project, tasks) = (project.clone(), tasks_of(&run));
        Box::pin(async move {
            let deleting = tokio::task::spawn_blocking(move || {
                emulator::delete(&project, "topics", &tasks);
                emulator::delete(&project, "subscriptions", &tasks);
            });
            deleting.await.unwrap();
        })
    }));
    all(&subject).await;
}

/// The topic of a run's tasks, whose subscription has the same name.
fn tasks_of(run: &RunId) -> String {
    let names = RunNames::own("podpool", run).unwrap();
    names.tasks().topic.unwrap()
}
