//! Submitting: each task returns its own result, from whatever thread or runtime the task is submitted.

use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures_util::future::try_join_all;
use podpool::error::BuildError;
use podpool::{Attempt, PodPoolExecutor, TaskErrorKind, TaskState};

use crate::bed::{Bed, Need, built, goes_on};
use crate::block::block_on;
use crate::run::{step_limit, within};
use crate::tasks;

/// Sync and async bodies, with and without a value.
pub async fn a_call_gives_its_result(bed: Bed) {
    let pool = bed.pool(2).await;
    let sync = pool.submit(tasks::echo(7));
    let later = pool.submit(tasks::echo_async(8));
    let unit = pool.submit(tasks::nothing());
    assert_eq!(within("a sync task", sync).await.unwrap(), 7);
    assert_eq!(within("an async task", later).await.unwrap(), 8);
    within("a task without a value", unit).await.unwrap();
}

/// No result goes to another task's future.
pub async fn each_future_gets_its_own_result(bed: Bed) {
    let pool = bed.pool(3).await;
    let futures: Vec<_> = (0..500).map(|n| pool.submit(tasks::echo(n))).collect();
    let results = within("500 results", try_join_all(futures)).await.unwrap();
    assert_eq!(results, (0..500).collect::<Vec<_>>());
}

/// Several MiB in and out; a tenth of one where the queue has faults.
pub async fn a_large_argument_comes_back_whole(bed: Bed) {
    let pool = bed.pool(1).await;
    let size = bed.bytes(5 << 20);
    let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let result = within("the bytes", pool.submit(tasks::reverse(bytes))).await;
    assert!(
        result.unwrap() == reversed,
        "the bytes changed on their way"
    );
}

/// Without any runtime on the submitting thread.
pub async fn submitting_works_outside_any_runtime(bed: Bed) {
    let pool = bed.pool(1).await;
    let (send, receive) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let future = pool.submit(tasks::echo(5));
        // The receiver is gone where the row has reached its limit.
        send.send(block_on("a result", step_limit(), future)).ok();
    });
    let result = within("a thread without a runtime", receive).await.unwrap();
    assert_eq!(result.unwrap(), 5);
}

/// The pool's own thread does the work, so a runtime that is blocked holds nothing up.
pub async fn submitting_works_inside_a_blocked_runtime(bed: Bed) {
    let pool = bed.pool(1).await;
    let (send, receive) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let result = runtime.block_on(async {
            let future = pool.submit(tasks::echo_async(6));
            let (done, told) = channel();
            future.on_done(move |_| done.send(()).unwrap());
            // This blocks the only thread of the runtime until the task has ended.
            told.recv_timeout(step_limit()).unwrap();
            future.await
        });
        send.send(result).ok();
    });
    let result = within("a thread with a blocked runtime", receive)
        .await
        .unwrap();
    assert_eq!(result.unwrap(), 6);
}

/// Eight threads, one pool: ids are unique and dense, results are right.
pub async fn many_threads_submit_at_once(bed: Bed) {
    const THREADS: u64 = 8;
    let each = bed.many(1_000);
    let pool = bed.pool(2).await;
    let submitters = (0..THREADS).map(|thread| {
        let pool = pool.clone();
        thread::spawn(move || {
            let numbers = (0..each).map(|n| thread * each + n);
            numbers
                .map(|n| (n, pool.submit(tasks::echo(n))))
                .collect::<Vec<_>>()
        })
    });
    let submitters: Vec<_> = submitters.collect();
    let mut ids = BTreeSet::new();
    for submitter in submitters {
        for (n, future) in submitter.join().unwrap() {
            assert!(ids.insert(future.id().0), "two tasks are {}", future.id());
            assert_eq!(within("a result", future).await.unwrap(), n);
        }
    }
    assert_eq!(ids, (0..THREADS * each).collect());
}

/// Many more tasks than any window or limit of tasks that are out.
pub async fn a_hundred_thousand_tasks(bed: Bed) {
    let count = bed.many(100_000);
    let pool = bed.pool(2).await;
    let futures: Vec<_> = (0..count).map(|n| pool.submit(tasks::echo(n))).collect();
    for (n, future) in futures.into_iter().enumerate() {
        assert_eq!(within("a result", future).await.unwrap(), n as u64);
    }
}

/// Waiting tasks are published by priority, then by age.
pub async fn higher_priorities_go_first(bed: Bed) {
    let gate = bed.gate();
    let journal = bed.journal();
    let pool = bed.pool(1).await;
    let holder = pool.submit(tasks::hold(gate.address(), 0));
    let guest = gate.arrival().await;
    let submit = |line: String, priority| {
        let call = tasks::write_line(journal.address(), line).priority(priority);
        pool.submit(call)
    };
    let mut futures: Vec<_> = (0..40).map(|n| submit(format!("low {n}"), -1)).collect();
    futures.extend((0..40).map(|n| submit(format!("high {n}"), 3)));
    guest.let_go();
    within("the holder", holder).await.unwrap();
    within("all lines", try_join_all(futures)).await.unwrap();
    let lines = journal.lines();
    for word in ["low", "high"] {
        let of_one: Vec<_> = lines.iter().filter(|line| line.starts_with(word)).collect();
        let in_order: Vec<_> = (0..40).map(|n| format!("{word} {n}")).collect();
        assert!(of_one.into_iter().eq(&in_order), "not by age: {lines:?}");
    }
    let last_high = lines.iter().position(|line| line == "high 39").unwrap();
    let lows = last_high + 1 - 40;
    // Tasks of low priority that were published before the first one of high priority came: 4 × slots of an unmeasured
    // type, and as many again, for the order of submits and publications is a race.
    assert!(lows <= 8, "{lows} of low priority went first: {lines:?}");
}

/// Pending, running, done; and the attempt while it runs.
pub async fn a_future_reports_its_state(bed: Bed) {
    let gate = bed.gate();
    let (pool, mut news) = bed.pool_with_news(1).await;
    let first = pool.submit(tasks::hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let second = pool.submit(tasks::hold(gate.address(), 2));
    let running = TaskState::Running {
        attempt: Attempt::FIRST,
    };
    // The worker's `Started` may arrive after the task is at the gate, so the state is awaited.
    let told = || first.state() == running;
    news.until("the state to be running", told).await;
    assert_eq!(second.state(), TaskState::Pending);
    assert!(!first.is_done());
    guest.let_go();
    let handle = first.handle();
    assert_eq!(within("the first", first).await.unwrap(), 1);
    assert_eq!(handle.state(), TaskState::Done);
    gate.pass(1).await;
    assert_eq!(within("the second", second).await.unwrap(), 2);
}

/// Run, number, attempt, key, worker; a deadline where there is a timeout.
pub async fn a_task_sees_its_context(bed: Bed) {
    let pool = built(bed.builder(1).run("context")).await;
    assert_eq!(pool.run(), Some("context"));
    let run = pool.run_id().to_string();
    assert_eq!(pool.slots(), 1);
    let plain = pool.submit(tasks::look_around());
    let call = tasks::look_around()
        .key("BTC")
        .timeout(Duration::from_secs(60));
    let named = pool.submit(call);
    let (plain_id, named_id) = (plain.id().0, named.id().0);
    let mut plain = within("the plain call", plain).await.unwrap();
    let mut named = within("the named call", named).await.unwrap();
    if !bed.has(Need::Order) {
        // A batch that the queue delayed may arrive with a lease that is lost already: then the token of its task is
        // cancelled from the start.
        (plain.cancelled, named.cancelled) = (false, false);
    }
    let expected = tasks::Seen {
        run,
        task: plain_id,
        attempt: 1,
        key: None,
        worker: plain.worker.clone(),
        deadline: false,
        cancelled: false,
    };
    assert_eq!(plain, expected);
    assert!(bed.is_worker(&plain.worker), "{}", plain.worker);
    let expected = tasks::Seen {
        task: named_id,
        key: Some("BTC".to_owned()),
        deadline: true,
        ..expected
    };
    assert_eq!(named, expected);
}

/// Work runs side by side, as far as there are slots.
pub async fn slots_run_side_by_side(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(4)).await;
    let futures: Vec<_> = (0..4)
        .map(|n| pool.submit(tasks::block(gate.address(), n)))
        .collect();
    let mut guests = Vec::new();
    for _ in 0..4 {
        guests.push(gate.arrival().await);
    }
    let names: BTreeSet<_> = guests.iter().map(|guest| guest.name).collect();
    assert_eq!(names, (0..4).collect());
    drop(gate);
    drop(guests);
    within("all four", try_join_all(futures)).await.unwrap();
}

/// A pool without workers is refused when it is built.
pub async fn zero_workers_are_refused(bed: Bed) {
    let refused = bed.builder(0).build().await;
    assert!(
        matches!(refused, Err(BuildError::ZeroWorkers)),
        "{refused:?}"
    );
}

/// A back-end that was not compiled in is named with its feature.
pub async fn a_missing_back_end_names_its_feature(bed: Bed) {
    let builder = bed.builder(1).backend(podpool::Backend::Kubernetes);
    let error = builder.build().await.unwrap_err();
    assert!(
        error.to_string().contains("features = [\"kubernetes\"]"),
        "{error}"
    );
}

/// A bad run name is refused, and the setting is named.
pub async fn a_bad_run_name_is_refused(bed: Bed) {
    let error = bed.builder(1).run("Not a name!").build().await.unwrap_err();
    assert!(error.to_string().starts_with("run cannot be"), "{error}");
}

/// Two pools of one program do not disturb each other.
pub async fn two_pools_work_side_by_side(bed: Bed) {
    let (one, two) = (bed.pool(1).await, bed.pool(1).await);
    let futures = (0..100).map(|n| [one.submit(tasks::echo(n)), two.submit(tasks::echo(n + 1))]);
    let futures: Vec<_> = futures.flatten().collect();
    let results = within("both pools", try_join_all(futures)).await.unwrap();
    assert_eq!(results.iter().sum::<u64>(), 100 * 100);
    within("the first pool", one.shutdown()).await.unwrap();
    let late = one.submit(tasks::echo(1)).await.unwrap_err();
    assert_eq!(late.kind(), TaskErrorKind::ShutDown);
    assert_eq!(
        within("the other pool", two.submit(tasks::echo(2)))
            .await
            .unwrap(),
        2
    );
}

/// A pool can be shared by clones and sent to threads.
pub async fn clones_are_one_pool(bed: Bed) {
    let pool = bed.pool(1).await;
    let clone: PodPoolExecutor = pool.clone();
    let first = pool.submit(tasks::echo(1)).id().0;
    let second = clone.submit(tasks::echo(2)).id().0;
    assert_eq!((first, second), (0, 1));
    drop(pool);
    assert_eq!(
        within("the clone", clone.submit(tasks::echo(3)))
            .await
            .unwrap(),
        3
    );
}

/// A result or an argument whose nesting would overflow the stack is an error of its task, and no other task is
/// affected.
pub async fn values_nested_too_deep_are_rejected(bed: Bed) {
    let pool = bed.pool(1).await;
    let deep = within("a deep result", pool.submit(tasks::nest_deep(500))).await;
    assert_eq!(deep.unwrap().depth(), 500);
    let back = pool.submit(tasks::depth_of(tasks::Nested::new(500)));
    assert_eq!(within("a deep argument", back).await.unwrap(), 500);
    // The bound on the stack is 1 MiB: both depths are far above it, the second by any size of a frame.
    for depth in [20_000, 300_000] {
        let grown = within("the result", pool.submit(tasks::nest_deep(depth))).await;
        let taken = pool.submit(tasks::depth_of(tasks::Nested::new(depth)));
        let taken = within("the argument", taken).await;
        for error in [grown.map(drop).unwrap_err(), taken.map(drop).unwrap_err()] {
            assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
            assert!(error.message().contains("nested so deep"), "{error}");
        }
    }
    goes_on(&pool).await;
}
