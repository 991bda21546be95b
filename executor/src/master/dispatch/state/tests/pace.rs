//! Measurements for the sizes of windows.

use podpool_core::fleet::{Departure, End};

use super::*;
use crate::master::measured::{Measured, Pace};

const MS: Duration = Duration::from_millis(1);

impl Bed {
    fn measured(&mut self) -> Pace {
        let measured = Measured::new(3);
        self.state.report_measured(&measured);
        measured.pace()
    }
}

#[tokio::test(start_paused = true)]
async fn means_that_changed_are_written_once() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    let measured = Measured::new(3);
    bed.done(&[(0, 1)], 8 * MS);
    bed.state.report_measured(&measured);
    assert_eq!(measured.get(0), Some(8 * MS));
    assert_eq!(measured.get(1), None);
    measured.set(0, 1.0);
    bed.state.report_measured(&measured);
    assert_eq!(measured.get(0), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn work_counts_however_a_task_ended() {
    let mut bed = bed();
    bed.submit_many(&STUBBORN, 3);
    bed.batches();
    assert_eq!(bed.measured(), Pace::default());
    bed.done(&[(0, 1), (1, 1)], 8 * MS);
    bed.fail(2, 1, Cause::Failed);
    assert_eq!(bed.measured().worked, 19 * MS, "a failure took 3 ms");
}

/// Eight batches of four tasks, the first of which is 1 to 4.
fn eight_batches(settings: Settings) -> Bed {
    let mut bed = bed_with(settings);
    bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(0, 1)], Duration::ZERO);
    bed.submit_many(&PLAIN, 32);
    assert_eq!(bed.batches()[0], packed(&[(1, 1), (2, 1), (3, 1), (4, 1)]));
    bed
}

#[tokio::test(start_paused = true)]
async fn results_show_their_round_trip_without_their_work() {
    let mut bed = eight_batches(settings());
    bed.pass(100 * MS);
    bed.done(&[(1, 1), (2, 1)], 20 * MS);
    // Two tasks of 20 ms; the trip before, of none, weighs seven times as much.
    let first = bed.measured().trip;
    assert_eq!(first, Some(60 * MS / 8));
    bed.pass(1000 * MS);
    bed.done(&[(1, 1)], MS);
    assert_eq!(bed.measured().trip, first, "it had ended");
    bed.done(&[(3, 1)], MS);
    assert_eq!(bed.measured().trip, first, "its batch was measured before");
    bed.done(&[(5, 1)], MS);
    assert!(bed.measured().trip > first);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waited_for_its_worker_shows_no_round_trip() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.pass(1000 * MS);
    bed.hello();
    bed.pass(50 * MS);
    bed.done(&[(0, 1)], MS);
    assert_eq!(bed.measured().trip, None);
    bed.submit(&PLAIN);
    bed.batches();
    bed.pass(50 * MS);
    bed.done(&[(1, 1)], MS);
    assert_eq!(bed.measured().trip, Some(49 * MS));
}

#[tokio::test(start_paused = true)]
async fn queues_in_memory_have_no_round_trip() {
    let mut bed = eight_batches(Settings {
        remote: false,
        ..settings()
    });
    bed.pass(100 * MS);
    bed.done(&[(1, 1), (2, 1)], 20 * MS);
    assert_eq!(
        (bed.measured().trip, bed.measured().worked),
        (None, 40 * MS)
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_published_twice_shows_no_round_trip() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.pass(MS);
    bed.republish_all(bed.now);
    assert_eq!(bed.republished().len(), 1);
    bed.pass(100 * MS);
    bed.done(&[(0, 1)], MS);
    assert_eq!(bed.measured().trip, None);
}

#[tokio::test(start_paused = true)]
async fn slots_are_those_of_the_workers_that_are_there() {
    let mut bed = bed_with(Settings {
        slots: 6,
        workers: 3,
        ..settings()
    });
    assert_eq!(bed.measured().slots, 0);
    bed.hello();
    assert_eq!(bed.measured().slots, 2);
    bed.alive(2, 1, 0, Vec::new());
    assert_eq!(bed.measured().slots, 4, "its greeting was lost");
    bed.submit(&PLAIN);
    bed.batches();
    bed.unfit(2, 0, 1);
    assert_eq!(bed.measured().slots, 2, "its slots do not start");
    (3..9).for_each(|worker| bed.alive(worker, 1, 0, Vec::new()));
    assert_eq!(bed.measured().slots, 6, "no more than the settings allow");
    let departure = Departure {
        worker: "pod-1".into(),
        node: None,
        end: End::Lost,
        reason: "set by the test".to_owned(),
        at: None,
        running: Vec::new(),
    };
    let mut alone = self::bed();
    alone.hello();
    assert_eq!(alone.measured().slots, 2);
    alone.fleet(FleetEvent::Gone(departure));
    assert_eq!(alone.measured().slots, 0);
    alone.alive(1, 2, 0, Vec::new());
    assert_eq!(alone.measured().slots, 2, "a heartbeat brings it back");
}
