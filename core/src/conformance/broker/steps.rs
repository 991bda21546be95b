//! The steps of the checks of brokers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Subject;
use crate::broker::openers::{WorkerFacts, WorkerQueues};
use crate::broker::{BrokerEvent, ClassId, Cohort, Leftover, RunFacts, RunQueues, Which};
use crate::id::{RunId, RunName};
use crate::queue::Queue;

/// The name of the runs of the checks.
const NAME: &str = "conformance";
/// The pause before a call is repeated.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that one call waits for messages.
const WAIT: Duration = Duration::from_millis(500);
/// Messages of one call.
const MOST: usize = 100;
/// When the runs of the checks began, in seconds since 1970, and how long they last.
// Fixed and in whole seconds: labels of a broker may have no fraction. The runs are past their deadline by any real
// clock.
const CREATED: u64 = 1_700_000_000;
const LASTS: u64 = 3_600;

/// The name of the runs.
pub(super) fn name() -> RunName {
    match RunName::new(NAME) {
        Ok(name) => name,
        Err(error) => panic!("{NAME} is no run's name: {error}"),
    }
}

/// A new run, with the broker's default lease and the default class.
pub(super) fn facts(subject: &Subject) -> RunFacts {
    let created = UNIX_EPOCH + Duration::from_secs(CREATED);
    RunFacts {
        run: RunId::of(&name()),
        name: Some(name()),
        created,
        deadline: created + Duration::from_secs(LASTS),
        lease: subject.broker.limits().default_lease,
        epoch: 1,
        classes: vec![ClassId::DEFAULT],
    }
}

/// A run that is open, and watched.
pub(super) struct Opened {
    pub(super) facts: RunFacts,
    pub(super) queues: Arc<dyn RunQueues>,
    pub(super) events: UnboundedReceiver<BrokerEvent>,
    stop: CancellationToken,
    watching: JoinHandle<()>,
    patience: Duration,
}

impl Opened {
    pub(super) async fn new(subject: &Subject) -> Self {
        Self::of(subject, facts(subject)).await
    }

    pub(super) async fn of(subject: &Subject, facts: RunFacts) -> Self {
        let queues = match subject.broker.open(&facts).await {
            Ok(queues) => queues,
            Err(error) => panic!("run {} was not opened: {error}", facts.run),
        };
        let (tell, events) = unbounded_channel();
        let stop = CancellationToken::new();
        let (watched, stopped) = (queues.clone(), stop.clone());
        // Beside the check, as in a master: a broker may repair its queues only while it is watched.
        let watching = tokio::spawn(async move { watched.watch(tell, stopped).await });
        Self {
            facts,
            queues,
            events,
            stop,
            watching,
            patience: subject.patience,
        }
    }

    /// The queue of a class's tasks.
    pub(super) fn tasks(&self, class: ClassId) -> Arc<dyn Queue> {
        match self.queues.tasks(class) {
            Some(tasks) => tasks,
            None => panic!("the run has no queue for tasks of class {class}"),
        }
    }

    /// The queues of a worker, in the cohort's place where it has one.
    pub(super) async fn worker(
        &self,
        subject: &Subject,
        class: ClassId,
        place: Option<(u32, u32)>,
    ) -> WorkerQueues {
        let worker_facts = WorkerFacts {
            class,
            place,
            lease: self.facts.lease,
        };
        let described = self.queues.description();
        match subject.opener.open(&described.body, &worker_facts).await {
            Ok(queues) => queues,
            Err(reason) => panic!("a worker cannot open the queues at {worker_facts:?}: {reason}"),
        }
    }

    /// Makes the queues of the workers of a cohort of the default class.
    pub(super) async fn prepare(&self, number: u32, size: u32) {
        self.prepare_for(ClassId::DEFAULT, number, size).await;
    }

    /// Makes the queues of the workers of a cohort.
    pub(super) async fn prepare_for(&self, class: ClassId, number: u32, size: u32) {
        let cohort = Cohort {
            number,
            class,
            size,
        };
        if let Err(reason) = self.queues.prepare(cohort).await {
            panic!("the queues of {cohort:?} were not made: {reason}");
        }
    }

    /// Stops watching, and removes the run.
    pub(super) async fn end(self) {
        assert!(!self.watching.is_finished(), "watching ended unasked");
        // The watch must have returned before the removal, or it would make a removed queue again.
        self.stop.cancel();
        let watched = timeout(self.patience, self.watching).await;
        assert!(
            matches!(watched, Ok(Ok(()))),
            "watching goes on: {watched:?}"
        );
        let left = self.queues.remove().await;
        assert!(left.is_empty(), "the end left {left:?}");
    }
}

/// Stores messages, each until it is stored.
pub(super) async fn put(queue: &dyn Queue, bodies: &[&'static str], patience: Duration) {
    let start = Instant::now();
    for body in bodies {
        loop {
            // One message for each call, so that a repeated call repeats one message only. A message that was stored
            // although its answer is an error arrives twice, which `expect` accepts.
            let answers = queue.put(vec![Bytes::from_static(body.as_bytes())]).await;
            let Some(Err(error)) = answers.into_iter().next() else {
                break;
            };
            assert!(start.elapsed() < patience, "{body} was not stored: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// Takes until all of these messages were delivered, in any order and however often. Any other message is a failure.
pub(super) async fn expect(queue: &dyn Queue, bodies: &[&'static str], patience: Duration) {
    let start = Instant::now();
    let wanted: BTreeSet<_> = bodies.iter().map(|body| body.as_bytes()).collect();
    let mut came = BTreeSet::new();
    while came.len() < wanted.len() {
        assert!(
            start.elapsed() < patience,
            "of {bodies:?} only {came:?} came within {patience:?} on {queue:?}"
        );
        let Ok(taken) = queue.take(MOST, WAIT).await else {
            sleep(PAUSE).await;
            continue;
        };
        // Acknowledged at the end of each turn, or a slow broker would deliver the messages again to the next check.
        let leases: Vec<_> = taken.iter().map(|one| one.lease.clone()).collect();
        for delivery in taken {
            let known = wanted.get(&delivery.body[..]);
            assert!(known.is_some(), "{:?} came to {queue:?}", delivery.body);
            came.extend(known.copied());
        }
        queue.ack(&leases).await;
    }
}

/// Checks that nothing is delivered for [`WAIT`].
pub(super) async fn expect_nothing(queue: &dyn Queue, why: &str) {
    let taken = queue.take(MOST, WAIT).await;
    if let Ok(taken) = taken {
        assert!(taken.is_empty(), "{taken:?} came although {why}");
    }
}

/// The leftovers of a run, as its broker finds them.
pub(super) async fn left_of(subject: &Subject, run: &RunId) -> Vec<Leftover> {
    let which = Which::Run(run.clone());
    match subject.broker.leftovers(&which, UNIX_EPOCH).await {
        Ok(found) => found,
        Err(error) => panic!("{error}"),
    }
}
