//! The preparation of a run on the executor's thread before the first task is submitted, and its parts that run there
//! afterwards: the fleet, the guard of the queues, and the dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use podpool_core::broker::{ClassId, RunFacts, RunQueues};
use podpool_core::envelope::{MacKey, VERSION};
use podpool_core::queue::Queue;
use podpool_core::queue::refusals::BROKER_TIMEOUT;
use podpool_core::worker::Queues;
use tokio::sync::mpsc;

use crate::broker::run_payloads::Payloads;
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::{FleetRun, ReachedFleet, RunFiles};
use crate::master::dispatch::{self, Dispatch, MAX_RANGES, MasterQueues};
use crate::master::ledger::OpenedRun;
use crate::master::mailbox::Inbox;
use crate::master::observed::Observed;
use crate::master::settings::RunSettings;
use crate::worker::descriptor::Descriptor;

use super::{Elsewhere, Run, parts};

/// Shortest time between two changes of the control, for a worker in this process.
const CONTROL_PAUSE: Duration = Duration::from_millis(20);
/// The same for workers elsewhere: at most five a second.
const CONTROL_PAUSE_ELSEWHERE: Duration = Duration::from_millis(200);
/// Batches for each slot that may be out in memory: enough to keep slots busy, few enough to reorder and to cancel.
const BATCHES_FOR_EACH_SLOT: usize = 4;
/// Bytes of arguments that may be out in memory; the bytes of short arguments are a second copy beside the table's.
const BYTES_OUT: usize = 64 << 20;
/// The same across a network, where more bytes are on their way.
const BYTES_OUT_FAR: usize = 256 << 20;
/// How long the queues of a worker in this process may be kept. They are removed with the process in any case.
const LASTS: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A run whose parts are all there.
pub(super) struct Prepared {
    settings: RunSettings,
    elsewhere: Option<Elsewhere>,
    workers: u32,
    slots: usize,
    fleet: Box<dyn ReachedFleet>,
    opened: Arc<dyn RunQueues>,
    queues: MasterQueues,
    /// The queues of a worker in this process.
    local: Queues,
    payloads: Payloads,
    files: Option<RunFiles>,
    ledger: Option<OpenedRun>,
}

/// Reaches the services that the run needs, and makes its queues. The first failure is the error, and nothing is left
/// then. Until `making` is true nothing of the run is made, and the future may be dropped.
pub(super) async fn prepare(run: Run, making: &AtomicBool) -> Result<Prepared, BuildError> {
    let slots = run.slots();
    // In this order, so that each error comes before anything is made: settings first, which need no service, then the
    // cluster, then the payload store. Only `open` makes something, and it removes what it made where it fails.
    run.broker.check().await?;
    let fleet = run.fleet.reach().await?;
    making.store(true, Ordering::Relaxed);
    let (settings, store) = (run.settings, run.payload_store);
    let payloads = Payloads::open(store.as_deref(), &settings.run).await?;
    let default_lease = run.broker.limits().default_lease;
    let created = run.ledger.as_ref().map(|run| run.created);
    let facts = facts(&settings, run.elsewhere.as_ref(), default_lease, created);
    let opened = run.broker.open(&facts).await?;
    let joined = queues(
        &settings,
        run.elsewhere.as_ref(),
        &payloads,
        (&facts, &*opened),
    )
    .and_then(|queues| {
        let elsewhere = run.elsewhere.as_ref();
        let files = elsewhere.map(|it| describe(&settings, it, &*opened, facts.lease, store));
        Ok((local(&queues)?, queues, files.transpose()?))
    });
    let (local, queues, files) = match joined {
        Ok(joined) => joined,
        Err(error) => {
            // A queue that cannot be removed has a deadline as a label: the error of the preparation matters more. Queues
            // of a run that is picked up hold what its earlier masters left.
            if facts.epoch == 1 {
                opened.remove().await;
            }
            return Err(error);
        }
    };
    Ok(Prepared {
        settings,
        elsewhere: run.elsewhere,
        workers: run.workers,
        slots,
        fleet,
        opened,
        queues,
        local,
        payloads,
        files,
        ledger: run.ledger,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "labels tell people and `gc`, days later, when a run began"
)]
fn facts(
    settings: &RunSettings,
    elsewhere: Option<&Elsewhere>,
    default_lease: Duration,
    remembered: Option<SystemTime>,
) -> RunFacts {
    let began = SystemTime::now();
    // The age of a run on given names is that of its first master.
    let created = remembered.unwrap_or(began);
    RunFacts {
        run: settings.run.clone(),
        name: settings.name.clone(),
        created,
        deadline: began + elsewhere.map_or(LASTS, |it| it.lasts),
        lease: settings.lease.unwrap_or(default_lease),
        epoch: elsewhere.map_or(1, |it| it.epoch),
        classes: vec![ClassId::DEFAULT],
    }
}

fn mac_key(elsewhere: Option<&Elsewhere>) -> MacKey {
    elsewhere.map_or(MacKey::Absent, |it| MacKey::Keyed(it.key))
}

/// The master's side of the queues, with the payloads' store behind it, and the tests' faults.
fn queues(
    settings: &RunSettings,
    elsewhere: Option<&Elsewhere>,
    payloads: &Payloads,
    (facts, opened): (&RunFacts, &dyn RunQueues),
) -> Result<MasterQueues, BuildError> {
    let wrap = |queue: Arc<dyn Queue>| payloads.wrap(queue, mac_key(elsewhere));
    let tasks_of = |class: &ClassId| -> Result<_, BuildError> {
        let tasks = opened.tasks(*class).ok_or_else(|| {
            failed("open the run's queues")(format!("there is none for tasks of class {class}"))
        })?;
        Ok((*class, wrap(settings.decorated("tasks", tasks))))
    };
    Ok(MasterQueues {
        tasks: facts
            .classes
            .iter()
            .map(tasks_of)
            .collect::<Result<_, _>>()?,
        results: wrap(settings.decorated("results", opened.results())),
        control: settings.decorated("control", opened.control()),
    })
}

/// The queues of a worker in this process, which runs tasks of the default class.
fn local(queues: &MasterQueues) -> Result<Queues, BuildError> {
    let tasks = queues.tasks.get(&ClassId::DEFAULT).ok_or_else(|| {
        failed("open the run's queues")("there is none for tasks of the default class".to_owned())
    })?;
    Ok(Queues {
        tasks: tasks.clone(),
        results: queues.results.clone(),
        control: queues.control.clone(),
    })
}

/// The files that workers in other processes read.
fn describe(
    settings: &RunSettings,
    elsewhere: &Elsewhere,
    opened: &dyn RunQueues,
    lease: Duration,
    payload_store: Option<String>,
) -> Result<RunFiles, BuildError> {
    let descriptor = Descriptor {
        run: settings.run.clone(),
        queues: opened.description(),
        wire: VERSION,
        lease,
        termination: elsewhere.termination,
        idle: elsewhere.idle,
        worker: settings.worker.clone(),
        payload_store,
        tasks: Descriptor::known_tasks(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let descriptor = descriptor
        .authenticate(&elsewhere.key)
        .map_err(failed("describe the run to its workers"))?;
    Ok(RunFiles {
        descriptor,
        key: elsewhere.key,
    })
}

impl Prepared {
    /// Removes the queues, where no worker will use them.
    pub(super) async fn unmake(self) {
        // As in `prepare`.
        if self.epoch() == 1 {
            self.opened.remove().await;
        }
    }

    /// The fleet and the broker beside the dispatcher.
    pub(super) async fn run(self, inbox: Inbox, observed: Arc<Observed>) {
        let dispatch_settings = self.dispatch_settings();
        let (broker_tx, broker) = mpsc::unbounded_channel();
        let Self {
            settings,
            elsewhere,
            fleet,
            opened,
            queues,
            local,
            payloads,
            files,
            mut ledger,
            ..
        } = self;
        if let Some(remembered) = ledger.as_mut().filter(|_| opened.are_fresh()) {
            remembered.memory.forget_published();
        }
        let run = FleetRun {
            run: settings.run.clone(),
            name: settings.name.clone(),
            worker: settings.worker,
            queues: local,
            output: settings.reporting.sink(),
            broker_timeout: settings.broker_timeout,
            cohorts: opened.clone(),
            replaces: ledger.as_ref().is_some_and(|run| run.epoch > 1),
            files,
        };
        Dispatch {
            settings: dispatch_settings,
            inbox,
            queues,
            fleet: parts::start(fleet, run, opened, broker_tx),
            broker: Some(broker),
            broker_timeout: settings.broker_timeout.unwrap_or(BROKER_TIMEOUT),
            payloads,
            printed: elsewhere.map(|_| settings.reporting.sink()),
            lines: Some(settings.reporting.lines()),
            observed,
            ledger: ledger.map(|it| (it.memory, it.link)),
        }
        .run()
        .await;
    }

    /// Which master of the run this is.
    fn epoch(&self) -> u64 {
        let remembered = self.ledger.as_ref().map(|run| run.epoch);
        let elsewhere = self.elsewhere.as_ref().map(|it| it.epoch);
        elsewhere.or(remembered).unwrap_or(1)
    }

    fn dispatch_settings(&self) -> dispatch::Settings {
        let limits = self.local.tasks.limits();
        let elsewhere = self.elsewhere.as_ref();
        dispatch::Settings {
            run: self.settings.run.clone(),
            mac_key: mac_key(elsewhere),
            seed: fastrand::u64(..),
            classes: self.queues.tasks.keys().copied().collect(),
            slots: self.slots,
            message_bytes: limits.message_bytes,
            // A worker across a network pulls many batches at a time, or waits a round trip for each. How many workers
            // there will be is not known, so no number bounds the batches that are out.
            batches_out: match limits.remote {
                true => usize::MAX,
                false => BATCHES_FOR_EACH_SLOT * self.slots,
            },
            bytes_out: match limits.remote {
                true => BYTES_OUT_FAR,
                false => BYTES_OUT,
            },
            lease: limits.lease,
            retries: self.settings.retries,
            limits: self.settings.limits,
            epoch: self.epoch(),
            silence: elsewhere.map(|_| limits.lease),
            workers: self.workers as usize,
            remote: limits.remote,
            build: elsewhere.map_or_else(String::new, |it| it.build.clone()),
            same_build: elsewhere.is_some_and(|it| it.same_build),
            elsewhere: elsewhere.is_some(),
            memory: self.settings.memory,
            control_pause: match elsewhere {
                None => CONTROL_PAUSE,
                Some(_) => CONTROL_PAUSE_ELSEWHERE,
            },
            results_outlive: self.opened.outlive(),
            revoked_ranges: MAX_RANGES,
        }
    }
}
