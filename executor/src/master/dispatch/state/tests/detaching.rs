//! A master leaves, and its run goes on.

use podpool_core::envelope::RunState;

use super::*;

impl Bed {
    fn detaches(&mut self) {
        self.state.shut_down(ShutdownBehavior::WaitForTasks);
        self.state.detach();
        self.concludes();
    }

    fn concludes(&mut self) {
        self.state.conclude(self.now);
        self.apply();
    }

    fn is_left(&self) -> bool {
        self.orders.contains(&FleetOrder::Detach)
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_published_before_the_master_leaves() {
    let mut bed = bed();
    // More than may be out before one is measured.
    bed.submit_many(&PLAIN, 4 * SLOTS + 3);
    assert_eq!(bed.batches().len(), 4 * SLOTS);
    bed.detaches();
    assert_eq!(bed.published.len(), 3, "the gates are open");
    assert!(!bed.is_left(), "the queue does not have them yet");
    bed.messages();
    bed.concludes();
    assert!(bed.is_left());
    let last = bed.controls.last().unwrap();
    assert_eq!(
        (last.state, last.ended_below),
        (RunState::Detached, TaskId(0))
    );
    assert_eq!(bed.error(0).kind(), TaskErrorKind::ShutDown);
    let sent = bed.controls.len();
    bed.pass(HEARTBEAT * 3);
    bed.concludes();
    assert_eq!(bed.controls.len(), sent, "no message says that they ended");
    assert!(!bed.orders.contains(&FleetOrder::End));
    bed.fleet(FleetEvent::Ended {
        leftovers: Vec::new(),
    });
    assert!(bed.state.is_over());
    assert_eq!(bed.state.life().outcome(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_nothing_left_ends() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.done(&[(0, 1)], Duration::from_millis(1));
    bed.detaches();
    assert!(!bed.is_left());
    assert!(bed.orders.contains(&FleetOrder::End));
}

#[tokio::test(start_paused = true)]
async fn a_task_between_two_attempts_is_left_to_the_next_master() {
    let mut bed = bed();
    bed.submit(&STUBBORN);
    bed.batches();
    bed.fail(0, 1, Cause::Failed);
    bed.detaches();
    assert!(bed.is_left(), "its delay is not waited for");
    assert_eq!(bed.error(0).attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_interrupts_a_detachment_ends_the_run() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    let sent = bed.sent();
    bed.detaches();
    bed.shut_down(ShutdownBehavior::Abort);
    for (batch, _) in sent {
        bed.on_stored(bed.now, batch);
    }
    bed.concludes();
    assert!(!bed.is_left());
    assert!(bed.orders.contains(&FleetOrder::Stop));
}

#[tokio::test(start_paused = true)]
async fn a_fleet_without_workers_is_the_error_of_a_detachment() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.detaches();
    let leftovers = vec!["no worker runs or starts".to_owned()];
    bed.fleet(FleetEvent::Ended { leftovers });
    let error = bed.state.life().outcome().unwrap_err();
    assert!(
        error.to_string().contains("no worker runs or starts"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_superseded_master_leaves_workers_and_fleet_alone() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.state.supersede(2);
    bed.concludes();
    let sent = bed.controls.len();
    bed.state.shut_down(ShutdownBehavior::Abort);
    bed.pass(HEARTBEAT * 3);
    bed.concludes();
    assert_eq!(
        bed.controls.len(),
        sent,
        "its tasks are the other master's, and have not ended"
    );
    assert_eq!(bed.orders.last(), Some(&FleetOrder::Abandon));
}
