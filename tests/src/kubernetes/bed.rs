//! A fleet under test: its orders, its events, its queues, and the proof that nothing is left of it.

#![expect(
    clippy::print_stdout,
    reason = "how long things took is worth knowing when a test fails"
)]

use std::collections::BTreeSet;
use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::ListParams;
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::fleet::{self, Fleet};
use podpool::kubernetes::job::{CONTAINER, RUN_LABEL, RunSecret};
use podpool::kubernetes::spec::{PullPolicy, WorkerSpec};
use podpool_core::broker::{ClassId, Cohort, CohortQueues};
use podpool_core::fleet::{Departure, FleetEvent, FleetOrder};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::sight::Sight;
use super::{BOUND, IMAGE};

/// Between two looks at the Jobs of the run.
const LOOK: Duration = Duration::from_millis(50);

/// The calls for the queues of each cohort.
#[derive(Debug, Default)]
pub struct Asked {
    /// Cohorts and sizes, in order.
    pub prepared: Mutex<Vec<(u32, u32)>>,
    /// Cohorts and sizes whose queues were removed, in order.
    pub retired: Mutex<Vec<(u32, u32)>>,
}

#[async_trait]
impl CohortQueues for Asked {
    async fn prepare(&self, cohort: Cohort) -> Result<(), String> {
        self.prepared
            .lock()
            .unwrap()
            .push((cohort.number, cohort.size));
        Ok(())
    }

    async fn retire(&self, cohort: Cohort) -> Result<(), String> {
        self.retired
            .lock()
            .unwrap()
            .push((cohort.number, cohort.size));
        Ok(())
    }
}

/// A fleet that runs.
#[derive(Debug)]
pub struct Bed {
    /// Its cluster, with the rights of the tests.
    pub cluster: Cluster,
    /// Its run.
    pub run: RunId,
    /// Its queues.
    pub asked: Arc<Asked>,
    /// Its pods, as the cluster shows them.
    pub sight: Sight,
    task: JoinHandle<()>,
    orders: mpsc::UnboundedSender<FleetOrder>,
    events: mpsc::UnboundedReceiver<FleetEvent>,
}

/// Small workers whose program carries out this order.
pub fn spec(order: &str) -> WorkerSpec {
    WorkerSpec {
        pull_policy: Some(PullPolicy::Never),
        cpu: Some(50),
        memory: Some(64 << 20),
        env: vec![("FLEET_POD".to_owned(), order.to_owned())],
        grace: Some(Duration::from_secs(10)),
        start_timeout: Some(Duration::from_secs(4)),
        schedule_timeout: Some(Duration::from_secs(30)),
        ..WorkerSpec::of_image(IMAGE)
    }
}

/// The same, with this termination message.
pub fn spec_with_words(order: &str, words: &str) -> WorkerSpec {
    let mut spec = spec(order);
    spec.env
        .push(("FLEET_POD_WORDS".to_owned(), words.to_owned()));
    spec
}

impl Bed {
    /// A fleet with all rights in the namespace of the context.
    pub async fn start(spec: WorkerSpec, max_workers: u32) -> Self {
        let cluster = Cluster::connect(spec.namespace.as_deref()).await.unwrap();
        Self::start_as(cluster.clone(), cluster, spec, max_workers)
    }

    /// The same, where no worker's greeting is ever received.
    pub async fn start_unheard(spec: WorkerSpec, max_workers: u32) -> Self {
        let cluster = Cluster::connect(spec.namespace.as_deref()).await.unwrap();
        let run = RunId::random();
        Self::of_run(cluster.clone(), cluster, spec, max_workers, run, b"key")
    }

    /// A fleet with the rights of `master`.
    pub fn start_as(master: Cluster, cluster: Cluster, spec: WorkerSpec, max_workers: u32) -> Self {
        let run = RunId::random();
        Self::start_run(master, cluster, spec, max_workers, run, b"key")
    }

    /// A fleet of this run, with this key, to which each running worker counts as having greeted.
    pub fn start_run(
        master: Cluster,
        cluster: Cluster,
        spec: WorkerSpec,
        max_workers: u32,
        run: RunId,
        key: &[u8],
    ) -> Self {
        let bed = Self::of_run(master, cluster, spec, max_workers, run, key);
        let sight = Sight::new(&bed.cluster, &bed.run);
        tokio::spawn(greet(sight, bed.orders.downgrade()));
        bed
    }

    fn of_run(
        master: Cluster,
        cluster: Cluster,
        spec: WorkerSpec,
        max_workers: u32,
        run: RunId,
        key: &[u8],
    ) -> Self {
        spec.check().unwrap();
        let asked = Arc::new(Asked::default());
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let (events_tx, events) = mpsc::unbounded_channel();
        let fleet = Fleet {
            run: run.clone(),
            spec,
            max_workers,
            secret: RunSecret {
                descriptor: b"descriptor".to_vec(),
                key: key.to_vec(),
            },
            cluster: master,
            cohorts: asked.clone(),
            replaces: false,
        };
        let task = tokio::spawn(fleet::run(fleet, orders_rx, events_tx));
        Self {
            sight: Sight::new(&cluster, &run),
            cluster,
            run,
            asked,
            task,
            orders,
            events,
        }
    }

    /// Sends the number of tasks that have not ended.
    pub fn needed(&self, unfinished: usize) {
        let order = FleetOrder::Needed {
            class: ClassId::DEFAULT,
            unfinished,
            closing: false,
        };
        self.orders.send(order).unwrap();
    }

    /// The next event.
    pub async fn event(&mut self) -> FleetEvent {
        // The supply changes with every pod, and each has a place. Statistics show the one, the ledger the other and
        // cohorts, and no test of the fleet.
        let next = async {
            loop {
                match self.events.recv().await {
                    Some(
                        FleetEvent::Supply { .. }
                        | FleetEvent::Cohort { .. }
                        | FleetEvent::Placed { .. },
                    ) => {}
                    event => return event,
                }
            }
        };
        let event = timeout(BOUND, next).await;
        event
            .expect("the fleet sends no event")
            .expect("the fleet is gone")
    }

    /// The next event, which must be the end of a worker.
    pub async fn gone(&mut self) -> Departure {
        match self.event().await {
            FleetEvent::Gone(departure) => departure,
            other => panic!("a worker should be gone, not {other:?}"),
        }
    }

    /// The reason why the fleet gave up; ends of workers before it are ignored.
    pub async fn broken(&mut self) -> String {
        let began = Instant::now();
        loop {
            match self.event().await {
                FleetEvent::Broken(reason) => {
                    println!("broken after {:?}: {reason}", began.elapsed());
                    return reason;
                }
                FleetEvent::Gone(_) => {}
                other => panic!("the fleet should be broken, not {other:?}"),
            }
        }
    }

    /// Ends the fleet and checks that nothing is left.
    pub async fn end(self) {
        self.finish(FleetOrder::End).await;
    }

    /// Stops it at once, and checks the same.
    pub async fn stop(self) {
        self.finish(FleetOrder::Stop).await;
    }

    /// Kills the master, so that nothing is removed, and starts another one with the same run and key.
    pub async fn succeed(self, spec: WorkerSpec, max_workers: u32) -> Self {
        self.task.abort();
        // Awaited, so that no request of the old master is under way when the new one begins.
        assert!(self.task.await.unwrap_err().is_cancelled());
        let cluster = self.cluster;
        Self::start_run(
            cluster.clone(),
            cluster,
            spec,
            max_workers,
            self.run,
            b"key",
        )
    }

    /// Leaves the run to its workers, and starts another master with the same run and key, and these rights.
    pub async fn leave_to(mut self, master: Cluster, spec: WorkerSpec, max_workers: u32) -> Self {
        self.ended(FleetOrder::Detach).await;
        self.task.await.unwrap();
        Self::start_run(master, self.cluster, spec, max_workers, self.run, b"key")
    }

    /// Kills the master, so that nothing is removed.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Stops it where something must stay; returns the leftovers.
    pub async fn stop_with_leftovers(&mut self) -> Vec<String> {
        self.orders.send(FleetOrder::Stop).unwrap();
        self.leftovers().await
    }

    /// Closes the channel of orders, and checks that nothing is left all the same.
    pub async fn abandon(mut self) {
        self.orders = mpsc::unbounded_channel().0;
        self.await_end().await;
        self.nothing_is_left().await;
    }

    /// Stops it where the remaining objects belong to another master.
    pub async fn end_beside_another(mut self) {
        self.ended(FleetOrder::Stop).await;
    }

    async fn finish(mut self, order: FleetOrder) {
        self.ended(order).await;
        self.nothing_is_left().await;
        let sorted = |list: &Mutex<Vec<(u32, u32)>>| {
            let mut list = list.lock().unwrap().clone();
            list.sort_unstable();
            list
        };
        // The cohorts of an earlier master are retired too, and were not prepared here.
        let retired = sorted(&self.asked.retired);
        for cohort in sorted(&self.asked.prepared) {
            assert!(
                retired.contains(&cohort),
                "the queues of {cohort:?} are left"
            );
        }
    }

    async fn ended(&mut self, order: FleetOrder) {
        self.orders.send(order).unwrap();
        self.await_end().await;
    }

    async fn await_end(&mut self) {
        assert_eq!(self.leftovers().await, Vec::<String>::new());
    }

    async fn leftovers(&mut self) -> Vec<String> {
        let began = Instant::now();
        loop {
            match self.event().await {
                FleetEvent::Ended { leftovers } => {
                    println!("ended after {:?}", began.elapsed());
                    return leftovers;
                }
                FleetEvent::Gone(_) => {}
                other => panic!("the fleet should end, not {other:?}"),
            }
        }
    }

    async fn nothing_is_left(&self) {
        let of_run = ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run));
        let mut left: Vec<String> = Vec::new();
        left.extend(names(
            "job",
            &self.cluster.jobs().list(&of_run).await.unwrap().items,
        ));
        left.extend(names(
            "pod",
            &self.cluster.pods().list(&of_run).await.unwrap().items,
        ));
        left.extend(names(
            "secret",
            &self.cluster.secrets().list(&of_run).await.unwrap().items,
        ));
        assert_eq!(left, Vec::<String>::new());
    }

    /// The Jobs of the run.
    pub async fn jobs(&self) -> Vec<Job> {
        let of_run = ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run));
        self.cluster.jobs().list(&of_run).await.unwrap().items
    }

    /// Waits until every Job of the run has this owner alone.
    pub async fn owned_by(&self, owner: &OwnerReference) {
        let look = async {
            loop {
                let jobs = self.jobs().await;
                let is_owner = |job: &Job| job.owner_references() == slice::from_ref(owner);
                if !jobs.is_empty() && jobs.iter().all(is_owner) {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        timeout(BOUND, look).await.expect("the owner stays");
    }

    /// Waits until so many workers run, and returns their pods.
    pub async fn running(&mut self, workers: usize) -> Vec<Pod> {
        self.sight
            .until(|pods| pods.iter().filter(|pod| runs(pod)).count() >= workers)
            .await
            .into_iter()
            .filter(runs)
            .collect()
    }

    /// Waits until the worker's own container runs in one pod, whatever runs beside it, and returns that pod.
    pub async fn worker_running(&mut self) -> Pod {
        let runs = |pod: &&Pod| {
            let status = pod.status.as_ref();
            let mut all = status
                .iter()
                .flat_map(|it| it.container_statuses.iter().flatten());
            all.any(|one| {
                let state = one.state.as_ref();
                one.name == CONTAINER && state.is_some_and(|state| state.running.is_some())
            })
        };
        let pods = self
            .sight
            .until(|pods| pods.iter().any(|pod| runs(&pod)))
            .await;
        pods.iter().find(runs).cloned().expect("one runs")
    }
}

/// Sends `Heard` for each running pod, as dispatch does after a greeting, while the fleet takes orders.
// A weak sender, so that this task does not keep the channel of orders open: `abandon` tests the closed channel.
async fn greet(mut sight: Sight, orders: mpsc::WeakUnboundedSender<FleetOrder>) {
    let mut heard: BTreeSet<String> = BTreeSet::new();
    loop {
        let is_new = |pod: &Pod| runs(pod) && !heard.contains(&pod.name_any());
        let pods = sight.until_ever(|pods| pods.iter().any(is_new)).await;
        let Some(orders) = orders.upgrade() else {
            return;
        };
        let fresh: Vec<_> = pods.iter().filter(|pod| is_new(pod)).collect();
        let fresh: Vec<_> = fresh.into_iter().map(ResourceExt::name_any).collect();
        for name in fresh {
            // A fleet that has ended takes no orders.
            orders.send(FleetOrder::Present(name.as_str().into())).ok();
            heard.insert(name);
        }
    }
}

/// Whether a pod's worker runs, and is not being deleted.
pub fn runs(pod: &Pod) -> bool {
    let running = pod.status.as_ref().is_some_and(|status| {
        let mut all = status.container_statuses.iter().flatten();
        all.any(|one| {
            one.state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        })
    });
    running && pod.metadata.deletion_timestamp.is_none()
}

fn names<K: kube::Resource>(kind: &str, objects: &[K]) -> Vec<String> {
    objects
        .iter()
        .map(|object| format!("{kind}/{}", object.name_any()))
        .collect()
}
