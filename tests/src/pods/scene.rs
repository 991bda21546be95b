//! A pool with its pods in sight: what becomes of each of them, by the test's clock, and what can be done to them.

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

/// Nothing on a sound cluster takes longer, if the machine is busy too.
pub const BOUND: Duration = Duration::from_secs(120);

/// A pool, and what is seen of it.
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

/// What became of a pod.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Its node.
    pub node: String,
    /// When it began to run.
    pub running: Option<Instant>,
    /// When it was seen that it is lost or leaves: deleted, ended, or on a node that fell silent.
    pub over: Option<Instant>,
    /// Its exit code.
    pub exit: Option<i32>,
    /// The reason of its end.
    pub reason: Option<String>,
    /// When it was no more.
    pub removed: Option<Instant>,
}

impl Life {
    /// Whether it runs and is not being deleted.
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
        let silent = is("Ready", "False") && is("ContainersReady", "True");
        if self.exit.is_some() || pod.metadata.deletion_timestamp.is_some() || silent {
            self.over.get_or_insert(now);
        }
    }
}

impl Scene {
    /// Builds the pool, and watches its pods from before the first.
    ///
    /// # Panics
    /// If it cannot be built.
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

    /// What is known of the pods now.
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

    /// Waits until the pods are as wanted.
    ///
    /// # Panics
    /// If they never are.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Lives) -> bool) -> Lives {
        let end = tokio::time::Instant::now() + BOUND;
        loop {
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

    /// Deletes a pod; with what grace, in seconds, if not its own. One that has gone meanwhile is fine.
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

    /// Shuts the pool down, and proves that nothing is left of its run.
    ///
    /// # Panics
    /// If something is.
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

    /// Shuts the pool down where a node is gone: its pods cannot end, and the cluster keeps their names, which is nothing
    /// that the run left. They are removed by hand here; nothing else is left.
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
        let admin = Admin::new(&connection).await.unwrap();
        let which = Which::Run(self.run.clone());
        let collected = admin.collect(SystemTime::UNIX_EPOCH, &which).await.unwrap();
        left.extend(collected.deleted);
        assert_eq!(left, Vec::<String>::new());
    }
}

/// Writes down what becomes of a run's pods.
async fn follow(cluster: Cluster, run: RunId, lives: Arc<Mutex<Lives>>, tell: watch::Sender<()>) {
    let of_run = Config::default().labels(&format!("{RUN_LABEL}={run}"));
    let mut news = watcher(cluster.pods(), of_run).default_backoff().boxed();
    while let Some(event) = news.next().await {
        // A watch that was cut is taken up again.
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
