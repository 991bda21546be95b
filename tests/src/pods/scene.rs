//! A pool whose pods are watched: the life of each pod by the test's clock, and functions that delete or evict pods.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, ListParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::fleet::{Garbage, gc};
use podpool::kubernetes::job::RUN_LABEL;
use podpool::pubsub::{Admin, Connection, Which};
use podpool::{Builder, PodPoolExecutor, RunId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

/// The longest wait for one event; on a sound cluster no event takes so long, even on a busy machine.
pub const BOUND: Duration = Duration::from_secs(120);

/// A pool, and what the test's own watch has recorded of its pods.
pub struct Scene {
    /// The pool.
    pub pool: PodPoolExecutor,
    run: RunId,
    cluster: Cluster,
    lives: Arc<Mutex<Lives>>,
    news: watch::Receiver<()>,
    watching: JoinHandle<()>,
    began: Instant,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("run", &self.run).finish()
    }
}

/// Pods by name.
pub type Lives = BTreeMap<String, Life>;

/// The life of a pod, as the test's watch has seen it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Its node.
    pub node: String,
    /// When it began to run.
    pub running: Option<Instant>,
    /// When the pod's loss or departure was seen: deleted, ended, or on a node that fell silent.
    pub over: Option<Instant>,
    /// Its exit code.
    pub exit: Option<i32>,
    /// The reason of its end.
    pub reason: Option<String>,
    /// When the pod was removed from the cluster.
    pub removed: Option<Instant>,
}

impl Life {
    /// Whether the pod runs and is not being deleted.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.running.is_some() && self.over.is_none()
    }

    fn see(&mut self, pod: &Pod) {
        let now = Instant::now();
        if let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) {
            self.node = node;
        }
        let status = pod.status.as_ref();
        let containers = status.and_then(|status| status.container_statuses.as_ref());
        let state = containers.and_then(|all| all.first()?.state.as_ref());
        if state.is_some_and(|state| state.running.is_some()) {
            self.running.get_or_insert(now);
        }
        if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
            self.exit = Some(ended.exit_code);
            self.reason.clone_from(&ended.reason);
        }
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let is = |kind: &str, value: &str| {
            let mut all = conditions.into_iter().flatten();
            all.any(|one| one.type_ == kind && one.status == value)
        };
        // The node controller sets `Ready` of a pod on a silent node to false, while the containers' condition stays as
        // the node's kubelet has last reported it.
        let silent = is("Ready", "False") && is("ContainersReady", "True");
        if self.exit.is_some() || pod.metadata.deletion_timestamp.is_some() || silent {
            self.over.get_or_insert(now);
        }
    }
}

impl Scene {
    /// Builds the pool, and watches its pods from before the first one.
    ///
    /// # Panics
    /// If the pool cannot be built.
    pub async fn open(builder: Builder) -> Self {
        let began = Instant::now();
        let pool = timeout(BOUND, builder.build()).await;
        let pool = pool.expect("build() hangs").unwrap();
        let cluster = Cluster::connect(None).await.unwrap();
        let run = pool.run_id().clone();
        let lives = Arc::new(Mutex::new(Lives::new()));
        let (tell, news) = watch::channel(());
        Self {
            watching: tokio::spawn(follow(cluster.clone(), run.clone(), lives.clone(), tell)),
            pool,
            run,
            cluster,
            lives,
            news,
            began,
        }
    }

    /// What is recorded of the pods so far.
    #[must_use]
    pub fn lives(&self) -> Lives {
        self.lives.lock().unwrap().clone()
    }

    /// Names of the pods that are well.
    #[must_use]
    pub fn well(&self) -> Vec<String> {
        let lives = self.lives();
        let well = lives.into_iter().filter(|(_, life)| life.is_well());
        well.map(|(name, _)| name).collect()
    }

    /// Waits until `wanted` holds for the pods.
    ///
    /// # Panics
    /// If `wanted` does not hold within [`BOUND`].
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Lives) -> bool) -> Lives {
        let end = tokio::time::Instant::now() + BOUND;
        loop {
            // Before the look: a change after it is then still unseen, and `changed` returns at once.
            self.news.mark_unchanged();
            let lives = self.lives();
            if wanted(&lives) {
                return lives;
            }
            match timeout_at(end, self.news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => panic!("the watch ended; {what} was waited for"),
                Err(_) => panic!("waited {BOUND:?} in vain for {what}: {lives:#?}"),
            }
        }
    }

    /// Waits until so many pods are well.
    pub async fn until_well(&mut self, count: usize) -> Lives {
        let well = |lives: &Lives| lives.values().filter(|life| life.is_well()).count() >= count;
        self.until(&format!("{count} running pods"), well).await
    }

    /// Deletes a pod, with this grace in seconds where it is not the pod's own. A pod that is gone already is no error.
    ///
    /// # Panics
    /// If the cluster refuses.
    pub async fn delete(&self, pod: &str, grace: Option<u32>) {
        let params = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        let deleted = timeout(BOUND, self.cluster.pods().delete(pod, &params)).await;
        match deleted.expect("the cluster does not answer") {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(other.unwrap()),
        }
    }

    /// Deletes every pod of the run, at once and without any grace.
    ///
    /// # Panics
    /// If the cluster refuses.
    pub async fn delete_all(&self) {
        let params = DeleteParams::default().grace_period(0);
        let pods = self.cluster.pods();
        let deleted = timeout(BOUND, pods.delete_collection(&params, &self.of_run())).await;
        drop(deleted.expect("the cluster does not answer").unwrap());
    }

    /// Evicts a pod, as a node that is being emptied does.
    ///
    /// # Panics
    /// If the cluster refuses.
    pub async fn evict(&self, pod: &str) {
        let pods = self.cluster.pods();
        let evicted = timeout(BOUND, pods.evict(pod, &EvictParams::default())).await;
        drop(evicted.expect("the cluster does not answer").unwrap());
    }

    /// How long each loss of a pod waited until another pod ran, oldest first: the first loss for the first pod that
    /// ran after the first `workers`, and so on. Surplus pods are left out.
    #[must_use]
    pub fn replacements(&self, workers: usize) -> Vec<Duration> {
        let lives = self.lives();
        // A surplus pod is drained and exits with 0; it was no loss, and replaced none.
        let counted = || lives.values().filter(|life| life.exit != Some(0));
        let mut losses: Vec<_> = counted()
            .filter(|life| life.running.is_some())
            .filter_map(|life| life.over)
            .collect();
        let mut starts: Vec<_> = counted().filter_map(|life| life.running).collect();
        losses.sort_unstable();
        starts.sort_unstable();
        let pairs = losses.iter().zip(starts.iter().skip(workers));
        pairs
            .map(|(loss, start)| start.saturating_duration_since(*loss))
            .collect()
    }

    /// Prints what happened to each pod, for people.
    #[expect(clippy::print_stdout, reason = "it is what a failed test is read by")]
    pub fn print(&self) {
        let since = |at: Option<Instant>| {
            at.map_or_else(String::new, |at| {
                format!("{:.1}", at.duration_since(self.began).as_secs_f32())
            })
        };
        for (name, life) in self.lives() {
            println!(
                "{name} on {}: ran {}, over {}, exit {:?} {}, removed {}",
                life.node,
                since(life.running),
                since(life.over),
                life.exit,
                life.reason.unwrap_or_default(),
                since(life.removed)
            );
        }
    }

    /// Shuts the pool down, and checks that nothing is left of its run.
    ///
    /// # Panics
    /// If something is left.
    #[expect(clippy::print_stdout, reason = "timings are worth knowing")]
    pub async fn close(self) {
        let worked = self.began.elapsed();
        let down = timeout(BOUND, self.pool.shutdown()).await;
        down.expect("shutdown() hangs").unwrap();
        let all = self.began.elapsed();
        println!("worked for {worked:.1?}, down {:.1?} later", all - worked);
        self.watching.abort();
        self.nothing_is_left().await;
    }

    /// Shuts the pool down where a node is gone: the node's pods cannot end, and the cluster keeps their names, which
    /// the run cannot change. Those pods are removed here without a grace; nothing else may be left.
    ///
    /// # Panics
    /// If the shutdown fails, or something is left.
    pub async fn abandon(self) {
        let down = timeout(BOUND, self.pool.shutdown()).await;
        down.expect("shutdown() hangs").unwrap();
        self.watching.abort();
        let pods = self.cluster.pods().list(&self.of_run()).await.unwrap();
        let params = DeleteParams::default().grace_period(0);
        for pod in pods {
            let name = pod.name_any();
            self.cluster.pods().delete(&name, &params).await.ok();
        }
        self.nothing_is_left().await;
    }

    fn of_run(&self) -> ListParams {
        ListParams::default().labels(&format!("{RUN_LABEL}={}", self.run))
    }

    async fn nothing_is_left(&self) {
        let of_run = self.of_run();
        let mut left = Vec::new();
        let jobs = self.cluster.jobs().list(&of_run).await.unwrap();
        left.extend(jobs.iter().map(|job| format!("job {}", job.name_any())));
        let pods = self.cluster.pods().list(&of_run).await.unwrap();
        left.extend(pods.iter().map(|pod| format!("pod {}", pod.name_any())));
        let secrets = self.cluster.secrets().list(&of_run).await.unwrap();
        left.extend(
            secrets
                .iter()
                .map(|secret| format!("secret {}", secret.name_any())),
        );
        let garbage = Garbage::Run(self.run.clone());
        left.extend(gc(&self.cluster, &garbage).await.unwrap());
        let connection = Connection::builder().open().unwrap();
        let admin = Admin::new(&connection);
        let which = Which::Run(self.run.clone());
        let collected = admin.collect(SystemTime::UNIX_EPOCH, &which).await.unwrap();
        left.extend(collected.deleted);
        assert_eq!(left, Vec::<String>::new());
    }
}

/// Records the lives of a run's pods.
async fn follow(cluster: Cluster, run: RunId, lives: Arc<Mutex<Lives>>, tell: watch::Sender<()>) {
    let of_run = Config::default().labels(&format!("{RUN_LABEL}={run}"));
    let mut news = watcher(cluster.pods(), of_run).default_backoff().boxed();
    while let Some(event) = news.next().await {
        // After an error the watcher lists and watches again, with a back-off.
        let Ok(event) = event else { continue };
        {
            let mut lives = lives.lock().unwrap();
            match event {
                Event::Apply(pod) | Event::InitApply(pod) => {
                    lives.entry(pod.name_any()).or_default().see(&pod);
                }
                Event::Delete(pod) => {
                    let life = lives.entry(pod.name_any()).or_default();
                    life.see(&pod);
                    let now = Instant::now();
                    life.over.get_or_insert(now);
                    life.removed = Some(now);
                }
                Event::Init | Event::InitDone => {}
            }
        }
        tell.send_replace(());
    }
}
