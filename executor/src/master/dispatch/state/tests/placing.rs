//! Where and when attempts ran, as reports, events and records have it.

use std::time::SystemTime;

use podpool_core::fleet::End as Gone;
use podpool_core::ledger::PlaceRecord;
use podpool_core::outcome::{Exit, Ran};
use podpool_core::place::WorkerPlace;

use super::super::super::remembered::Memory;
use super::remembering::remembering;
use super::*;

/// By so much the clock of the worker's host is ahead.
const AHEAD: Duration = Duration::from_secs(90);
const SECOND: Duration = Duration::from_secs(1);

fn wall(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000 + seconds)
}

fn zone(zone: &str) -> WorkerPlace {
    WorkerPlace {
        pod: Some("pod-1".into()),
        zone: Some(zone.into()),
        spot: Some(true),
        image: None,
    }
}

impl Bed {
    fn placed(&mut self, worker: &str, place: WorkerPlace) {
        self.fleet(FleetEvent::Placed {
            worker: worker.into(),
            place,
        });
    }

    /// So many seconds have passed by the master's clock.
    fn clock(&mut self, seconds: u64) {
        self.state.set_wall(wall(seconds));
        self.worker_wall = (wall(seconds) + AHEAD).into();
    }

    /// What became known of places, in order.
    fn places(&mut self) -> Vec<String> {
        let events = std::mem::take(&mut self.events);
        let short = |kind| match kind {
            EventKind::WorkerCame { place, .. } => {
                let place = place.map_or_else(|| "nowhere".to_owned(), |it| it.to_string());
                Some(format!("came in {place}"))
            }
            EventKind::WorkerPlaced { worker, place } => Some(format!("{worker} is in {place}")),
            _ => None,
        };
        events.into_iter().filter_map(short).collect()
    }

    fn recorded_places(&self) -> Vec<PlaceRecord> {
        let places = self.recorded().iter().filter_map(|record| match record {
            Record::Place(it) => Some(it.clone()),
            _ => None,
        });
        places.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_joined_to_its_worker_whichever_comes_first() {
    for greets_first in [true, false] {
        let mut bed = remembering();
        if greets_first {
            bed.hello();
            assert_eq!(bed.places(), ["came in nowhere"]);
        }
        bed.placed("pod-1", zone("z1"));
        bed.placed("pod-1", zone("z1"));
        bed.placed("pod-2", zone("z2"));
        if greets_first {
            assert_eq!(bed.places(), ["pod-1 is in zone z1, spot"]);
        } else {
            assert_eq!(bed.places(), [""; 0], "it comes with the arrival");
            bed.hello();
            assert_eq!(bed.places(), ["came in zone z1, spot"]);
        }
        bed.submit(&PLAIN);
        bed.batches();
        bed.fail(0, 1, Cause::Failed);
        let error = bed.error(0);
        let report = &error.attempts()[0];
        assert_eq!((report.pod(), report.zone()), (Some("pod-1"), Some("z1")));
        let recorded = bed.recorded_places();
        assert_eq!(recorded.len(), 2, "what is known is not recorded again");
        assert_eq!(
            (&*recorded[0].worker, &*recorded[0].place),
            ("pod-1", &zone("z1"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_has_the_places_that_became_known_after_its_attempts() {
    let mut bed = bed();
    bed.hello();
    bed.submit(&STUBBORN);
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    assert_eq!(bed.cells[0].attempts()[0].zone(), None);
    bed.placed("pod-1", zone("z1"));
    for attempt in [2, 3] {
        bed.pass(SECOND * 20);
        bed.batches();
        bed.fail(0, attempt, Cause::Failed);
    }
    let error = bed.error(0);
    let zones: Vec<_> = error.attempts().iter().map(|it| it.zone()).collect();
    assert_eq!(zones, [Some("z1"); 3]);
}

#[tokio::test(start_paused = true)]
async fn the_times_of_a_result_are_by_the_masters_clock() {
    let mut bed = remembering();
    bed.clock(0);
    bed.hello();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.clock(5);
    bed.alive(1, 1, 0, Vec::new());
    // Its message is made at 10 s, and waits for 30 s: a queue refuses it.
    bed.clock(10);
    bed.state.set_wall(wall(40));
    bed.done(&[(0, 1)], SECOND * 3);
    let end = bed.end_of(0);
    assert_eq!((end.started, end.queued), (Some(wall(7)), Some(SECOND * 7)));
    // A failure states when it began, also where it was not sent at once.
    let mut failure = Failure::new(Cause::Failed, "no");
    failure.ran = Some(Box::new(Ran {
        started: Some(wall(4) + AHEAD),
        ..Ran::default()
    }));
    bed.fail_with(1, 1, &failure);
    let error = bed.error(1);
    let report = &error.attempts()[0];
    assert_eq!(
        (report.started, report.queued),
        (Some(wall(4)), Some(SECOND * 4))
    );
    assert_eq!(report.published(), Some(wall(0)));
}

#[tokio::test(start_paused = true)]
async fn what_did_not_begin_has_no_time() {
    let mut bed = bed();
    bed.clock(0);
    bed.hello();
    bed.submit(&PLAIN);
    bed.batches();
    bed.clock(9);
    bed.fail(0, 1, Cause::Rejected);
    let error = bed.error(0);
    let report = &error.attempts()[0];
    assert_eq!((report.started, report.queued), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_waited_for_its_next_master_shows_the_workers_clock() {
    let mut bed = bed_with(Settings {
        epoch: 2,
        ..settings()
    });
    bed.state.remember_run(bed.now, Memory::new(Vec::new()));
    bed.clock(0);
    bed.hello();
    bed.submit(&PLAIN);
    bed.batches();
    bed.clock(5);
    bed.state.set_wall(wall(4_000));
    // The bed's worker has heard of the first master alone.
    bed.alive(1, 1, 0, Vec::new());
    bed.done(&[(0, 1)], SECOND * 3);
    let end = bed.end_of(0);
    assert_eq!((end.started, end.queued), (Some(wall(2) + AHEAD), None));
}

#[tokio::test(start_paused = true)]
async fn a_lost_execution_shows_what_was_read_of_its_begin() {
    let mut bed = remembering();
    bed.clock(0);
    bed.hello();
    bed.placed("pod-1", zone("z1"));
    bed.submit(&PLAIN);
    bed.batches();
    bed.clock(6);
    bed.started(0, 1, 1);
    bed.clock(20);
    bed.goes(Gone::Lost, &[(0, 1)], &[]);
    let lost = |bed: &Bed| bed.cells[0].attempts()[0].clone();
    let report = lost(&bed);
    assert_eq!(
        (report.started, report.queued),
        (Some(wall(6)), Some(SECOND * 6))
    );
    assert_eq!(report.zone(), Some("z1"));
    // More is learned of its cause, and nothing of its times.
    bed.goes(Gone::Died(Exit::Signal(9)), &[], &[(0, 1)]);
    let amended = lost(&bed);
    assert_eq!(amended.exit, Some(Exit::Signal(9)));
    assert_eq!(
        (amended.started, amended.queued),
        (report.started, report.queued)
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_where_and_when_a_task_ran() {
    let mut bed = bed();
    bed.state.set_subscribed(true);
    bed.clock(0);
    bed.hello();
    bed.submit(&PLAIN);
    bed.batches();
    bed.clock(4);
    bed.done(&[(0, 1)], SECOND);
    let ended = bed.events.iter().find_map(|kind| match kind {
        EventKind::Ended {
            worker,
            started,
            queued,
            ..
        } => Some((worker.clone(), *started, *queued)),
        _ => None,
    });
    let pod = Some("pod-1".into());
    assert_eq!(ended, Some((pod, Some(wall(3)), Some(SECOND * 3))));
}
