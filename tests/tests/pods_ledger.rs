//! Runs on a cluster that are remembered: their pods go on when a master ends, and the next master takes them over.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures_util::future::join_all;
use kube::ResourceExt;
use kube::api::ListParams;
use podpool::error::ShutdownError;
use podpool::events::EventKind;
use podpool::gc::{self, Places, Which};
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::RUN_LABEL;
use podpool::pubsub::{Admin, Connection, RunLabels, RunNames};
use podpool::testing::Builder as _;
use podpool::{Builder, PodPoolExecutor, RunId, TaskErrorKind, TaskFuture};
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{Ledger, Listed, Status};
use podpool_tests::gate::Gate;
use podpool_tests::journal::Journal;
use podpool_tests::pods::Pods;
use podpool_tests::pods::desk::BOUND;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::tasks;
use tokio::time::{sleep, timeout};

podpool::test_slots!();

/// Between two looks at a ledger or a journal.
const LOOK: Duration = Duration::from_millis(20);
const LINES: usize = 20;

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let look = async {
        while !is_so() {
            sleep(LOOK).await;
        }
    };
    within(what, look).await;
}

/// A run of one worker, with what its tasks reach.
struct Scene {
    pods: Pods,
    ledger: MemoryLedger,
    journal: Journal,
    gate: Gate,
}

impl Scene {
    fn new(pods: Pods) -> Self {
        Self {
            ledger: MemoryLedger::new(),
            journal: Journal::at(pods.host()),
            gate: Gate::at(pods.host()),
            pods,
        }
    }

    fn builder(&self) -> Builder {
        let builder = self.pods.builder(1);
        builder.remembered_in(Arc::new(self.ledger.clone()))
    }

    fn hold(&self, pool: &PodPoolExecutor) -> TaskFuture<u32> {
        pool.submit(tasks::hold(self.gate.address(), 1).key("held"))
    }

    fn write(&self, pool: &PodPoolExecutor) -> Vec<TaskFuture<()>> {
        let write = |n| {
            let line = format!("line {n:02}");
            let call = tasks::write_line(self.journal.address(), line.clone());
            pool.submit(call.key(line))
        };
        (0..LINES).map(write).collect()
    }

    fn history(&self) -> Vec<Listed> {
        let mut tasks = Vec::new();
        let run = self.ledger.runs().unwrap().remove(0).unwrap().run;
        let mut read = self.ledger.read(&run).unwrap();
        read.list(&mut |task| tasks.push(task)).unwrap();
        tasks
    }

    /// The texts of the run's events of this kind.
    fn events(&self, run: &RunId, kind: &str) -> Vec<String> {
        let events = self.ledger.read(run).unwrap().events().unwrap();
        let events = events.newest.into_iter().filter(|it| it.kind == kind);
        events.map(|it| it.text).collect()
    }

    /// Everything is done, each line was written once, and nothing is left of the run.
    async fn is_done(&self, run: &RunId) {
        let all = self.history();
        assert_eq!(all.len(), LINES + 1, "no task is submitted twice: {all:?}");
        assert!(all.iter().all(|task| task.status == Status::Done));
        assert_eq!(self.journal.lines().len(), LINES, "each ran once");
        nothing_is_left(run).await;
    }
}

/// Waits until a worker of this cohort has greeted the master.
async fn greets(pool: &PodPoolExecutor, cohort: &str) {
    let mut events = pool.events();
    let came = async {
        while let Some(event) = events.next().await {
            if let EventKind::WorkerCame { worker, .. } = event.kind
                && worker.contains(cohort)
            {
                return;
            }
        }
    };
    within("a worker", came).await;
}

/// Waits until the run has no pod with this in its name.
async fn gone(run: &RunId, cohort: &str) {
    let cluster = Cluster::connect(None).await.unwrap();
    let of_run = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let look = async {
        while let pods = cluster.pods().list(&of_run).await.unwrap()
            && pods.iter().any(|pod| pod.name_any().contains(cohort))
        {
            sleep(LOOK).await;
        }
    };
    within("the end of the pods", look).await;
}

#[tokio::test]
async fn what_runs_goes_on_under_the_next_master() {
    let Some(pods) = pods() else { return };
    let scene = Scene::new(pods);
    let first = scene.builder().run("taken-over").build().await.unwrap();
    let held = scene.hold(&first);
    let guest = within("the task", scene.gate.arrival()).await;
    let waiting = scene.write(&first);
    until("the ledger", || scene.history().len() == LINES + 1).await;
    let builder = scene.builder().run("taken-over").take_over(true);
    let second = within("the second master", builder.build()).await.unwrap();
    for future in waiting {
        let error = within("a future of the first", future).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::PoolBroken);
    }
    let ended = within("the first one's end", first.shutdown()).await;
    assert!(matches!(ended, Err(ShutdownError::Superseded { .. })));
    drop(held);
    let (held, lines) = (scene.hold(&second), scene.write(&second));
    guest.let_go();
    let began = Instant::now();
    assert_eq!(within("the task that ran", held).await.unwrap(), 1);
    println!("it ended {:?} after it was released", began.elapsed());
    for result in within("the lines", join_all(lines)).await {
        result.unwrap();
    }
    let run = second.run_id().clone();
    // Its worker greets the second master too. What the first one had pulled comes again by its lease.
    let came = || scene.events(&run, "worker came").len() == 2;
    until("a second greeting", came).await;
    within("the shutdown", second.shutdown()).await.unwrap();
    let text = format!("cohort 0, pp-{run}-c0, of class 0: 1 worker");
    for kind in ["cohort opened", "cohort taken over"] {
        assert_eq!(scene.events(&run, kind), [&*text], "{kind}");
    }
    let masters = scene.ledger.read(&run).unwrap().run().unwrap().masters;
    for (number, master) in masters.iter().enumerate() {
        let mut settings = master.master.settings.iter();
        let class = settings.find(|(name, _)| name == "class 0").unwrap();
        assert!(class.1.starts_with("pods of "), "{number}: {class:?}");
    }
    let of_held = scene.history().remove(0);
    let attempts = scene.ledger.read(&run).unwrap().attempts(of_held.task);
    assert_eq!(attempts.unwrap().len(), 0, "its execution was not lost");
    scene.is_done(&run).await;
}

#[tokio::test]
async fn a_detached_run_goes_on_and_is_attached_to() {
    let Some(pods) = pods() else { return };
    let scene = Scene::new(pods);
    let first = scene.builder().run("detached").build().await.unwrap();
    let held = scene.hold(&first);
    let guest = within("the task", scene.gate.arrival()).await;
    let waiting = scene.write(&first);
    let run = within("the detachment", first.detach()).await.unwrap();
    let error = within("its future", held).await.unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    assert!(
        error.to_string().contains("goes on without this process"),
        "{error}"
    );
    drop((first, waiting));
    guest.let_go();
    let began = Instant::now();
    // No master lives.
    until("the lines", || scene.journal.lines().len() == LINES).await;
    println!("the pods wrote all lines in {:?}", began.elapsed());
    let builder = scene.builder().attach("detached");
    let second = within("the second master", builder.build()).await.unwrap();
    let left = within("what is left", second.resume()).await.unwrap();
    for result in within("the results", join_all(left)).await {
        result.unwrap();
    }
    let called = within("a call", scene.hold(&second)).await;
    assert_eq!(called.unwrap(), 1);
    within("the shutdown", second.shutdown()).await.unwrap();
    scene.is_done(&run).await;
}

/// Everything that was in the queues is lost while no master lives: the next one publishes it at once.
#[tokio::test]
async fn queues_that_vanished_without_a_master_are_filled_again() {
    let Some(pods) = pods() else { return };
    let scene = Scene::new(pods);
    let first = scene.builder().run("vanished").build().await.unwrap();
    let held = scene.hold(&first);
    let guest = within("the task", scene.gate.arrival()).await;
    let waiting = scene.write(&first);
    let run = within("the detachment", first.detach()).await.unwrap();
    drop((first, held, waiting));
    let names = RunNames::own("podpool", &run).unwrap();
    let admin = Admin::new(&Connection::builder().open().unwrap());
    let gone = admin.delete_run(&names, &run).await;
    assert!(gone.deleted.len() >= 5, "{gone:?}");
    let builder = scene.builder().attach("vanished");
    let second = within("the second master", builder.build()).await.unwrap();
    guest.let_go();
    for result in within("the lines", join_all(scene.write(&second))).await {
        result.unwrap();
    }
    assert_eq!(within("a call", scene.hold(&second)).await.unwrap(), 1);
    within("the shutdown", second.shutdown()).await.unwrap();
    assert_eq!(scene.journal.distinct().len(), LINES);
    let all = scene.history();
    assert!(all.iter().all(|task| task.status == Status::Done));
    nothing_is_left(&run).await;
}

/// Queues that the first master of a run labelled with its deadline, which is over, are none that `gc` removes while a
/// later master's workers have another.
#[tokio::test]
async fn queues_past_their_deadline_stay_while_a_job_of_their_run_goes_on() {
    let Some(pods) = pods() else { return };
    let scene = Scene::new(pods);
    let pool = scene.builder().run("long-lived").build().await.unwrap();
    let held = scene.hold(&pool);
    let guest = within("the task", scene.gate.arrival()).await;
    let run = pool.run_id().clone();
    let names = RunNames::own("earlier", &run).unwrap();
    let labels = RunLabels {
        run: run.clone(),
        name: None,
        created: UNIX_EPOCH,
        deadline: UNIX_EPOCH,
    };
    let admin = Admin::new(&Connection::builder().open().unwrap());
    let lease = Duration::from_secs(60);
    admin.create(&names, &labels, lease).await.unwrap();
    let of_run = async || {
        let listed = gc::list(&Places::new(), &Which::PastDeadline).await;
        let listed = listed.unwrap().into_iter();
        listed.filter(|it| it.run == run).count()
    };
    assert_eq!(of_run().await, 0, "its Job goes on");
    guest.let_go();
    within("the task", held).await.unwrap();
    within("the shutdown", pool.shutdown()).await.unwrap();
    assert_eq!(of_run().await, 5, "topics and subscriptions");
    let gone = admin.delete_run(&names, &run).await;
    assert_eq!(gone.deleted.len(), 5, "{gone:?}");
}

/// A master whose workers would be others replaces those that live.
#[tokio::test]
async fn workers_of_an_earlier_version_are_replaced() {
    let Some(pods) = pods() else { return };
    let scene = Scene::new(pods);
    let first = scene.builder().run("changed").build().await.unwrap();
    let held = scene.hold(&first);
    let guest = within("the task", scene.gate.arrival()).await;
    let builder = scene.builder().run("changed").take_over(true);
    let builder = builder.max_tasks_per_slot(1_000);
    let second = within("the second master", builder.build()).await.unwrap();
    drop(held);
    let again = scene.hold(&second);
    greets(&second, "-c1-").await;
    // The other one was asked to leave, and finishes what it runs.
    guest.let_go();
    assert_eq!(within("the task", again).await.unwrap(), 1);
    // Until it has left it may take what the second master publishes.
    gone(second.run_id(), "-c0-").await;
    let lines = scene.write(&second);
    for result in within("the lines", join_all(lines)).await {
        result.unwrap();
    }
    let run = second.run_id().clone();
    within("the shutdown", second.shutdown()).await.unwrap();
    drop(first);
    let workers = scene.history().into_iter().skip(1);
    let workers = workers.filter_map(|task| task.ended?.worker);
    for worker in workers {
        assert!(worker.contains("-c1-"), "{worker} is of the first version");
    }
    scene.is_done(&run).await;
}
