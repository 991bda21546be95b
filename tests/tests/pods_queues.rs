//! Changes to a run's queues while its pods work: queues vanish, another run uses them, another run has the same name.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use podpool::error::{BuildError, ShutdownError};
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::job::{NAME_LABEL, job_name};
use podpool::options::PubSubOptions;
use podpool::pubsub::{
    Admin, Connection, ControlNames, GivenNames, Owner, Ownership, PubSubQueue, RunLabels, RunNames,
};
use podpool::{CancelOutcome, PodPoolExecutor, RunId, ShutdownBehavior, TaskErrorKind};
use podpool_core::envelope::{Batch, MacKey};
use podpool_core::queue::Queue;
use podpool_tests::pods::desk::{BOUND, Desk};
use podpool_tests::pods::known::KnownRun;
use podpool_tests::pods::left::nothing_is_left;
use podpool_tests::pods::tasks::call_at;
use podpool_tests::pods::{LEASE, Pods};
use podpool_tests::tasks::{echo, print_and_fail};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

podpool::test_slots!();

fn pods() -> Option<Pods> {
    Pods::find(env!("CARGO_BIN_EXE_pod-worker"))
}

async fn within<F: Future>(what: &str, step: F) -> F::Output {
    match timeout(BOUND, step).await {
        Ok(output) => output,
        Err(_) => panic!("waited {BOUND:?} in vain for {what}"),
    }
}

#[tokio::test]
async fn queues_that_vanish_are_made_again_and_nothing_is_lost() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let pool = known.builder(&pods, 2, 1).build().await.unwrap();
    let held = [1, 2].map(|name| pool.submit(call_at(desk.address(), name)));
    let callers = (desk.caller().await, desk.caller().await);
    let waiting: Vec<_> = (0..20).map(|n| pool.submit(echo(n))).collect();
    let admin = Admin::new(&Connection::builder().open().unwrap());
    let gone = admin.delete_run(&known.names(), &known.run).await;
    assert!(gone.deleted.len() >= 7, "{gone:?}");
    let began = Instant::now();
    callers.0.let_go().await;
    callers.1.let_go().await;
    // Executions of tasks that run a second time are released at once.
    drop(desk);
    for (name, future) in (1..).zip(held) {
        assert_eq!(within("a task that ran", future).await.unwrap(), name);
    }
    for (n, future) in (0..).zip(waiting) {
        assert_eq!(within("a task that waited", future).await.unwrap(), n);
    }
    println!(
        "everything ended {:?} after all topics were deleted",
        began.elapsed()
    );
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}

#[tokio::test]
async fn a_control_subscription_that_vanishes_is_made_again() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let known = KnownRun::default();
    let pool = known.builder(&pods, 1, 1).build().await.unwrap();
    let future = pool.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let admin = Admin::new(&Connection::builder().open().unwrap());
    let gone = admin.delete_control(&known.names(), &known.run, 0, 1).await;
    assert_eq!(gone.deleted.len(), 1, "{gone:?}");
    let began = Instant::now();
    assert_eq!(future.cancel().await, CancelOutcome::Signalled);
    within("the cancellation", caller.is_cancelled()).await;
    println!("the pod heard of it after {:?}", began.elapsed());
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(&known.run).await;
}

/// Topics and subscriptions of an administrator.
struct Administered {
    admin: Admin,
    connection: Connection,
    made: RunNames,
    run: RunId,
}

impl Administered {
    async fn make() -> Self {
        let connection = Connection::builder().open().unwrap();
        let admin = Admin::new(&connection);
        let run = RunId::random();
        let made = RunNames::own("administered", &run).unwrap();
        let labels = RunLabels {
            run: run.clone(),
            name: None,
            created: SystemTime::UNIX_EPOCH,
            deadline: SystemTime::UNIX_EPOCH,
        };
        admin.create(&made, &labels, LEASE).await.unwrap();
        Self {
            admin,
            connection,
            made,
            run,
        }
    }

    fn given(&self) -> GivenNames {
        let (tasks, results) = (self.made.tasks(), self.made.results());
        let control = self.made.control().unwrap().topic.unwrap();
        GivenNames::new(
            (tasks.topic.unwrap(), tasks.subscription.unwrap()),
            (results.topic.unwrap(), results.subscription.unwrap()),
        )
        .control(ControlNames::new(control.clone(), control))
    }

    async fn pool(&self, pods: &Pods) -> PodPoolExecutor {
        self.build(pods).await.unwrap()
    }

    async fn build(&self, pods: &Pods) -> Result<PodPoolExecutor, BuildError> {
        // Runs of one name are distinguished by their ids.
        let builder = pods
            .builder(1)
            .run("nightly")
            .pubsub(PubSubOptions::default().names(self.given()));
        builder.build().await
    }

    /// A message of a run that ended before all others began.
    async fn leave_something(&self, run: &RunId) {
        let (met, _) = unbounded_channel();
        let owner = Owner::new(run.clone(), SystemTime::UNIX_EPOCH);
        let queue = PubSubQueue::new(&self.connection, &self.made.tasks(), LEASE, None);
        let queue = queue.unwrap().owned(Ownership::new(owner, met));
        let left = queue.put(vec![Bytes::from_static(b"left behind")]).await;
        left.into_iter().collect::<Result<(), _>>().unwrap();
    }

    async fn purge(&self) {
        let given = RunNames::given(self.given()).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "the emulator's clock is this machine's"
        )]
        let now = SystemTime::now() + Duration::from_secs(1);
        self.admin.purge(&given, now).await.unwrap();
    }

    async fn remove(self) {
        let left = self.admin.delete_run(&self.made, &self.run).await;
        assert_eq!(left.failed, []);
    }
}

/// Waits until a pool is refused, or ends, because an older run has its names; returns which. The pool may run tasks
/// before it receives a message of the other run.
async fn gives_way(built: Result<PodPoolExecutor, BuildError>) -> RunId {
    let pool = match built {
        Err(BuildError::NamesInUse { by }) => return by,
        built => built.unwrap(),
    };
    let fails = async {
        loop {
            match pool.submit(echo(7)).await {
                Ok(n) => assert_eq!(n, 7),
                Err(error) => return error,
            }
        }
    };
    let error = within("the end of the younger", fails).await;
    assert_eq!(error.kind(), TaskErrorKind::PoolBroken, "{error}");
    assert!(error.message().contains("Admin::purge"), "{error}");
    let ended = within("the younger's shutdown", pool.shutdown()).await;
    nothing_is_left(pool.run_id()).await;
    match ended {
        Err(ShutdownError::NamesInUse { by }) => by,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn of_two_runs_on_given_names_the_older_goes_on() {
    let Some(pods) = pods() else { return };
    let (desk, given) = (Desk::open(&pods).await, Administered::make().await);
    let older = given.pool(&pods).await;
    let future = older.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let began = Instant::now();
    let by = gives_way(given.build(&pods).await).await;
    println!("the younger ended after {:?}", began.elapsed());
    assert_eq!(by, *older.run_id());
    let began = Instant::now();
    caller.let_go().await;
    assert_eq!(within("the older's task", future).await.unwrap(), 1);
    let took = began.elapsed();
    assert!(took < LEASE, "the older's last result came after {took:?}");
    let more = within("another task", older.submit(echo(4))).await;
    assert_eq!(more.unwrap(), 4);
    within("the older's shutdown", older.shutdown())
        .await
        .unwrap();
    nothing_is_left(older.run_id()).await;
    given.remove().await;
}

#[tokio::test]
async fn what_an_ended_run_left_on_given_names_is_reported_and_purged() {
    let Some(pods) = pods() else { return };
    let (given, ended) = (Administered::make().await, RunId::random());
    given.leave_something(&ended).await;
    assert_eq!(gives_way(given.build(&pods).await).await, ended);
    given.purge().await;
    let next = given.pool(&pods).await;
    let future = next.submit(echo(4));
    assert_eq!(within("a task of the next run", future).await.unwrap(), 4);
    within("the shutdown", next.shutdown()).await.unwrap();
    nothing_is_left(next.run_id()).await;
    given.remove().await;
}

#[tokio::test]
async fn runs_follow_each_other_on_given_names() {
    let Some(pods) = pods() else { return };
    let (desk, given) = (Desk::open(&pods).await, Administered::make().await);
    for name in 1..=3 {
        let pool = given.pool(&pods).await;
        // This task occupies the worker, so the tasks behind it are cancelled while they are in the subscription.
        let busy = pool.submit(call_at(desk.address(), name));
        let caller = desk.caller().await;
        let behind: Vec<_> = (0..5).map(|n| pool.submit(echo(n))).collect();
        let prints = pool.submit(print_and_fail(50));
        caller.let_go().await;
        // A worker sends lines every 250 ms, so the lines of a task may follow its end.
        let error = within("a task that prints", prints).await.unwrap_err();
        assert_eq!(error.kind(), TaskErrorKind::Failed, "{error}");
        within("a task", busy).await.unwrap();
        let cancel = pool.shutdown_with(ShutdownBehavior::CancelPending);
        within("the shutdown", cancel).await.unwrap();
        drop(behind);
        nothing_is_left(pool.run_id()).await;
    }
    given.remove().await;
}

#[tokio::test]
async fn two_runs_of_one_name_that_begin_together_share_nothing_in_one_namespace() {
    let Some(pods) = pods() else { return };
    let desk = Desk::open(&pods).await;
    let nightly = || pods.builder(1).run("nightly").build();
    let (ends, goes_on) = tokio::join!(nightly(), nightly());
    let (ends, goes_on) = (ends.unwrap(), goes_on.unwrap());
    assert_ne!(ends.run_id(), goes_on.run_id());
    let future = goes_on.submit(call_at(desk.address(), 1));
    let caller = desk.caller().await;
    let first = within("a task of the first run", ends.submit(echo(4))).await;
    assert_eq!(first.unwrap(), 4);
    let jobs = Cluster::connect(None).await.unwrap().jobs();
    for pool in [&ends, &goes_on] {
        let job = jobs.get(&job_name(pool.run_id(), 0)).await.unwrap();
        assert_eq!(job.metadata.labels.unwrap()[NAME_LABEL], "nightly");
    }
    within("the first shutdown", ends.shutdown()).await.unwrap();
    nothing_is_left(ends.run_id()).await;
    caller.let_go().await;
    assert_eq!(within("the second run's task", future).await.unwrap(), 1);
    let more = within("another task", goes_on.submit(echo(5))).await;
    assert_eq!(more.unwrap(), 5);
    within("the second shutdown", goes_on.shutdown())
        .await
        .unwrap();
    nothing_is_left(goes_on.run_id()).await;
}

/// Without control only a task can show a worker that its key is that of the run.
#[tokio::test]
async fn forged_messages_before_the_first_task_starve_no_worker_without_control() {
    let Some(pods) = pods() else { return };
    let given = Administered::make().await;
    let batch = Batch {
        run: given.run.clone(),
        epoch: 1,
        number: 0,
        alone: false,
        task_types: Vec::new(),
        count: 0,
    };
    let forged = batch.message(&[], &MacKey::Keyed([9; 32]));
    let queue = PubSubQueue::new(&given.connection, &given.made.tasks(), LEASE, None).unwrap();
    let put = queue.put(vec![forged; 500]).await;
    put.into_iter().collect::<Result<(), _>>().unwrap();
    let mut names = given.given();
    names.control = None;
    let pool = pods
        .builder(1)
        .pubsub(PubSubOptions::default().names(names))
        .build()
        .await
        .unwrap();
    let began = Instant::now();
    let first = within("the first task", pool.submit(echo(4))).await;
    assert_eq!(first.unwrap(), 4);
    println!("the first task ended after {:?}", began.elapsed());
    within("the shutdown", pool.shutdown()).await.unwrap();
    nothing_is_left(pool.run_id()).await;
    given.remove().await;
}
