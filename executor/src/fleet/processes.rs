//! Worker processes of this machine: this program's own executable, started in the worker's role, one for each cohort.
//!
//! The files that a pod has in its Secret are in a directory that only the user of the processes may read.

mod directory;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::{ClassId, Cohort};
use podpool_core::fleet::{Departure, End, FleetEvent, FleetOrder};
use podpool_core::init::{ROLE_VARIABLE, WORKER_ROLE};
use podpool_core::outcome::Exit;
use podpool_core::slot::Program;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::directory::RunDirectory;
use super::local::hostname;
use super::shares::shares;
use super::{Fleet, FleetRun, ReachedFleet};
use crate::error::BuildError;
use crate::worker::pod::{CLASS, COHORT, INDEX, NODE, POD, RUN_DIR, TERMINATION_MESSAGE};

/// Exit codes of a worker that reports why it cannot work. Another worker would report the same.
const FATAL: [i32; 4] = [64, 65, 77, 78];
/// Workers in a row that ended by themselves with an error before no other is started.
const FAILURES: u32 = 3;
/// How long the queues of a worker may take to be made.
const QUEUES: Duration = Duration::from_secs(30);
/// How long workers may take to leave by themselves once the run is over.
const LEAVE: Duration = Duration::from_secs(30);
/// The same where the run is aborted: the control message reaches the workers within moments.
const LEAVE_AT_ONCE: Duration = Duration::from_secs(2);
/// How long a killed process may take to end.
const KILLED: Duration = Duration::from_secs(10);

/// Worker processes.
pub(crate) struct ProcessFleet {
    /// Most of them at a time.
    pub(crate) max_workers: u32,
    /// The arguments with which this program becomes a worker.
    pub(crate) arguments: Vec<OsString>,
}

#[async_trait]
impl Fleet for ProcessFleet {
    fn classes(&self) -> Vec<(ClassId, String)> {
        let workers = "worker processes of this program".to_owned();
        vec![(ClassId::DEFAULT, workers)]
    }

    async fn reach(self: Box<Self>) -> Result<Box<dyn ReachedFleet>, BuildError> {
        Ok(self)
    }
}

#[async_trait]
impl ReachedFleet for ProcessFleet {
    async fn run(
        self: Box<Self>,
        run: FleetRun,
        orders: UnboundedReceiver<FleetOrder>,
        events: UnboundedSender<FleetEvent>,
    ) {
        let mut work = Work {
            fleet: *self,
            run,
            events,
            directory: None,
            useful: BTreeMap::new(),
            wanted: BTreeMap::new(),
            opened: 0,
            running: BTreeMap::new(),
            processes: JoinSet::new(),
            kill: CancellationToken::new(),
            failures: 0,
            broken: false,
        };
        let leftovers = work.serve(orders).await;
        // The dispatcher may have ended before.
        work.events.send(FleetEvent::Ended { leftovers }).ok();
    }
}

struct Work {
    fleet: ProcessFleet,
    run: FleetRun,
    events: UnboundedSender<FleetEvent>,
    /// Made with the first worker, and removed when this value is dropped.
    directory: Option<RunDirectory>,
    /// Workers that each class could use, and what it gets of them.
    useful: BTreeMap<ClassId, u32>,
    wanted: BTreeMap<ClassId, u32>,
    /// Workers that were started: each is a cohort of its own.
    opened: u32,
    /// Workers that run, by the number of their cohort.
    running: BTreeMap<u32, RunningWorker>,
    processes: JoinSet<(u32, io::Result<ExitStatus>)>,
    /// Ends all processes.
    kill: CancellationToken,
    /// Workers in a row that ended with an error.
    failures: u32,
    /// No worker is started any more.
    broken: bool,
}

/// A worker that runs.
struct RunningWorker {
    cohort: Cohort,
    name: Arc<str>,
}

impl Work {
    /// Runs until an order to end; returns what is left, a line for each.
    async fn serve(&mut self, mut orders: UnboundedReceiver<FleetOrder>) -> Vec<String> {
        loop {
            // Orders wait while a worker's queues are made, for `QUEUES` at most with each worker.
            self.fill().await;
            // `join_next` of an empty set gives None: the pattern does not match, and the loop waits for orders alone.
            tokio::select! {
                order = orders.recv() => match order {
                    Some(FleetOrder::Needed { class, unfinished, .. }) => {
                        self.want(class, unfinished);
                    }
                    Some(FleetOrder::Missed(_) | FleetOrder::Present(_)) => {}
                    Some(FleetOrder::End) => return self.end(LEAVE).await,
                    // Also for `Abandon`: another master cannot take over child processes of this one, which end with
                    // it in any case.
                    Some(_) | None => return self.end(LEAVE_AT_ONCE).await,
                },
                Some(ended) = self.processes.join_next() => {
                    if let Ok((cohort, status)) = ended {
                        self.on_end(cohort, status).await;
                    }
                }
            }
        }
    }

    fn want(&mut self, class: ClassId, unfinished: usize) {
        let slots = self.run.worker.slots.max(1) as usize;
        let workers = u32::try_from(unfinished.div_ceil(slots)).unwrap_or(u32::MAX);
        self.useful.insert(class, workers);
        self.wanted = shares(&self.useful, self.fleet.max_workers);
    }

    /// Starts workers until as many of each class run as are wanted.
    // A failed start is repeated at once, which `FAILURES` bounds.
    async fn fill(&mut self) {
        while !self.broken
            && let Some(class) = self.missing()
        {
            if let Err(reason) = self.open(class).await {
                let reason = format!("a worker process cannot be started: {reason}");
                self.report_supply(Some(&reason));
                self.fail(&reason);
            }
        }
    }

    /// A class of which fewer workers run than are wanted, while there is room for one more. No worker is stopped for
    /// another class: workers exit when the run ends.
    fn missing(&self) -> Option<ClassId> {
        let of = |class: ClassId| {
            let running = self.running.values();
            running.filter(|it| it.cohort.class == class).count() as u64
        };
        let room = (self.running.len() as u64) < u64::from(self.fleet.max_workers);
        let mut wanted = self.wanted.iter().filter(|_| room);
        wanted
            .find(|(class, wanted)| of(**class) < u64::from(**wanted))
            .map(|(class, _)| *class)
    }

    /// Starts one worker, after its queues are made.
    async fn open(&mut self, class: ClassId) -> Result<(), String> {
        let cohort = Cohort {
            number: self.opened,
            class,
            size: 1,
        };
        self.opened += 1;
        let making = timeout(QUEUES, self.run.cohorts.prepare(cohort));
        making
            .await
            .map_err(|_| format!("its queues were not made within {QUEUES:?}"))??;
        let name: Arc<str> = format!("worker-{}", cohort.number).into();
        match self.start(cohort, &name) {
            Ok(child) => {
                let kill = self.kill.clone();
                // The task owns the child. A `JoinSet` that is dropped aborts its tasks, and `kill_on_drop` then kills
                // the child, so no process outlives the fleet, even after a panic.
                let attend = async move { (cohort.number, attend(child, kill).await) };
                self.processes.spawn(attend);
                self.running
                    .insert(cohort.number, RunningWorker { cohort, name });
                self.report_supply(None);
                Ok(())
            }
            Err(error) => {
                self.retire(cohort).await;
                Err(error.to_string())
            }
        }
    }

    fn start(&mut self, cohort: Cohort, name: &str) -> io::Result<Child> {
        let Some(files) = &self.run.files else {
            return Err(io::Error::other(
                "processes cannot open the queues of this run",
            ));
        };
        let directory = match &mut self.directory {
            Some(directory) => directory,
            none => none.insert(RunDirectory::make(&self.run.run, files)?),
        };
        let program = Program::this_executable().map_err(io::Error::other)?;
        let Program::Process { path, .. } = program else {
            return Err(io::Error::other("this program has no executable"));
        };
        Command::new(path)
            .args(&self.fleet.arguments)
            .env(ROLE_VARIABLE, WORKER_ROLE)
            .env(RUN_DIR, directory.path())
            .env(POD, name)
            .env(NODE, &*hostname())
            .env(COHORT, cohort.number.to_string())
            .env(CLASS, cohort.class.to_string())
            .env(INDEX, "0")
            .env(TERMINATION_MESSAGE, directory.termination_message(name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // A terminal sends SIGINT to its foreground process group, and Ctrl-C is for the master alone.
            // <https://man7.org/linux/man-pages/man4/tty_ioctl.4.html>
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn on_end(&mut self, cohort: u32, status: io::Result<ExitStatus>) {
        let Some(RunningWorker { cohort, name }) = self.running.remove(&cohort) else {
            return;
        };
        self.retire(cohort).await;
        let (end, seen) = judge(&status);
        let directory = self.directory.as_ref();
        let reason = match directory.and_then(|it| it.take_reason(&name)) {
            Some(written) => format!("{written} ({seen})"),
            None => seen,
        };
        self.report_supply(Some(&reason));
        self.send(FleetEvent::Gone(Departure {
            worker: name.clone(),
            node: Some(hostname()),
            end,
            reason: reason.clone(),
            at: None,
            running: Vec::new(),
        }));
        let said = format!("process {name} ended by itself: {reason}");
        match status.ok().and_then(|status| status.code()) {
            Some(0) => self.failures = 0,
            Some(code) if FATAL.contains(&code) => self.give_up(&said),
            Some(_) => self.fail(&said),
            // A signal from outside has ended the worker: that is no failure of the program.
            None => {}
        }
    }

    fn fail(&mut self, reason: &str) {
        warn!("{reason}");
        self.failures += 1;
        if self.failures >= FAILURES {
            self.give_up(reason);
        }
    }

    fn give_up(&mut self, reason: &str) {
        self.broken = true;
        self.send(FleetEvent::Broken(reason.to_owned()));
    }

    async fn retire(&self, cohort: Cohort) {
        let retiring = timeout(QUEUES, self.run.cohorts.retire(cohort));
        match retiring.await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => warn!(
                cohort = cohort.number,
                reason, "the queues of a worker are left behind"
            ),
            Err(_) => warn!(
                cohort = cohort.number,
                "the queues of a worker are not removed yet"
            ),
        }
    }

    /// Waits for the workers to leave, and kills those that do not.
    async fn end(&mut self, patience: Duration) -> Vec<String> {
        if timeout(patience, self.all_end()).await.is_err() {
            self.kill.cancel();
            // A process in an uninterruptible system call ends only when that call returns.
            timeout(KILLED, self.all_end()).await.ok();
        }
        let left = std::mem::take(&mut self.running);
        left.into_values()
            .map(|RunningWorker { name, .. }| {
                format!("process {name} of run {} does not end", self.run.run)
            })
            .collect()
    }

    // May be cancelled between two processes: each one that has ended is taken out of `running` before its queues are
    // retired, and the next call continues with the others.
    async fn all_end(&mut self) {
        while let Some(ended) = self.processes.join_next().await {
            if let Ok((number, _)) = ended
                && let Some(RunningWorker { cohort, .. }) = self.running.remove(&number)
            {
                self.retire(cohort).await;
            }
        }
    }

    fn report_supply(&self, reason: Option<&str>) {
        self.send(FleetEvent::Supply {
            workers: u32::try_from(self.running.len()).unwrap_or(u32::MAX),
            reason: reason.map(Into::into),
        });
    }

    fn send(&self, event: FleetEvent) {
        // The dispatcher may have ended before.
        self.events.send(event).ok();
    }
}

/// Waits for a process, and kills it when `kill` is cancelled.
async fn attend(mut child: Child, kill: CancellationToken) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = kill.cancelled() => {}
    }
    child.start_kill()?;
    child.wait().await
}

/// What the end of a process is charged to, and what was seen.
fn judge(status: &io::Result<ExitStatus>) -> (End, String) {
    let status = match status {
        Ok(status) => status,
        Err(error) => return (End::Lost, error.to_string()),
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => (End::Left, "it left".to_owned()),
        // The worker had no slots or no queues, or received SIGTERM: its tasks did not cause the end.
        (Some(code @ (75 | 83 | 143)), _) => (End::Lost, format!("exit code {code}")),
        (Some(code), _) => (End::Died(Exit::Code(code)), format!("exit code {code}")),
        // A worker runs no code of a task, because slots are processes of their own: the signal came from outside.
        (None, Some(signal)) => (End::Lost, format!("signal {signal}")),
        (None, None) => (End::Lost, status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exit_of_its_own_is_charged_to_the_running_tasks() {
        let exited = |code: i32| judge(&Ok(ExitStatus::from_raw(code << 8))).0;
        assert!(matches!(exited(0), End::Left));
        assert!(matches!(exited(75), End::Lost));
        assert!(matches!(exited(101), End::Died(Exit::Code(101))));
        let (end, reason) = judge(&Ok(ExitStatus::from_raw(9)));
        assert!(matches!(end, End::Lost) && reason == "signal 9", "{reason}");
    }
}
