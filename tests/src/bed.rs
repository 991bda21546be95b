//! What a suite runs on: how to build the pool, and what its back-end can do.

use std::sync::Arc;
use std::time::Duration;

use podpool::{Builder, Isolation, PodPoolExecutor};
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};

use crate::news::{self, News, Reporter};
use crate::run::within;
use crate::tap::Tap;
use crate::tasks;

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
        self.build_with(slots, None)
    }

    /// A pool with so many slots, and the news that its master hears.
    ///
    /// # Panics
    /// When it cannot be built.
    pub async fn pool_with_news(&self, slots: usize) -> (PodPoolExecutor, News) {
        let (reporter, news) = news::channel();
        (built(self.build_with(slots, Some(reporter))).await, news)
    }

    fn build_with(&self, slots: usize, reporter: Option<Reporter>) -> Builder {
        let builder = PodPoolExecutor::builder()
            .max_workers(slots)
            .isolation(self.isolation)
            .grace(GRACE)
            .output(Arc::new(|_| {}))
            .ignore_ctrl_c();
        let builder = match &self.faults {
            None => builder,
            Some(_) => builder.lease(SHORT_LEASE),
        };
        builder.decorate_queues(decorator(self.faults.clone(), reporter))
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

/// Lets the pool run one more task, as it must whatever happened to others.
///
/// # Panics
/// When it gives no result in time, or another one.
pub async fn goes_on(pool: &PodPoolExecutor) {
    let result = within("another task", pool.submit(tasks::echo(4))).await;
    assert_eq!(result.unwrap(), 4);
}

type Decorator = Arc<dyn Fn(&str, Arc<dyn Queue>) -> Arc<dyn Queue> + Send + Sync>;

/// Gives each queue faults of its own, so that one queue's luck does not follow from another's; whoever listens
/// does so on the master's side of them.
fn decorator(faults: Option<Faults>, reporter: Option<Reporter>) -> Decorator {
    Arc::new(move |name, queue| {
        let queue = match &faults {
            None => queue,
            Some(faults) => faulty(name, queue, faults.clone()),
        };
        match &reporter {
            None => queue,
            Some(reporter) => reporter.listen(name, queue),
        }
    })
}

fn faulty(name: &str, queue: Arc<dyn Queue>, mut faults: Faults) -> Arc<dyn Queue> {
    faults.seed = name
        .bytes()
        .fold(faults.seed, |seed, byte| seed * 31 + u64::from(byte));
    if name == "control" {
        // What is lost here is sent again after ten seconds at the earliest; a lost parcel is what redrive is for.
        faults.lose = 0.0;
    }
    Arc::new(Faulty::new(Tap::new(queue), faults))
}
