//! `map`: in order, lazily, and with an end that the caller chooses.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use podpool::{ShutdownBehavior, TaskError, TaskErrorKind};

use crate::bed::{Bed, goes_on};
use crate::run::{step_limit, within};
use crate::tasks;

/// Results come in the order of the inputs, whatever the order in which the tasks end.
pub async fn results_come_in_order(bed: Bed) {
    let pool = bed.pool(4).await;
    let times = (0..100).map(|n| (n, Duration::from_millis(n % 4)));
    let mut results = pool.map(times, |(n, time)| tasks::slow(n, time));
    for n in 0..100 {
        let result = within("the next", results.next()).await.unwrap();
        assert_eq!(result.unwrap(), n);
    }
    assert!(results.next().await.is_none());
    assert!(results.next().await.is_none(), "the end is the end");
}

/// The key of each pair is its call's, and comes with the result; of a failure it is in the error.
pub async fn keys_come_with_results(bed: Bed) {
    let pool = bed.pool(4).await;
    let pairs = (0..50).map(|n| (format!("k{n}"), n));
    let mut results = pool.map_keyed(pairs, tasks::echo);
    for n in 0..50 {
        let (key, result) = within("the next", results.next()).await.unwrap().unwrap();
        assert_eq!((&*key, result), (&*format!("k{n}"), n));
    }
    assert!(within("the end", results.next()).await.is_none());
    let pairs = [("a", 0), ("b", 1), ("c", 0)];
    let mut results = pool
        .map_keyed(pairs, tasks::flaky)
        .unordered()
        .return_exceptions();
    let mut seen = Vec::new();
    while let Some(result) = within("the next", results.next()).await {
        seen.push(match result {
            Ok((key, _)) => (key.to_string(), true),
            Err(error) => (error.key().unwrap_or_default().to_owned(), false),
        });
    }
    seen.sort();
    let all = [("a", true), ("b", false), ("c", true)];
    assert_eq!(seen, all.map(|(key, passed)| (key.to_owned(), passed)));
    assert_eq!(results.failures(), 1);
}

/// Many more inputs than a window.
pub async fn a_map_goes_far_beyond_its_window(bed: Bed) {
    let count = bed.many(50_000);
    let pool = bed.pool(2).await;
    let mut results = pool.map(0..count, tasks::echo);
    let mut sum = 0;
    while let Some(result) = within("the next", results.next()).await {
        sum += result.unwrap();
    }
    assert_eq!(sum, count * (count - 1) / 2);
}

/// No inputs: the end at once.
pub async fn an_empty_input_ends_at_once(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut results = pool.map(std::iter::empty(), tasks::echo);
    assert!(within("the end", results.next()).await.is_none());
}

/// Inputs without end.
pub async fn an_endless_input_works(bed: Bed) {
    let pool = bed.pool(2).await;
    let mut results = pool.map(0.., tasks::echo);
    for n in 0..200 {
        let result = within("the next", results.next()).await.unwrap();
        assert_eq!(result.unwrap(), n);
    }
    drop(results);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Nothing is taken before the first poll, and never more than the window beyond what was delivered.
pub async fn inputs_are_taken_lazily(bed: Bed) {
    let pool = bed.pool(2).await;
    let taken = Rc::new(Cell::new(0_u64));
    let count = taken.clone();
    let inputs = (0_u64..).inspect(move |_| count.set(count.get() + 1));
    let mut results = pool.map(inputs, tasks::echo).window(3);
    assert_eq!(taken.get(), 0, "inputs were taken before the first poll");
    for delivered in 1..=50 {
        within("the next", results.next()).await.unwrap().unwrap();
        assert!(
            taken.get() <= delivered + 3,
            "{} at {delivered}",
            taken.get()
        );
    }
}

/// The panic of an input goes to the caller, and what was submitted is cancelled.
pub async fn a_panicking_input_surfaces(bed: Bed) {
    let pool = bed.pool(1).await;
    let inputs = (0..10).inspect(|n| assert!(*n < 5, "input {n} is rotten"));
    let mut results = pool.map(inputs, tasks::echo).window(2);
    let mut seen = 0;
    let panic = loop {
        let next = AssertUnwindSafe(results.next()).catch_unwind();
        match within("the next", next).await {
            Ok(result) => assert_eq!(result.unwrap().unwrap(), seen),
            Err(panic) => break panic,
        }
        seen += 1;
    };
    let words = panic.downcast_ref::<String>().unwrap();
    assert!(words.contains("input 5 is rotten"), "{words}");
    drop(results);
    goes_on(&pool).await;
}

/// The panic of the function that makes the calls goes to the caller too.
pub async fn a_panicking_function_surfaces(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut results = pool.map(0..10, |n: u64| {
        assert!(n < 1, "no call for {n}");
        tasks::echo(n)
    });
    let panic = loop {
        let next = AssertUnwindSafe(results.next()).catch_unwind();
        if let Err(panic) = within("the next", next).await {
            break panic;
        }
    };
    assert!(
        panic
            .downcast_ref::<String>()
            .unwrap()
            .contains("no call for 1")
    );
}

/// An error comes at its position; after it comes the end.
pub async fn an_error_comes_at_its_position_and_ends_the_map(bed: Bed) {
    let pool = bed.pool(2).await;
    let mut results = pool.map(0..100, |n| tasks::flaky(if n == 7 { 9 } else { 0 }));
    for n in 0..7 {
        let result = within("a result", results.next()).await.unwrap();
        assert!(result.is_ok(), "{n}: {result:?}");
    }
    let error = within("the error", results.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::Failed);
    assert!(within("the end", results.next()).await.is_none());
    assert_eq!(results.failures(), 1);
}

/// An error cancels what runs behind it.
pub async fn an_error_cancels_the_rest(bed: Bed) {
    let (failing, holding) = (bed.gate(), bed.gate());
    let pool = bed.pool(bed.room_for(2)).await;
    let gates = [
        failing.address(),
        holding.address(),
        holding.address(),
        holding.address(),
    ];
    let mut results = pool.map(gates.into_iter().zip(0..), |(gate, n)| {
        tasks::hold_and_fail(gate, n)
    });
    let next = async {
        let error = results.next().await.unwrap().unwrap_err();
        assert!(error.message().contains("task 0"), "{error}");
        assert!(results.next().await.is_none());
    };
    // The first task fails only after another one runs: that running task must then be stopped.
    let arrive = async {
        let guest = holding.arrival().await;
        failing.pass(1).await;
        guest
    };
    let ((), guest) = within("the error", async { tokio::join!(next, arrive) }).await;
    guest.vanished().await;
}

/// Dropping the map cancels the rest too.
pub async fn dropping_the_map_cancels_the_rest(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let mut results = pool.map(0..100, |n| tasks::hold(gate.address(), n));
    let guests = tokio::select! {
        _ = results.next() => panic!("a result came past a closed gate"),
        guests = async { [gate.arrival().await, gate.arrival().await] } => guests,
    };
    drop(results);
    for guest in guests {
        guest.vanished().await;
    }
    // The gate is closed and the shutdown waits for all pending tasks, so it ends only if none of the hundred is left.
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Errors can be taken as results.
pub async fn errors_can_be_returned(bed: Bed) {
    let pool = bed.pool(2).await;
    let calls = pool.map(0..30, |n| tasks::flaky(if n % 3 == 0 { 9 } else { 0 }));
    let results = calls.return_exceptions().collect::<Vec<_>>();
    let results = within("all", results).await;
    assert_eq!(results.len(), 30);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n % 3 == 0, "{n}");
    }
}

/// So many errors are tolerated; the next one ends the map.
pub async fn failures_can_be_bounded(bed: Bed) {
    let pool = bed.pool(1).await;
    let fails = |n: &u32| n % 2 == 1;
    let mut results = pool
        .map(0..100, |n| tasks::flaky(if fails(&n) { 9 } else { 0 }))
        .max_failures(2);
    let mut errors = 0;
    let mut delivered = 0;
    while let Some(result) = within("the next", results.next()).await {
        errors += usize::from(result.is_err());
        delivered += 1;
    }
    assert_eq!((errors, delivered), (3, 6));
    assert_eq!(results.failures(), 3);
}

/// A share of errors is tolerated; the share is checked from the 20th result on.
pub async fn a_share_of_failures_can_be_bounded(bed: Bed) {
    let pool = bed.pool(1).await;
    let results = pool
        .map(0..40, |n| tasks::flaky(if n % 4 == 0 { 9 } else { 0 }))
        .max_failures_percent(30.0);
    let all: Vec<_> = within("all", results.collect()).await;
    assert_eq!(all.len(), 40, "a quarter is below 30 %");
    let results = pool
        .map(0..40, |_| tasks::flaky(9))
        .max_failures_percent(30.0);
    let all: Vec<_> = within("twenty", results.collect()).await;
    assert_eq!(all.len(), 20, "the share is judged at the 20th result");
}

/// Without order a result comes although an earlier task has not ended.
pub async fn without_order_the_finished_come_first(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(bed.room_for(2)).await;
    let mut results = pool
        .map(0..20_u32, |n| match n {
            0 => tasks::hold(gate.address(), n),
            // There is no socket at this path: the task does not wait. All calls of a map have one task type.
            _ => tasks::hold("nowhere".into(), n),
        })
        .unordered();
    let mut seen = Vec::new();
    for _ in 1..20 {
        seen.push(
            within("a quick one", results.next())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    assert!(!seen.contains(&0));
    gate.pass(1).await;
    assert_eq!(
        within("the slow one", results.next())
            .await
            .unwrap()
            .unwrap(),
        0
    );
    assert!(results.next().await.is_none());
    seen.sort_unstable();
    assert_eq!(seen, (1..20).collect::<Vec<_>>());
}

/// The timeout runs from the call of `map`, is reported once, and cancels the rest.
pub async fn the_timeout_cancels_the_rest(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    // After this a slot is ready, so the timeout of `soon` is not spent on its start.
    goes_on(&pool).await;
    let mut results = pool
        .map(0..5, |n| tasks::hold(gate.address(), n))
        .timeout(bed.soon());
    let (error, guest) = within("the timeout", async {
        tokio::join!(
            async { results.next().await.unwrap().unwrap_err() },
            gate.arrival()
        )
    })
    .await;
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    assert!(within("the end", results.next()).await.is_none());
    guest.vanished().await;
}

/// A timeout that is over before the first poll: it counts from the call.
pub async fn the_timeout_counts_from_the_call(bed: Bed) {
    let gate = bed.gate();
    let pool = bed.pool(1).await;
    let mut results = pool
        .map(0..5, |n| tasks::hold(gate.address(), n))
        .timeout(Duration::ZERO);
    let error = within("the timeout", results.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    within("the shutdown", pool.shutdown()).await.unwrap();
}

/// Inputs may come as a stream.
pub async fn a_stream_of_inputs_works(bed: Bed) {
    let pool = bed.pool(2).await;
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let inputs = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|n: u64| (n, receive))
    });
    let mut results = pool.map_stream(Box::pin(inputs), tasks::echo);
    for n in 0..20 {
        send.send(n).unwrap();
        let result = within("the next", results.next()).await.unwrap();
        assert_eq!(result.unwrap(), n);
    }
    drop(send);
    assert!(within("the end", results.next()).await.is_none());
}

/// A map owns a handle of the pool: the caller may drop its own.
pub async fn a_map_keeps_its_pool(bed: Bed) {
    let pool = bed.pool(2).await;
    let mut results = pool.map(0..50, tasks::echo);
    drop(pool);
    for n in 0..50 {
        assert_eq!(
            within("the next", results.next()).await.unwrap().unwrap(),
            n
        );
    }
}

/// On a pool that was shut down, the first result is `ShutDown`.
pub async fn after_a_shutdown_a_map_ends_with_that_error(bed: Bed) {
    let pool = bed.pool(1).await;
    within("the shutdown", pool.shutdown()).await.unwrap();
    let mut results = pool.map(0..3, tasks::echo);
    let error: TaskError = within("the error", results.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), TaskErrorKind::ShutDown);
    assert!(results.next().await.is_none());
}

/// With endless inputs and errors that are yielded, the first permanent error ends the map, and comes once.
pub async fn a_shutdown_ends_an_endless_map(bed: Bed) {
    let pool = bed.pool(1).await;
    let mut results = pool.map(0.., tasks::echo).return_exceptions();
    let ends = pool.clone();
    let mut permanent = 0;
    let mut shutdown = None;
    for n in 0.. {
        let Some(result) = within("the next", results.next()).await else {
            break;
        };
        if n == 20 {
            let ends = ends.clone();
            let behavior = ShutdownBehavior::CancelPending;
            shutdown = Some(tokio::spawn(
                async move { ends.shutdown_with(behavior).await },
            ));
        }
        match result {
            Ok(value) => assert_eq!(value, n),
            Err(error) if error.kind() == TaskErrorKind::ShutDown => permanent += 1,
            Err(error) => assert_eq!(error.kind(), TaskErrorKind::Cancelled),
        }
    }
    assert_eq!(permanent, 1);
    within("the shutdown", shutdown.unwrap())
        .await
        .unwrap()
        .unwrap();
}

/// A map that always has a result ready checks its timeout too.
pub async fn the_timeout_ends_an_endless_map(bed: Bed) {
    let pool = bed.pool(2).await;
    let mut results = pool.map(0.., tasks::echo).timeout(bed.soon());
    let over = Instant::now() + step_limit();
    let error = loop {
        match within("the next", results.next()).await.unwrap() {
            // Every wait is short here, so the limit of a step alone would not end a map that ignores its timeout.
            Ok(_) => assert!(Instant::now() < over, "it goes on"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), TaskErrorKind::TimedOut);
    assert!(within("the end", results.next()).await.is_none());
}
