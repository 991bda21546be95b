//! The cost of a backlog: sixteen times as many tasks take about sixteen times the work, in whatever order they are
//! submitted and cancelled.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// Tasks of the smaller run.
const SOME: u64 = 1_000;
/// How many times as many tasks the larger run has.
const TIMES: u64 = 16;
/// Most of the larger run's work over the smaller one's: 16 is linear, 256 quadratic. What lies between leaves room for
/// caches that are too small, and for other programs that use them.
const MOST: f64 = 80.0;

/// Processor time of this thread. Other programs and tests do not count into it.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// How often a comparison is made until one is below [`MOST`]. A machine whose caches others use fails one now and
/// then; what is quadratic fails each.
const TRIES: u32 = 5;

/// Prepares and then measures with `SOME` and [`TIMES`] as many, the better of two, and compares.
fn is_linear<T>(what: &str, prepare: impl Fn(u64) -> T, work: impl Fn(&mut T, u64)) {
    let cost = |n: u64| {
        let once = || {
            let mut prepared = prepare(n);
            let before = spent();
            work(&mut prepared, n);
            spent() - before
        };
        (0..2).map(|_| once()).min().unwrap().as_secs_f64()
    };
    let compare = || {
        let (some, more) = (cost(SOME), cost(TIMES * SOME));
        let times = more / some;
        println!("{what}: {times:.1}, {some:.4} s and {more:.4} s");
        times
    };
    assert!(
        (0..TRIES).any(|_| compare() < MOST),
        "{what}: {TIMES} times as many cost at least {MOST} times as much, {TRIES} times in a row"
    );
}

/// So many tasks wait, of two types in turn.
fn alternating(n: u64) -> Bed {
    let mut bed = bed();
    for number in 0..n {
        bed.submit([&PLAIN, &STUBBORN][number as usize % 2]);
    }
    bed
}

/// All of `n` numbers, in an order that is neither ascending nor descending.
fn scattered(n: u64) -> impl Iterator<Item = u64> {
    // A prime that does not divide n: each number comes once.
    (0..n).map(move |k| k * 7_919 % n)
}

fn cancel_all(bed: &mut Bed, order: impl Iterator<Item = u64>) {
    for number in order {
        assert_ne!(bed.cancel(TaskId(number)), CancelOutcome::AlreadyDone);
    }
    bed.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn cancelling_waiting_tasks_is_linear_in_every_order() {
    is_linear("newest first", alternating, |bed, n| {
        cancel_all(bed, (0..n).rev())
    });
    is_linear("oldest first", alternating, |bed, n| cancel_all(bed, 0..n));
    is_linear("scattered", alternating, |bed, n| {
        cancel_all(bed, scattered(n))
    });
    let one_type = |n| {
        let mut bed = bed();
        bed.submit_many(&PLAIN, n as usize);
        bed
    };
    is_linear("one type, scattered", one_type, |bed, n| {
        cancel_all(bed, scattered(n))
    });
}

#[tokio::test(start_paused = true)]
async fn cancelling_suspects_and_retries_is_linear() {
    let failed = |n: u64, suspect: bool| {
        let mut bed = bed();
        bed.submit_many(&STUBBORN, n as usize);
        for number in 0..n {
            // As after a failure whose delay is over.
            let outbox = bed.state.classes.outbox(ClassId::DEFAULT).unwrap();
            outbox.remove(TaskId(number), 0, STUBBORN.index.get().copied().unwrap());
            let entry = bed.state.table.get_mut(TaskId(number)).unwrap();
            entry.phase = Phase::Delayed;
            entry.alone = suspect;
            bed.state.publish_again(TaskId(number));
        }
        assert_eq!(bed.state.waiting(), n as usize);
        bed
    };
    for (what, suspect) in [("suspects", true), ("retries", false)] {
        is_linear(
            what,
            |n| failed(n, suspect),
            |bed, n| cancel_all(bed, (0..n).rev()),
        );
        is_linear(
            what,
            |n| failed(n, suspect),
            |bed, n| cancel_all(bed, scattered(n)),
        );
    }
}

fn with_priority(priority: i32) -> Option<CallOptions> {
    let mut options = CallOptions::default();
    options.priority = priority;
    Some(options)
}

/// So many tasks wait, each with a priority of its own; the type was measured.
fn each_its_priority(n: u64) -> Bed {
    let mut bed = bed();
    let first = bed.submit(&PLAIN);
    assert_eq!(bed.batches(), [packed(&[(first, 1)])]);
    bed.done(&[(first, 1)], Duration::from_micros(1));
    for number in 0..n {
        bed.submit_with(&PLAIN, 1, with_priority(number as i32));
    }
    bed
}

#[tokio::test(start_paused = true)]
async fn tasks_of_many_priorities_travel_together_and_in_order() {
    let mut bed = each_its_priority(800);
    let batches = bed.batches();
    let order: Vec<_> = batches.iter().flat_map(|batch| &batch.tasks).collect();
    let count = order.len();
    let expected: Vec<_> = (1..=800).rev().map(|n| (n, 1)).collect();
    // The last small batches wait until less is out.
    assert!(count > 700, "only {count} are out");
    assert!(
        order.into_iter().eq(&expected[..count]),
        "the highest priority first"
    );
    assert_eq!(batches[0].tasks.len(), 100, "an even share of what waits");
    assert!(batches.len() < 80, "{} batches", batches.len());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_many_priorities_ends_where_another_type_goes_first() {
    let mut bed = each_its_priority(0);
    for (spec, priority) in [
        (&PLAIN, 5),
        (&PLAIN, 3),
        (&STUBBORN, 3),
        (&PLAIN, 2),
        (&STUBBORN, 1),
    ] {
        bed.submit_with(spec, 1, with_priority(priority));
    }
    for _ in 0..100 {
        bed.submit_with(&PLAIN, 1, with_priority(-1));
    }
    let batches: Vec<_> = bed.batches();
    assert_eq!(batches[0], packed(&[(1, 1), (2, 1)]));
    assert_eq!(batches[1], packed(&[(3, 1)]));
    assert_eq!(batches[2], packed(&[(4, 1)]));
    assert_eq!(batches[3], packed(&[(5, 1)]));
}

#[tokio::test(start_paused = true)]
async fn publishing_is_linear_in_the_number_of_priorities() {
    is_linear("a measured type", each_its_priority, |bed, n| {
        let batches = bed.batches();
        let published: usize = batches.iter().map(|batch| batch.tasks.len()).sum();
        assert!(published as u64 > n / 2, "only {published} are out");
    });
    let unmeasured = |n: u64| {
        let mut bed = bed();
        for number in 0..n {
            bed.submit_with(&PLAIN, 1, with_priority(number as i32));
        }
        bed
    };
    is_linear(
        "a type that waits for its first measurement",
        unmeasured,
        |bed, n| {
            bed.batches();
            (0..n).for_each(|_| assert!(bed.sent().is_empty()));
        },
    );
}

#[tokio::test(start_paused = true)]
async fn revoking_published_tasks_is_one_range_and_linear_in_every_order() {
    let out = |n: u64| {
        let mut bed = bed_with(Settings {
            // So many that each batch is one task and all of them are out.
            slots: 4096,
            batches_out: usize::MAX,
            ..settings()
        });
        let first = bed.submit(&PLAIN);
        bed.batches();
        bed.done(&[(first, 1)], Duration::from_micros(1));
        bed.submit_many(&PLAIN, n as usize);
        assert!(!bed.batches().is_empty());
        bed
    };
    let revoke = |bed: &mut Bed, order: &mut dyn Iterator<Item = u64>| {
        for number in order {
            assert_eq!(bed.cancel(TaskId(number + 1)), CancelOutcome::Signalled);
        }
    };
    is_linear("newest first", out, |bed, n| {
        revoke(bed, &mut (0..n).rev());
        assert_eq!(bed.revoked(), [(1, n, 1)]);
    });
    is_linear("scattered", out, |bed, n| {
        revoke(bed, &mut scattered(n));
        assert_eq!(bed.revoked(), [(1, n, 1)]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_revoked_task_that_ran_is_named_no_longer() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 8);
    bed.batches();
    for task in 1..5 {
        assert_eq!(bed.cancel(TaskId(task)), CancelOutcome::Signalled);
    }
    assert_eq!(bed.revoked(), [(1, 4, 1)]);
    bed.told();
    bed.done(&[(2, 1)], Duration::from_micros(1));
    bed.fail(3, 1, Cause::Failed);
    bed.fail(4, 1, Cause::Interrupted);
    assert!(bed.told().is_some());
    assert_eq!(
        bed.revoked(),
        [(1, 1, 1), (4, 4, 1)],
        "one that was interrupted comes back"
    );
    assert_eq!(bed.state.left_out().0, 3);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_task_that_no_worker_can_have_is_named_no_longer() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.hello();
    bed.cancel(TaskId(0));
    bed.cancel(TaskId(1));
    let pass = |bed: &mut Bed, leases: u32, empty_pulls: u32, held: &[TaskRun]| {
        for _ in 0..3 * leases {
            bed.pass(LEASE / 3);
            bed.alive(1, 1, empty_pulls, held.to_vec());
        }
    };
    pass(&mut bed, 8, 0, &[]);
    assert_eq!(bed.revoked(), [(0, 1, 1)], "no worker has pulled in vain");
    pass(&mut bed, 2, 1, &[run(1, 1, 1)]);
    assert_eq!(bed.revoked(), [(0, 1, 1)], "a worker holds one");
    assert!(bed.state.work_deadline().is_some_and(|at| at > bed.now));
    pass(&mut bed, 2, 1, &[]);
    assert_eq!(bed.revoked(), []);
    bed.pass(LEASE);
    assert_eq!(
        bed.state.work_deadline(),
        None,
        "there is nothing to look for"
    );
}
