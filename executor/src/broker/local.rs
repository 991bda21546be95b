//! The broker of one process: queues in memory, for the worker that shares it with the master.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use podpool_core::broker::openers::{Opener, WorkerFacts, WorkerQueues};
use podpool_core::broker::{
    Broker, BrokerError, BrokerEvent, BrokerLimits, ClassId, Cohort, CohortQueues, Description,
    Leftover, LeftoverError, RunFacts, RunQueues, Which,
};
use podpool_core::id::RunId;
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::queue::{Queue, QueueLimits};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// Largest message: the length of an entry is a `u32`.
const MESSAGE_BYTES: usize = u32::MAX as usize;
/// Shortest lease: a worker must be able to renew it.
const SHORTEST_LEASE: Duration = Duration::from_millis(1);
/// How long a lease lasts by default: it only matters when this process is suspended.
// The worker shares the process with the queue, so a lease cannot outlast its holder.
const LEASE: Duration = Duration::from_secs(60);
/// The tag of its descriptions. No other process can open them.
const TAG: &str = "memory";

/// Queues in this process's memory. They are dropped with the run; nothing is ever left over.
///
/// Clones share their runs. It is its own [`Opener`].
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryBroker {
    // Weak: the run owns its queues, and their memory is free as soon as the run is dropped. An entry of a dropped run
    // stays; it is an id and a pointer.
    runs: Arc<Mutex<HashMap<RunId, Weak<MemoryRun>>>>,
}

/// A run's queues.
#[derive(Debug)]
struct MemoryRun {
    run: RunId,
    tasks: HashMap<ClassId, Arc<dyn Queue>>,
    results: Arc<dyn Queue>,
    control: Arc<dyn Queue>,
}

#[async_trait]
impl Broker for MemoryBroker {
    fn limits(&self) -> BrokerLimits {
        let mut limits = BrokerLimits::new(MESSAGE_BYTES, (SHORTEST_LEASE, Duration::MAX), LEASE);
        limits.classes = true;
        limits
    }

    async fn check(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn open(&self, run: &RunFacts) -> Result<Arc<dyn RunQueues>, BrokerError> {
        if run.lease < SHORTEST_LEASE {
            return Err(BrokerError::Setting {
                name: "lease".to_owned(),
                value: format!("{:?}", run.lease),
                reason: "a worker cannot renew it in time; use 1 ms or more, or leave it out"
                    .to_owned(),
            });
        }
        let opened = Arc::new(MemoryRun::new(run));
        lock(&self.runs).insert(run.run.clone(), Arc::downgrade(&opened));
        Ok(opened)
    }

    async fn leftovers(&self, _: &Which, _: SystemTime) -> Result<Vec<Leftover>, LeftoverError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &Leftover) -> Result<(), String> {
        Ok(())
    }
}

impl MemoryRun {
    fn new(run: &RunFacts) -> Self {
        let limits = QueueLimits::new(MESSAGE_BYTES, run.lease);
        // The worker's lease keeper is a thread of this process: where that thread was stopped together with the queue,
        // a lease must not end before it could renew.
        let make = |name: &str| -> Arc<dyn Queue> {
            Arc::new(MemoryQueue::new(name, limits).with_renewing_takers())
        };
        let tasks = run.classes.iter().map(|class| (*class, make("tasks")));
        Self {
            run: run.run.clone(),
            tasks: tasks.collect(),
            results: make("results"),
            control: make("control"),
        }
    }
}

#[async_trait]
impl RunQueues for MemoryRun {
    fn tasks(&self, class: ClassId) -> Option<Arc<dyn Queue>> {
        self.tasks.get(&class).cloned()
    }

    fn results(&self) -> Arc<dyn Queue> {
        self.results.clone()
    }

    fn control(&self) -> Arc<dyn Queue> {
        self.control.clone()
    }

    fn description(&self) -> Description {
        Description {
            tag: TAG.to_owned(),
            body: self.run.to_string(),
        }
    }

    fn outlive(&self) -> bool {
        false
    }

    async fn watch(&self, _: UnboundedSender<BrokerEvent>, stopped: CancellationToken) {
        stopped.cancelled().await;
    }

    async fn remove(&self) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl CohortQueues for MemoryRun {
    async fn prepare(&self, _: Cohort) -> Result<(), String> {
        Ok(())
    }

    async fn retire(&self, _: Cohort) -> Result<(), String> {
        Ok(())
    }
}

#[async_trait]
impl Opener for MemoryBroker {
    async fn open(&self, body: &str, worker_facts: &WorkerFacts) -> Result<WorkerQueues, String> {
        let run = RunId::new(body).map_err(|error| error.to_string())?;
        let opened = lock(&self.runs).get(&run).and_then(Weak::upgrade);
        let opened = opened.ok_or_else(|| format!("run {run} has no queues in this process"))?;
        let tasks = opened.tasks(worker_facts.class);
        Ok(WorkerQueues {
            tasks: tasks.ok_or_else(|| format!("run {run} has no class {}", worker_facts.class))?,
            results: opened.results(),
            control: opened.control(),
            outlive: false,
            advice: "the queues are in this process's memory".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
