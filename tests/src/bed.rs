//! What a suite runs on: how to build the pool, and what its back-end can do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use podpool::{Builder, Isolation, PodPoolExecutor};
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};

/// A lease that is short enough for a test to outlive.
pub const SHORT_LEASE: Duration = Duration::from_millis(300);

/// From asking a task to stop to killing its slot, in every bed.
pub const GRACE: Duration = Duration::from_millis(200);

/// What a row may ask of a back-end. A bed that lacks it skips the row, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A slot is a process: a crash hits one task only, a blocking task can be killed.
    Processes,
    /// The queue delivers each message once and in order, and loses no call: what runs can be counted, and
    /// cancellation arrives at once.
    Order,
}

impl Need {
    /// The need in words, to follow "it needs".
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Processes => "slots that are processes",
            Self::Order => "a queue without faults",
        }
    }
}

/// How a pool is built for a suite, and what can be asked of it.
#[derive(Clone, Debug)]
pub struct Bed {
    name: String,
    isolation: Isolation,
    faults: Option<Faults>,
}

impl Bed {
    /// The default back-end: child processes, and queues without faults.
    #[must_use]
    pub fn process() -> Self {
        Self {
            name: "process".to_owned(),
            isolation: Isolation::Process,
            faults: None,
        }
    }

    /// Slots are threads of this process; queues without faults.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            name: "in-process".to_owned(),
            isolation: Isolation::InProcess,
            faults: None,
        }
    }

    /// The same slots, over queues that misbehave.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> Self {
        self.name = format!("{}, faulty queues with seed {}", self.name, faults.seed);
        self.faults = Some(faults);
        self
    }

    /// The bed's name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the back-end has what a row needs.
    #[must_use]
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Processes => self.isolation == Isolation::Process,
            Need::Order => self.faults.is_none(),
        }
    }

    /// So many tasks, or a fiftieth of them where each message may take its time.
    #[must_use]
    pub const fn many(&self, tasks: u64) -> u64 {
        match &self.faults {
            None => tasks,
            Some(_) => tasks.div_ceil(50),
        }
    }

    /// Slots enough for so many tasks to run side by side, even if some of them are delivered twice.
    #[must_use]
    pub const fn room_for(&self, tasks: usize) -> usize {
        match &self.faults {
            None => tasks,
            Some(_) => 3 * tasks,
        }
    }

    /// A pool's description with so many slots. What tasks print is dropped.
    pub fn builder(&self, slots: usize) -> Builder {
        let builder = PodPoolExecutor::builder()
            .max_workers(slots)
            .isolation(self.isolation)
            .grace(GRACE)
            .output(Arc::new(|_| {}))
            .ignore_ctrl_c();
        match &self.faults {
            None => builder,
            Some(faults) => builder
                .lease(SHORT_LEASE)
                .decorate_queues(decorator(faults.clone())),
        }
    }

    /// A pool with so many slots.
    ///
    /// # Panics
    /// When it cannot be built.
    pub async fn pool(&self, slots: usize) -> PodPoolExecutor {
        built(self.builder(slots)).await
    }
}

/// The pool that a builder describes.
///
/// # Panics
/// When it cannot be built.
pub async fn built(builder: Builder) -> PodPoolExecutor {
    match builder.build().await {
        Ok(pool) => pool,
        Err(error) => panic!("the pool was not built: {error:?}"),
    }
}

type Decorator = Arc<dyn Fn(&str, Arc<dyn Queue>) -> Arc<dyn Queue> + Send + Sync>;

/// Gives each queue faults of its own, so that one queue's luck does not follow from another's.
fn decorator(faults: Faults) -> Decorator {
    Arc::new(move |name, queue| {
        let mut faults = faults.clone();
        faults.seed = name
            .bytes()
            .fold(faults.seed, |seed, byte| seed * 31 + u64::from(byte));
        if name == "control" {
            // What is lost here is sent again after ten seconds at the earliest; a lost parcel is what redrive is for.
            faults.lose = 0.0;
        }
        Arc::new(Faulty::new(Shared(queue), faults))
    })
}

/// A queue behind a pointer, which `Faulty` takes for a queue of its own.
struct Shared(Arc<dyn Queue>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

mod shared {
    //! The queue's verbs, passed on.

    use std::time::Duration;

    use async_trait::async_trait;
    use bytes::Bytes;
    use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};

    use super::Shared;

    #[async_trait]
    impl Queue for Shared {
        async fn put(&self, batch: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
            self.0.put(batch).await
        }

        async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
            self.0.take(max, wait).await
        }

        async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.extend(leases).await
        }

        async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.ack(leases).await
        }

        async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.release(leases).await
        }

        fn limits(&self) -> QueueLimits {
            self.0.limits()
        }
    }
}
