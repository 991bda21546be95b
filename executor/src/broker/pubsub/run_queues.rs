//! The queues of one run in Pub/Sub, as its master has them. On an administrator's names another run may be active: its
//! messages are looked for before anything is published.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::{
    BrokerError, BrokerEvent, ClassId, Cohort, CohortQueues, Description, RunFacts, RunQueues,
};
use podpool_core::queue::Queue;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::admin::{Made, RESULTS_LEASE};
use super::connect::failed;
use super::control_queues::ControlQueues;
use super::guard::Guard;
use super::names::{QueueNames, RunNames};
use super::opener::describe;
use super::sweep::{look, sweep};
use super::{Admin, Connection, Owner, Ownership, PubSubQueue, RunLabels, Signs};
use crate::broker::silent::SilentQueue;
use crate::lock::lock;

/// How long the removal of what was made may take where the rest could not be made.
const UNMAKE: Duration = Duration::from_secs(10);

/// The own ack deadlines of the subscriptions of tasks and results, and whether they were made now.
#[derive(Clone, Copy)]
struct AckDeadlines {
    tasks: Duration,
    results: Duration,
    fresh: bool,
}

/// A run's queues.
#[derive(Debug)]
pub(super) struct PubSubRun {
    cohorts: Arc<ControlQueues>,
    queues: Queues,
    /// The tasks' queue, where it outlives the run.
    given: Option<PubSubQueue>,
    description: Description,
    signs: Signs,
    lease: Duration,
    fresh: bool,
    /// The run as its messages name it, and other runs whose messages were read. Taken by the watch.
    met: Mutex<Option<(Owner, UnboundedReceiver<Owner>)>>,
    /// The queues were watched to the end, and no message of another run was read.
    // False at first and written once, at the end of the watch: a watch that fails leaves it false, which removes less.
    alone: AtomicBool,
}

#[derive(Debug)]
struct Queues {
    tasks: Arc<dyn Queue>,
    results: Arc<dyn Queue>,
    control: Arc<dyn Queue>,
}

impl PubSubRun {
    /// Makes a run's topics and subscriptions, or checks given ones, and opens them.
    pub(super) async fn open(
        (connection, admin): (Connection, Admin),
        names: RunNames,
        emulator: Option<String>,
        run: &RunFacts,
    ) -> Result<Self, BrokerError> {
        let labels = labels(run);
        // A later master of the run also owns what the first one made, which has an older time of creation on its
        // labels.
        let made = Made {
            run: run.run.clone(),
            created: (run.epoch == 1).then_some(run.created),
        };
        let deadlines = prepare(&admin, &names, &labels, &made, run.lease).await?;
        let signs = Signs::default();
        let way = Way {
            connection,
            names: names.clone(),
            lease: run.lease,
            deadlines,
            signs: signs.clone(),
            own: Owner::new(run.run.clone(), labels.created),
        };
        let cohorts = ControlQueues::new(admin, names, labels, made, run.lease, signs);
        match way.join(emulator).await {
            Ok(joined) => Ok(joined.into_run(Arc::new(cohorts), way)),
            Err(error) => {
                // An object that cannot be deleted has a deadline as a label. As in `prepare`.
                if run.epoch == 1 {
                    cohorts.delete_run().await;
                }
                Err(error)
            }
        }
    }
}

/// Makes the run's topics and subscriptions, or checks that given ones can be used.
async fn prepare(
    admin: &Admin,
    names: &RunNames,
    labels: &RunLabels,
    made: &Made,
    lease: Duration,
) -> Result<AckDeadlines, BrokerError> {
    if !names.are_own() {
        let fitness = admin.check(names).await;
        let fitness = fitness.map_err(failed("use the given topics and subscriptions"))?;
        return Ok(AckDeadlines {
            tasks: fitness.tasks_ack_deadline,
            results: fitness.results_ack_deadline,
            // What is in a given subscription is not known.
            fresh: false,
        });
    }
    let making = admin.make(names, labels, lease).await;
    let [tasks, _] = names.pairs();
    let tasks = format!("/subscriptions/{}", tasks.subscription);
    // A topic that vanished took its messages along, and its subscription is made again with it.
    let fresh = making.made.iter().any(|path| path.ends_with(&tasks));
    if let Some(error) = making.failed {
        // A service that does not answer any more must not delay the error; an object that stays has a deadline.
        // One of a run that is picked up holds what its earlier masters left.
        if made.created.is_some() {
            let deleting = admin.delete_made(names, made);
            timeout(UNMAKE, deleting).await.ok();
        }
        let what = format!("make the topics of run {}", labels.run);
        return Err(failed(what)(error));
    }
    Ok(AckDeadlines {
        tasks: lease,
        results: lease.min(RESULTS_LEASE),
        fresh,
    })
}

fn labels(run: &RunFacts) -> RunLabels {
    RunLabels {
        run: run.run.clone(),
        name: run.name.clone(),
        created: run.created,
        deadline: run.deadline,
    }
}

/// The way to the queues of a run.
struct Way {
    connection: Connection,
    names: RunNames,
    lease: Duration,
    deadlines: AckDeadlines,
    signs: Signs,
    own: Owner,
}

/// The opened queues of a run.
struct Joined {
    queues: Queues,
    given: Option<PubSubQueue>,
    description: Description,
    met: UnboundedReceiver<Owner>,
}

impl Way {
    /// Opens the queues, where no older run uses the given names.
    async fn join(&self, emulator: Option<String>) -> Result<Joined, BrokerError> {
        let (tell, met) = mpsc::unbounded_channel();
        let ownership = Some(Ownership::new(self.own.clone(), tell));
        let ownership = ownership.filter(|_| !self.names.are_own());
        let side = |queue: PubSubQueue| match &ownership {
            Some(ownership) => queue.owned(ownership.clone()),
            None => queue.repaired(self.signs.clone()),
        };
        let mut given = None;
        if let Some(ownership) = &ownership {
            let lease = (self.lease, Some(self.deadlines.tasks));
            let tasks = side(self.queue(&self.names.tasks(), lease)?);
            let results = side(self.results()?);
            // Both, because each queue alone may be empty. Of two runs that begin in the same moment both may find
            // nothing here; the watch then finds the other's messages.
            tokio::join!(look(&tasks), look(&results));
            if let Some(older) = ownership.older() {
                let by = older.run().clone();
                return Err(BrokerError::NamesInUse { by });
            }
            given = Some(tasks);
        }
        let owner = ownership.as_ref().map(|_| self.own.clone());
        let (project, tasks) = (self.connection.project(), self.deadlines.tasks);
        Ok(Joined {
            queues: self.queues(side)?,
            given,
            description: describe(project, emulator, &self.names, owner, tasks)?,
            met,
        })
    }

    fn queues(&self, side: impl Fn(PubSubQueue) -> PubSubQueue) -> Result<Queues, BrokerError> {
        let open = |names| -> Result<Arc<dyn Queue>, BrokerError> {
            Ok(Arc::new(side(self.queue(&names, (self.lease, None))?)))
        };
        Ok(Queues {
            control: match self.names.control() {
                Some(names) => open(names)?,
                None => Arc::new(SilentQueue::new(self.lease)),
            },
            tasks: open(self.names.tasks())?,
            results: Arc::new(side(self.results()?)),
        })
    }

    /// The queue of results uses the ack deadline of its subscription as its lease: the lease that users choose is for
    /// their tasks.
    fn results(&self) -> Result<PubSubQueue, BrokerError> {
        let lease = self.deadlines.results;
        self.queue(&self.names.results(), (lease, Some(lease)))
    }

    fn queue(
        &self,
        names: &QueueNames,
        (lease, deadline): (Duration, Option<Duration>),
    ) -> Result<PubSubQueue, BrokerError> {
        let queue = PubSubQueue::new(&self.connection, names, lease, deadline);
        queue.map_err(|error| BrokerError::Setting {
            name: "lease".to_owned(),
            value: format!("{lease:?}"),
            reason: error.to_string(),
        })
    }
}

impl Joined {
    fn into_run(self, cohorts: Arc<ControlQueues>, way: Way) -> PubSubRun {
        PubSubRun {
            cohorts,
            queues: self.queues,
            given: self.given,
            description: self.description,
            signs: way.signs,
            lease: way.lease,
            fresh: way.deadlines.fresh,
            met: Mutex::new(Some((way.own, self.met))),
            alone: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl RunQueues for PubSubRun {
    fn tasks(&self, class: ClassId) -> Option<Arc<dyn Queue>> {
        (class == ClassId::DEFAULT).then(|| self.queues.tasks.clone())
    }

    fn results(&self) -> Arc<dyn Queue> {
        self.queues.results.clone()
    }

    fn control(&self) -> Arc<dyn Queue> {
        self.queues.control.clone()
    }

    fn description(&self) -> Description {
        self.description.clone()
    }

    fn outlive(&self) -> bool {
        self.given.is_some()
    }

    fn are_fresh(&self) -> bool {
        self.fresh
    }

    async fn watch(&self, events: UnboundedSender<BrokerEvent>, stopped: CancellationToken) {
        // A second call has no receiver any more, and only waits: the trait states that there is one call.
        let Some(met) = lock(&self.met).take() else {
            return stopped.cancelled().await;
        };
        let (cohorts, signs) = (self.cohorts.clone(), self.signs.clone());
        let guard = Guard::new(cohorts, signs, self.lease, met, events);
        let met_others = guard.watch(stopped).await;
        self.alone.store(!met_others, Ordering::Relaxed);
    }

    async fn remove(&self) -> Vec<String> {
        // Beside another run no message is pulled: the other run's messages would be leased meanwhile. A guard that did
        // not end in order may have read a message of another run.
        if let Some(given) = &self.given
            && self.alone.load(Ordering::Relaxed)
        {
            sweep(given).await;
        }
        self.cohorts.delete_run().await
    }
}

#[async_trait]
impl CohortQueues for PubSubRun {
    async fn prepare(&self, cohort: Cohort) -> Result<(), String> {
        self.cohorts.prepare(cohort).await
    }

    async fn retire(&self, cohort: Cohort) -> Result<(), String> {
        self.cohorts.retire(cohort).await
    }
}
