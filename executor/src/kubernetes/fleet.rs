//! The fleet's loop: orders and the cluster's news in, the state decides, its effects out.

mod find;
mod open;
mod remove;
mod watch;

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kube::runtime::watcher::Event;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::instant::after;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::warn;

use super::client::Cluster;
use super::cohorts::{Effect, Limits, Refusal, State};
use super::job::{self, RunSecret};
use super::spec::WorkerSpec;
use crate::gc::advice;
use open::{Opened, Opener};
use watch::Watches;

#[cfg(test)]
pub(crate) use self::find::Kind;
pub(crate) use self::find::{Found, find};
pub(crate) use self::remove::delete;
pub use self::remove::{Garbage, gc};

/// How long workers may take to leave by themselves at the end of a run.
const LEAVE: Duration = Duration::from_secs(10);
/// How long a cohort that is being opened may hold up the end.
const OPENING: Duration = Duration::from_secs(30);
/// How long the removal of queues is waited for.
const RETIRE: Duration = Duration::from_secs(30);
/// How long the removal of pods is waited for, at least; never less than their grace.
const REMOVAL: Duration = Duration::from_secs(30);

/// What must be there before a cohort's workers start, and can go when they have ended.
#[async_trait]
pub trait Cohorts: Send + Sync + fmt::Debug {
    /// Makes the queues of a cohort's workers. Called once for each cohort, before its Job exists.
    ///
    /// # Errors
    /// Why it cannot be; it is tried again later, for another cohort.
    async fn prepare(&self, cohort: u32, size: u32) -> Result<(), String>;

    /// Removes them. May be called for a cohort that was never prepared.
    ///
    /// # Errors
    /// Why something is left.
    async fn retire(&self, cohort: u32, size: u32) -> Result<(), String>;
}

/// A fleet's description, checked.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// The run.
    pub run: RunId,
    /// What its workers are; [`WorkerSpec::check`] has passed.
    pub spec: WorkerSpec,
    /// Most workers at a time.
    pub max_workers: u32,
    /// What workers find in [`RUN_DIR`](super::job::RUN_DIR).
    pub secret: RunSecret,
    /// Where they run.
    pub cluster: Cluster,
    /// Who makes their queues.
    pub cohorts: Arc<dyn Cohorts>,
}

/// Runs a fleet until it is told to end, and removes what it made. Orders that nobody can send any more are a
/// [`FleetOrder::Stop`].
pub async fn run(
    fleet: Fleet,
    mut orders: UnboundedReceiver<FleetOrder>,
    events: UnboundedSender<FleetEvent>,
) {
    let mut work = Work::new(fleet, events);
    let leftovers = match work.serve(&mut orders).await {
        Ending::Abandoned => Vec::new(),
        ending => work.end(ending == Ending::Gentle).await,
    };
    // The dispatcher may have ended before.
    work.events.send(FleetEvent::Ended { leftovers }).ok();
}

/// How a fleet was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Workers may leave by themselves first.
    Gentle,
    AtOnce,
    /// Everything is another master's now.
    Abandoned,
}

type Opening = Pin<Box<dyn Future<Output = (u32, Result<Opened, Refusal>)> + Send>>;

struct Work {
    opener: Arc<Opener>,
    state: State,
    watches: Watches,
    events: UnboundedSender<FleetEvent>,
    opening: Option<Opening>,
    retiring: JoinSet<()>,
    /// Logs that are read, each with its pod.
    quoting: JoinSet<(Arc<str>, Result<String, String>)>,
    /// The uid of the Secret that this fleet made.
    secret: Option<String>,
    /// Something may exist on the cluster.
    touched: bool,
}

impl Work {
    fn new(fleet: Fleet, events: UnboundedSender<FleetEvent>) -> Self {
        let limits = Limits {
            max_workers: fleet.max_workers,
            slots: fleet.spec.slots(),
            start: fleet.spec.start_time(),
            schedule: fleet.spec.schedule_time(),
        };
        let lasts = fleet.spec.run_deadline();
        let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
        Self {
            state: State::new(limits),
            watches: Watches::new(&fleet.cluster, &fleet.run),
            events,
            opening: None,
            retiring: JoinSet::new(),
            quoting: JoinSet::new(),
            secret: None,
            touched: false,
            opener: Arc::new(Opener {
                fingerprint: fleet.secret.fingerprint(),
                ends: after(Instant::now(), lasts),
                deadline: jiff::Timestamp::now().as_second().saturating_add(seconds),
                fleet,
            }),
        }
    }

    /// Works until it is told to end; true if workers may leave by themselves.
    async fn serve(&mut self, orders: &mut UnboundedReceiver<FleetOrder>) -> Ending {
        loop {
            self.perform();
            let deadline = self.state.deadline(Instant::now());
            let tick = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                order = orders.recv() => match order {
                    Some(FleetOrder::Needed { unfinished, .. }) => {
                        self.state.on_needed(Instant::now(), unfinished);
                    }
                    Some(FleetOrder::Silent(worker)) => {
                        self.state.on_silence(Instant::now(), &worker);
                    }
                    Some(FleetOrder::Heard(worker)) => {
                        self.state.on_heard(Instant::now(), worker);
                    }
                    Some(FleetOrder::End) => return Ending::Gentle,
                    Some(FleetOrder::Abandon) => return Ending::Abandoned,
                    Some(_) | None => return Ending::AtOnce,
                },
                opened = opened(&mut self.opening) => self.on_opened(opened),
                told = self.watches.next() => self.apply(told),
                Some(Ok((pod, log))) = self.quoting.join_next() => {
                    self.state.on_quoted(Instant::now(), &pod, log);
                }
                () = tick => self.state.on_tick(Instant::now()),
            }
        }
    }

    fn apply(&mut self, told: watch::Told) {
        let opener = self.opener.clone();
        let is_ours = |meta: &_| opener.is_ours(meta);
        let now = Instant::now();
        self.watches
            .apply(now, told, opener.cluster(), is_ours, &mut self.state);
    }

    fn on_opened(&mut self, (cohort, opened): (u32, Result<Opened, Refusal>)) {
        self.opening = None;
        let now = Instant::now();
        match opened {
            Ok(opened) => {
                self.touched = true;
                self.secret = Some(opened.secret);
                self.state.on_opened(now);
            }
            Err(refusal) => {
                warn!(cohort, reason = refusal.reason, "a cohort was not opened");
                self.touched |= !refusal.lasting;
                self.state.on_refused(now, cohort, refusal);
            }
        }
    }

    fn perform(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Open { cohort, size } => {
                    let (opener, secret) = (self.opener.clone(), self.secret.is_some());
                    self.opening = Some(Box::pin(async move {
                        (cohort, opener.open(cohort, size, secret).await)
                    }));
                }
                Effect::Retire { cohort, size } => self.retire(cohort, size),
                // The dispatcher may have ended before.
                Effect::Tell(event) => drop(self.events.send(event)),
                Effect::Warn(reason) => warn!(reason, "a part of the fleet does not start"),
                Effect::Quote(pod) => {
                    let cluster = self.opener.cluster().clone();
                    self.quoting.spawn(async move {
                        let log = cluster.last_lines(&pod).await;
                        (pod, log)
                    });
                }
            }
        }
    }

    fn retire(&mut self, cohort: u32, size: u32) {
        let cohorts = self.opener.fleet.cohorts.clone();
        self.retiring.spawn(async move {
            if let Err(reason) = cohorts.retire(cohort, size).await {
                warn!(cohort, reason, "the queues of a cohort are left behind");
            }
        });
        // Those that have ended are taken out, so that a long run does not gather them.
        while self.retiring.try_join_next().is_some() {}
    }

    /// Removes what was made. Says what is left.
    async fn end(&mut self, wait: bool) -> Vec<String> {
        self.touched |= self.opening.is_some() || self.state.objects_left() > 0;
        if let Some(opening) = self.opening.take()
            && let Ok(opened) = timeout(OPENING, opening).await
        {
            self.on_opened(opened);
        }
        let mut leftovers = Vec::new();
        if self.touched || !self.state.unretired().is_empty() {
            if wait {
                let end = after(Instant::now(), LEAVE);
                self.wait_for(end, State::pods_left).await;
            }
            leftovers = self.remove().await;
        }
        for (cohort, size) in self.state.unretired() {
            self.retire(cohort, size);
        }
        self.perform();
        let retired = async { while self.retiring.join_next().await.is_some() {} };
        if timeout(RETIRE, retired).await.is_err() {
            leftovers.push(format!(
                "queues of some cohorts were not removed within {RETIRE:?}; {}",
                advice(&self.opener.fleet.run)
            ));
        }
        leftovers
    }

    async fn remove(&mut self) -> Vec<String> {
        let opener = self.opener.clone();
        let (cluster, run) = (opener.cluster(), &opener.fleet.run);
        let mut leftovers = Vec::new();
        let namespace = cluster.namespace();
        match remove::list_jobs(cluster, &job::run_selector(run)).await {
            Ok(jobs) => {
                for found in jobs.iter().filter(|job| opener.is_ours(&job.metadata)) {
                    let meta = &found.metadata;
                    let (Some(name), Some(uid)) = (&meta.name, &meta.uid) else {
                        continue;
                    };
                    if let Err(error) = remove::job(cluster, name, uid).await {
                        leftovers.push(format!(
                            "{error}; delete it with: kubectl -n {namespace} delete job {name}"
                        ));
                    }
                }
            }
            Err(error) => leftovers.push(format!("{error}; {}", advice(run))),
        }
        let name = job::secret_name(run);
        if let Some(uid) = &self.secret
            && let Err(error) = remove::secret(cluster, &name, uid).await
        {
            leftovers.push(format!(
                "{error}; delete it with: kubectl -n {namespace} delete secret {name}"
            ));
        }
        let bound = REMOVAL.max(opener.fleet.spec.grace_time() + Duration::from_secs(10));
        if self.wait_until_gone(after(Instant::now(), bound)).await > 0 {
            for (name, reachable) in self.state.names_left() {
                let pod =
                    format!("pod {name} of namespace {namespace} has not gone within {bound:?}");
                if reachable {
                    leftovers.push(format!("{pod}; its Job is deleted, look at its node"));
                } else {
                    warn!(
                        "{pod}, for its node is silent; it goes when the node comes back or is removed"
                    );
                }
            }
        }
        leftovers
    }

    /// Waits until no pod is left, or the time is over. Says how many are left.
    ///
    /// The watch may not have told yet of pods that were made a moment ago: nothing is left once a list agrees.
    async fn wait_until_gone(&mut self, end: Instant) -> usize {
        loop {
            let left = self.wait_for(end, State::objects_left).await;
            if left > 0 || Instant::now() >= end || !self.list_pods().await {
                return left;
            }
        }
    }

    /// Tells the state of the pods that a list finds. False if it has none to wait for.
    async fn list_pods(&mut self) -> bool {
        let opener = self.opener.clone();
        let selector = job::run_selector(&opener.fleet.run);
        match remove::list_pods(opener.cluster(), &selector).await {
            Ok(pods) => {
                for pod in pods {
                    self.apply(watch::Told::Pod(Ok(Event::Apply(pod))));
                }
                self.state.objects_left() > 0
            }
            Err(error) => {
                warn!(%error, "whether pods are left was not checked; they go after their Jobs, which are deleted");
                false
            }
        }
    }

    /// Follows the news until nothing is left of what is counted, or the time is over. Says how much is left.
    async fn wait_for(&mut self, end: Instant, left: impl Fn(&State) -> usize) -> usize {
        while left(&self.state) > 0 {
            let Ok(told) = timeout_at(end, self.watches.next()).await else {
                break;
            };
            self.apply(told);
        }
        // What the state wants now comes too late.
        let late = self.state.take_effects().into_iter();
        for effect in late {
            if let Effect::Retire { cohort, size } = effect {
                self.retire(cohort, size);
            }
        }
        left(&self.state)
    }
}

async fn opened(opening: &mut Option<Opening>) -> (u32, Result<Opened, Refusal>) {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}
