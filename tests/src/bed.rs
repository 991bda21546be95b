//! The bed that a suite runs on: how to build the pool, and what the pool's back-end can do.

mod place;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, RunId};
use podpool_core::id::RunName;
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::queue::Queue;
use podpool_core::queue::faulty::{Faults, Faulty};

use crate::gate::Gate;
use crate::journal::Journal;
use crate::limits::within;
use crate::news::{self, News, Reporter};
#[cfg(feature = "kubernetes")]
use crate::pods::Pods;
#[cfg(feature = "pubsub")]
use crate::pubsub::{emulator, run::Topics};
use crate::tap::Tap;
use crate::tasks;

use place::Place;

/// A lease that is short enough for a test to outlive.
pub const SHORT_LEASE: Duration = Duration::from_millis(300);

/// The time from a request to stop until the kill of the slot, in every bed.
pub const GRACE: Duration = Duration::from_millis(200);

/// What a row may need of a back-end. A bed that lacks the need skips the row, and prints that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A slot is a process: a crash hits one task only, a blocking task can be killed.
    Processes,
    /// The queue delivers each message once and loses no call: what runs can be counted, and cancellation arrives
    /// at once.
    Faultless,
    /// The queue gives messages in the order in which it took them, and no more are out than slots can hold.
    Order,
    /// Workers start within [`Bed::soon`].
    QuickStart,
    /// The program is built without the feature `kubernetes`.
    NoCluster,
    /// The queue is this process's memory: it ends with its master.
    Memory,
    /// Tasks and the test see the same files.
    Files,
}

impl Need {
    /// The need as a text that follows "it needs".
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Processes => "slots that are processes",
            Self::Faultless => "a queue without faults",
            Self::Order => "a queue that keeps the order",
            Self::QuickStart => "workers that start soon",
            Self::NoCluster => "a program without the feature kubernetes",
            Self::Memory => "queues in memory",
            Self::Files => "tasks on the machine of the test",
        }
    }
}

/// How a pool is built for a suite, and what the pool's back-end can do.
#[derive(Clone, Debug)]
pub struct Bed {
    name: String,
    place: Place,
    faults: Option<Faults>,
    /// Whether each run is remembered, in a ledger of its own.
    remembered: bool,
    /// The runs of which something is left elsewhere until it is removed.
    runs: Arc<Mutex<Vec<RunId>>>,
}

impl Bed {
    fn new(place: Place) -> Self {
        Self {
            name: place.name().to_owned(),
            place,
            faults: None,
            remembered: false,
            runs: Arc::default(),
        }
    }

    /// The default back-end: child processes, and queues without faults.
    #[must_use]
    pub fn process() -> Self {
        Self::new(Place::Process)
    }

    /// Slots are threads of this process; queues without faults.
    #[must_use]
    pub fn in_process() -> Self {
        Self::new(Place::InProcess)
    }

    /// Worker processes of this test program, over a directory; the program has the test that
    /// [`WORKER_ARGUMENTS`](crate::directory::WORKER_ARGUMENTS) names.
    #[must_use]
    pub fn directory() -> Self {
        Self::new(Place::Directory)
    }

    /// Child processes, over topics of the emulator; `None` if there is none.
    #[cfg(feature = "pubsub")]
    #[must_use]
    pub fn pubsub() -> Option<Self> {
        emulator::is_there().then(|| Self::new(Place::PubSub))
    }

    /// Pods of an image with this program, over the emulator; `None` if there is no cluster.
    #[cfg(feature = "kubernetes")]
    #[must_use]
    pub fn pods(program: &str) -> Option<Self> {
        Some(Self::new(Place::Pods(Pods::find(program)?)))
    }

    /// The same, with each run remembered in a ledger of its own.
    #[must_use]
    pub fn with_ledger(mut self) -> Self {
        self.name = format!("{}, with a ledger", self.name);
        self.remembered = true;
        self
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
            Need::Processes => !matches!(self.place, Place::InProcess),
            Need::Faultless => self.faults.is_none(),
            Need::Order => self.faults.is_none() && self.place.is_in_memory(),
            Need::QuickStart => self.place.host().is_none(),
            Need::NoCluster => !cfg!(feature = "kubernetes"),
            Need::Memory => self.place.is_in_memory(),
            Need::Files => self.place.host().is_none(),
        }
    }

    /// The factor by which every step may take longer here than in memory.
    #[must_use]
    pub const fn patience(&self) -> u32 {
        self.place.patience()
    }

    /// Longer than a task takes to begin where a slot is ready for it.
    #[must_use]
    pub const fn soon(&self) -> Duration {
        if self.place.is_in_memory() {
            Duration::from_millis(700)
        } else {
            Duration::from_secs(5)
        }
    }

    /// A time for tasks that are stopped: longer than one takes to reach a gate.
    #[must_use]
    pub const fn short(&self) -> Duration {
        if self.place.is_in_memory() {
            Duration::from_millis(150)
        } else {
            Duration::from_secs(1)
        }
    }

    /// Whether a worker may have this name in tasks and reports.
    #[must_use]
    pub fn is_worker(&self, name: &str) -> bool {
        match self.place {
            Place::Directory => name.starts_with("worker-"),
            #[cfg(feature = "kubernetes")]
            Place::Pods(_) => name.starts_with("pp-"),
            _ => name == "local",
        }
    }

    /// A closed gate that this bed's tasks reach.
    ///
    /// # Panics
    /// When the gate cannot be made.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.place.host().map_or_else(Gate::new, Gate::at)
    }

    /// An empty journal that this bed's tasks reach.
    ///
    /// # Panics
    /// When the journal cannot be made.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.place.host().map_or_else(Journal::new, Journal::at)
    }

    /// So many tasks, or a fiftieth of that number where faults delay and repeat messages.
    #[must_use]
    pub const fn many(&self, tasks: u64) -> u64 {
        match &self.faults {
            None => tasks,
            Some(_) => tasks.div_ceil(50),
        }
    }

    /// So many bytes, or a fiftieth of that number where each message may be sent many times.
    #[must_use]
    pub const fn bytes(&self, bytes: u64) -> u64 {
        match &self.faults {
            None => bytes,
            Some(_) => bytes.div_ceil(50),
        }
    }

    /// Slots enough for so many tasks to run side by side, even if some of the tasks are delivered twice.
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

    /// A pool with so many slots, and the news of its master.
    ///
    /// # Panics
    /// When the pool cannot be built.
    pub async fn pool_with_news(&self, slots: usize) -> (PodPoolExecutor, News) {
        let (reporter, news) = news::channel();
        (built(self.build_with(slots, Some(reporter))).await, news)
    }

    fn build_with(&self, slots: usize, reporter: Option<Reporter>) -> Builder {
        let run = self.run_called("suite");
        let builder = self.place.builder(slots).exact_run_id(run.clone());
        let builder = builder.grace(GRACE);
        let builder = match self.has(Need::Processes) {
            true => builder.output(|_| {}),
            // Threads print on the streams of this process.
            false => builder,
        };
        let builder = match self.remembered {
            true => builder
                .run("suite")
                .remembered_in(Arc::new(MemoryLedger::new())),
            false => builder,
        };
        let builder = match &self.faults {
            None => builder,
            Some(_) => builder.lease(SHORT_LEASE),
        };
        let decorate = decorator(self.faults.clone(), reporter);
        #[cfg(feature = "pubsub")]
        if matches!(self.place, Place::PubSub) {
            let topics = Topics::make(&run);
            return builder
                .decorate_queues(Arc::new(move |name, _| decorate(name, topics.queue(name))));
        }
        builder.decorate_queues(decorate)
    }

    /// A run's id that no other run has, with this word in front. What the run leaves elsewhere is removed by
    /// [`clear`](Self::clear).
    ///
    /// # Panics
    /// When the word is no valid name of a run.
    #[must_use]
    pub fn run_called(&self, word: &str) -> RunId {
        let run = RunId::of(&RunName::new(word).unwrap());
        if !self.place.is_in_memory() {
            self.runs().push(run.clone());
        }
        run
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, Vec<RunId>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what the suite made for the runs of a row, and checks that nothing is left of these runs.
    ///
    /// # Errors
    /// The names of what is left.
    pub async fn clear(&self) -> Result<(), String> {
        let runs = std::mem::take(&mut *self.runs());
        for run in runs {
            self.place.clear(&run).await?;
        }
        Ok(())
    }

    /// A pool with so many slots.
    ///
    /// # Panics
    /// When the pool cannot be built.
    pub async fn pool(&self, slots: usize) -> PodPoolExecutor {
        built(self.builder(slots)).await
    }
}

/// The pool that a builder describes.
///
/// # Panics
/// When the pool cannot be built.
pub async fn built(builder: Builder) -> PodPoolExecutor {
    match builder.build().await {
        Ok(pool) => pool,
        Err(error) => panic!("the pool was not built: {error:?}"),
    }
}

/// Runs one more task in the pool. A pool must run new tasks whatever happened to earlier ones.
///
/// # Panics
/// When the task has no result in time, or a wrong one.
pub async fn goes_on(pool: &PodPoolExecutor) {
    let result = within("another task", pool.submit(tasks::echo(4))).await;
    assert_eq!(result.unwrap(), 4);
}

type Decorator = Arc<dyn Fn(&str, Arc<dyn Queue>) -> Arc<dyn Queue> + Send + Sync>;

/// Gives each queue faults of its own, so that the faults of one queue do not follow from those of another. The
/// reporter stands on the master's side of the faults: a message that the faults drop is no news.
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
        // A lost control message is sent again after 10 s at the earliest, half of a step's limit. Lost batches and
        // results are covered by republishing, after three leases of 300 ms.
        faults.lose = 0.0;
    }
    Arc::new(Faulty::new(Tap::new(queue), faults))
}
