//! The brokers' suite over memory, and over brokers with deliberate faults, which the suite must refuse.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use podpool_core::conformance::broker::{
    Subject, a_lease_out_of_bounds_is_refused, all, limits_are_sound, nonsense_is_not_opened,
    tasks_and_results_arrive, what_is_left_is_found,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn memory_keeps_every_promise() {
    let broker = MemoryBroker::default();
    all(&Subject::new(Arc::new(broker.clone()), Arc::new(broker))).await;
}

/// The fault of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Its limits state that other processes can open its queues, but it never lists leftovers.
    Forgets,
    /// Its queues have another lease than the run requires.
    Leases,
    /// Its workers open another run's queues.
    Strays,
}

#[derive(Clone, Debug)]
struct Broken {
    memory: MemoryBroker,
    fault: Fault,
}

#[async_trait]
impl Broker for Broken {
    fn limits(&self) -> BrokerLimits {
        let limits = self.memory.limits();
        match self.fault {
            Fault::Forgets => limits.for_processes(),
            Fault::Leases | Fault::Strays => limits,
        }
    }

    async fn check(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn open(&self, run: &RunFacts) -> Result<Arc<dyn RunQueues>, BrokerError> {
        let mut run = run.clone();
        if self.fault == Fault::Leases {
            run.lease = Duration::from_secs(7);
        }
        Broker::open(&self.memory, &run).await
    }

    async fn leftovers(&self, _: &Which, _: SystemTime) -> Result<Vec<Leftover>, LeftoverError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &Leftover) -> Result<(), String> {
        Ok(())
    }
}

#[async_trait]
impl Opener for Broken {
    async fn open(&self, body: &str, worker_facts: &WorkerFacts) -> Result<WorkerQueues, String> {
        if self.fault != Fault::Strays {
            return Opener::open(&self.memory, body, worker_facts).await;
        }
        let facts = RunFacts {
            run: RunId::random(),
            name: None,
            created: SystemTime::UNIX_EPOCH,
            deadline: SystemTime::UNIX_EPOCH,
            lease: worker_facts.lease,
            epoch: 1,
            classes: vec![worker_facts.class],
        };
        let stray = MemoryRun::new(&facts);
        Ok(WorkerQueues {
            tasks: stray.tasks(worker_facts.class).ok_or("no class")?,
            results: stray.results(),
            control: stray.control(),
            outlive: false,
            advice: "none".to_owned(),
        })
    }
}

/// Runs a check, which must fail on a broker with this fault with a message that contains `words`.
async fn refuses<F: Future<Output = ()>>(
    fault: Fault,
    words: &str,
    check: impl FnOnce(Subject) -> F,
) {
    let broken = Broken {
        memory: MemoryBroker::default(),
        fault,
    };
    let subject = Subject::new(Arc::new(broken.clone()), Arc::new(broken));
    let checked = AssertUnwindSafe(check(subject)).catch_unwind().await;
    let reason = checked.expect_err("the check passed a broken broker");
    let reason = reason.downcast::<String>().expect("a sentence with values");
    assert!(reason.contains(words), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn broken_brokers_are_refused() {
    let check = |subject| async move { what_is_left_is_found(&subject).await };
    refuses(Fault::Forgets, "left", check).await;
    let check = |subject| async move { limits_are_sound(&subject).await };
    refuses(Fault::Leases, "the run's lease", check).await;
    let check = |subject| async move { a_lease_out_of_bounds_is_refused(&subject).await };
    refuses(Fault::Leases, "was given", check).await;
    let check = |subject| async move { nonsense_is_not_opened(&subject).await };
    refuses(Fault::Strays, "was opened", check).await;
    let check = |subject| async move { tasks_and_results_arrive(&subject).await };
    refuses(Fault::Strays, "came within", check).await;
}
