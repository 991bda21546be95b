//! The fleet's loop: orders and the cluster's events in, `Cohorts` decides, effects out.

mod detach;
mod end;
#[cfg(test)]
mod fake_api;
mod find;
mod list;
mod nodes;
mod open;
mod remove;
mod replace;
mod room;
mod watch;

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::{Cohort, CohortQueues};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::instant::after;
use podpool_core::notice;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::client::Cluster;
use super::cohorts::{Cohorts, Effect, Limits, Notice, OpenError, RoomReport};
use super::diagnose::Needs;
use super::job::{RunSecret, job_name};
use super::places::{Answer, Places};
use super::spec::WorkerSpec;
use open::{Opened, Opener};
use room::find_room;
use watch::Watches;

pub use self::find::Garbage;
#[cfg(test)]
pub(crate) use self::find::Kind;
pub(crate) use self::find::{Found, find, running};
pub(crate) use self::remove::delete;
pub use self::remove::gc;

/// Pause between two questions whether the cluster answers again.
// Small beside the 5 s after which a silent cluster is reported, and one request a second is no load.
const ASK_AGAIN: Duration = Duration::from_secs(1);

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
    /// Makes and removes the queues of the cohorts.
    pub cohorts: Arc<dyn CohortQueues>,
    /// Whether Jobs of the run with another Secret are removed first: a ledger has made sure that no other master of the
    /// run lives, so those are workers of an earlier version of the program.
    pub replaces: bool,
}

/// Runs a fleet until it receives an order to end, and removes what it created. A closed channel of orders is a
/// [`FleetOrder::Stop`].
pub async fn run(
    fleet: Fleet,
    mut orders: UnboundedReceiver<FleetOrder>,
    events: UnboundedSender<FleetEvent>,
) {
    let mut work = Work::new(fleet, events);
    work.replace_workers().await;
    let leftovers = match work.serve(&mut orders).await {
        Ending::Abandoned => {
            work.complete_opening().await;
            Vec::new()
        }
        Ending::Detached => work.detach().await,
        ending => work.end(ending == Ending::Gentle).await,
    };
    // The dispatcher may have ended before.
    work.events.send(FleetEvent::Ended { leftovers }).ok();
}

/// How a fleet has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Workers may leave by themselves first.
    Gentle,
    AtOnce,
    /// Everything is another master's now.
    Abandoned,
    /// The workers go on without a master.
    Detached,
}

/// Whether the cluster answers, or why not.
type Probe = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Opening = Pin<Box<dyn Future<Output = (u32, Result<Opened, OpenError>)> + Send>>;

struct Work {
    opener: Arc<Opener>,
    state: Cohorts,
    watches: Watches,
    events: UnboundedSender<FleetEvent>,
    opening: Option<Opening>,
    /// A watch was cut off at this time, and this request shows whether the cluster answers.
    probe: Option<(Instant, Probe)>,
    /// Removals of the queues of ended cohorts.
    // Tasks of their own, so that a slow service does not delay the loop. A `JoinSet` that is dropped aborts its tasks,
    // so the end of the fleet waits for them.
    retiring: JoinSet<()>,
    /// Logs that are read, each with its pod.
    quoting: JoinSet<(Arc<str>, Result<String, String>)>,
    /// What nodes have for pods without one, each with what was asked.
    looking: JoinSet<(Needs, RoomReport)>,
    /// Where pods run, and the nodes that are read for it.
    places: Places,
    asking: JoinSet<(Arc<str>, Answer)>,
    /// The uid of the Secret that this fleet made.
    secret: Option<String>,
    /// Something may exist on the cluster.
    // Errs on the safe side: a request without an answer may have been carried out, and a needless removal only lists.
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
            state: Cohorts::new(limits),
            watches: Watches::new(&fleet.cluster, &fleet.run),
            events,
            opening: None,
            probe: None,
            retiring: JoinSet::new(),
            quoting: JoinSet::new(),
            looking: JoinSet::new(),
            places: Places::default(),
            asking: JoinSet::new(),
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

    /// Runs until an order to end; true if workers may exit without being stopped.
    async fn serve(&mut self, orders: &mut UnboundedReceiver<FleetOrder>) -> Ending {
        loop {
            // Effects first: an order that was handled in the last turn may have requested a cohort.
            self.perform();
            self.report_supply();
            self.report_places();
            let deadline = self.state.deadline(Instant::now());
            let tick = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            // Not `biased`: each branch only records a fact, and `settle` decides from all of them, so their order does
            // not matter. A random order keeps a busy watch from starving the orders. Every branch may be cancelled
            // without a loss: the channel and the watches keep their events, and the opening and the probe are boxed
            // futures that continue in the next turn.
            tokio::select! {
                order = orders.recv() => match order {
                    Some(FleetOrder::Needed { class, unfinished, .. }) => {
                        self.state.on_needed(Instant::now(), class, unfinished);
                    }
                    Some(FleetOrder::Missed(worker)) => {
                        self.state.on_missed(Instant::now(), &worker);
                    }
                    Some(FleetOrder::Present(worker)) => {
                        self.state.on_present(Instant::now(), worker);
                    }
                    Some(FleetOrder::End) => return Ending::Gentle,
                    Some(FleetOrder::Abandon) => return Ending::Abandoned,
                    Some(FleetOrder::Detach) => return Ending::Detached,
                    // A dispatcher that ended without an order has failed: its workers have no master.
                    Some(_) | None => return Ending::AtOnce,
                },
                opened = opened(&mut self.opening) => self.on_opened(opened),
                event = self.watches.next() => self.apply(event),
                (since, answer) = answered(&mut self.probe) => self.on_answer(since, answer),
                Some(Ok((pod, log))) = self.quoting.join_next() => {
                    self.state.on_log(Instant::now(), &pod, log);
                }
                Some(Ok((needs, report))) = self.looking.join_next() => {
                    self.state.on_room(Instant::now(), &needs, report);
                }
                Some(Ok((node, answer))) = self.asking.join_next() => self.on_node(&node, answer),
                () = tick => self.state.on_tick(Instant::now()),
            }
        }
    }

    fn apply(&mut self, event: watch::ClusterEvent) {
        self.note_place(&event);
        let opener = self.opener.clone();
        let is_ours = |meta: &_| opener.is_ours(meta);
        let now = Instant::now();
        let cut_off = self
            .watches
            .apply(now, event, opener.cluster(), is_ours, &mut self.state);
        // A watch is cut off now and then in normal operation, so only an API that does not answer a request either is
        // reported.
        if cut_off && self.probe.is_none() {
            self.probe = Some((
                now,
                Box::pin(async move { opener.cluster().answers().await }),
            ));
        }
    }

    fn on_answer(&mut self, since: Instant, answer: Result<(), String>) {
        let now = Instant::now();
        self.probe = None;
        let Err(reason) = answer else {
            return self.state.on_answered(now);
        };
        self.state.on_unanswered(now, since, reason);
        // The time of the first failure goes along with each further probe, so that the notices count the whole outage.
        let opener = self.opener.clone();
        let probe = async move {
            sleep(ASK_AGAIN).await;
            opener.cluster().answers().await
        };
        self.probe = Some((since, Box::pin(probe)));
    }

    fn on_opened(&mut self, (cohort, opened): (u32, Result<Opened, OpenError>)) {
        self.opening = None;
        let now = Instant::now();
        match opened {
            Ok(opened) => {
                self.touched = true;
                self.secret = Some(opened.secret);
                self.tell(opened.cohort, false);
                self.state.on_opened(now);
            }
            Err(refusal) => {
                debug!(cohort, reason = refusal.reason, "a cohort was not opened");
                // A refusal that may pass, for example a timeout, does not prove that nothing was created.
                self.touched |= !refusal.lasting;
                self.state.on_refused(now, cohort, refusal);
            }
        }
    }

    fn perform(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Open(cohort) => {
                    let (opener, secret) = (self.opener.clone(), self.secret.is_some());
                    self.opening = Some(Box::pin(async move {
                        (cohort.number, opener.open(cohort, secret).await)
                    }));
                }
                Effect::Adopt(cohort) => self.adopt(cohort),
                Effect::Retire(cohort) => self.retire(cohort),
                // The dispatcher may have ended before.
                Effect::Report(event) => drop(self.events.send(event)),
                Effect::Notify(notice) => emit(&notice),
                Effect::ReadLog(pod) => {
                    let cluster = self.opener.cluster().clone();
                    self.quoting.spawn(async move {
                        let log = cluster.last_lines(&pod).await;
                        (pod, log)
                    });
                }
                Effect::FindRoom { pod, needs } => {
                    let cluster = self.opener.cluster().clone();
                    self.looking.spawn(async move {
                        let report = find_room(&cluster, &pod, &needs).await;
                        (needs, report)
                    });
                }
            }
        }
    }

    fn tell(&self, cohort: Cohort, taken_over: bool) {
        let name = job_name(&self.opener.fleet.run, cohort.number).into();
        let event = FleetEvent::Cohort {
            cohort,
            name,
            taken_over,
        };
        // The dispatcher may have ended before.
        self.events.send(event).ok();
    }

    fn report_supply(&mut self) {
        if let Some(event) = self.state.supply_report() {
            // The dispatcher may have ended before.
            self.events.send(event).ok();
        }
    }

    /// A cohort that an earlier master made. Its queues may have vanished since, and are watched from now on.
    fn adopt(&mut self, cohort: Cohort) {
        self.tell(cohort, true);
        let opener = self.opener.clone();
        self.retiring.spawn(async move {
            opener.take_over(cohort.number).await;
            if let Err(reason) = opener.fleet.cohorts.prepare(cohort).await {
                warn!(
                    cohort = cohort.number,
                    reason, "the queues of an adopted cohort were not looked at"
                );
            }
        });
    }

    fn retire(&mut self, cohort: Cohort) {
        let cohorts = self.opener.fleet.cohorts.clone();
        self.retiring.spawn(async move {
            if let Err(reason) = cohorts.retire(cohort).await {
                warn!(
                    cohort = cohort.number,
                    reason, "the queues of a cohort were not removed"
                );
            }
        });
        // Removals that have ended are taken out, so that their results do not accumulate in a long run.
        while self.retiring.try_join_next().is_some() {}
    }
}

/// Shows a notice to the user.
fn emit(line: &Notice) {
    if line.trouble {
        notice::trouble(&line.text);
    } else {
        notice::relief(&line.text);
    }
}

async fn answered(probe: &mut Option<(Instant, Probe)>) -> (Instant, Result<(), String>) {
    match probe {
        Some((since, probe)) => (*since, probe.await),
        None => pending().await,
    }
}

async fn opened(opening: &mut Option<Opening>) -> (u32, Result<Opened, OpenError>) {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}
