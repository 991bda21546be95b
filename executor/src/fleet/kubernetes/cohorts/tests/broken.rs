//! When the fleet gives up, and when it does not.

use super::*;

#[test]
fn early_losses_do_not_break_the_fleet() {
    let mut world = World::running(1);
    for cohort in 0..10 {
        world.pod(cohort, 0, gone(End::Lost, true));
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
        world.pod(cohort + 1, 0, Verdict::Running);
    }
    assert_eq!((world.broken(), world.opens().len()), (None, 10));
}

#[test]
fn workers_that_exit_at_once_for_a_passing_reason_break_the_fleet_in_the_end() {
    let mut world = World::running(1);
    for cohort in 0..200 {
        // Exit code 75: the worker could not reach its queue, which may pass.
        let Verdict::Gone(mut gone) = gone(End::Lost, true) else {
            unreachable!("made above")
        };
        gone.by_itself = true;
        world.pod(cohort, 0, Verdict::Gone(gone));
        if world.broken().is_some() {
            break;
        }
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
        world.pod(cohort + 1, 0, Verdict::Running);
    }
    assert!((300_000..=400_000).contains(&world.broken().unwrap().0));
}

#[test]
fn a_missing_image_breaks_the_fleet_after_the_start_timeout() {
    let mut world = World::new(2);
    world.needed(10);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, stuck(Patience::Start));
    world.wait(10 * SECOND);
    world.pod(0, 1, stuck(Patience::Start));
    // The text of the reason changes, the kind of trouble does not.
    world.pod(0, 0, stuck(Patience::Start));
    world.wait(120 * SECOND);
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 61_000);
    assert!(reason.contains("pull image"), "{reason}");
    assert_eq!(world.opens().len(), 1);
}

#[test]
fn while_a_worker_runs_a_pod_that_cannot_start_causes_a_warning() {
    let mut world = World::running_of(1, 2);
    world.needed(10);
    world.wait(10 * SECOND);
    world.state.on_opened(world.now);
    world.pod(1, 0, stuck(Patience::Start));
    world.wait(600 * SECOND);
    assert_eq!(
        (world.broken(), world.notices_with("cannot pull")),
        (None, 1)
    );
    // The last running worker ends; the start timeout was over before.
    world.pod(0, 0, gone(End::Lost, false));
    assert!(world.broken().is_some());
}

#[test]
fn an_unschedulable_pod_has_the_longer_timeout_and_new_trouble_has_its_own() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, stuck(Patience::Schedule));
    world.wait(200 * SECOND);
    // A node was added; now the image is missing.
    world.pod(0, 0, Verdict::Starting);
    world.wait(290 * SECOND);
    assert_eq!(world.broken(), None);
    world.pod(0, 0, stuck(Patience::Start));
    world.wait(60 * SECOND);
    assert_eq!(world.broken().unwrap().0, 551_000);
}

#[test]
fn a_pod_that_is_never_set_up_breaks_the_fleet_and_a_gate_does_not() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, Verdict::Starting);
    world.wait(299 * SECOND);
    assert_eq!(world.broken(), None);
    world.wait(2 * SECOND);
    assert!(world.broken().unwrap().1.contains("kubectl describe pod"));

    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    let held = Verdict::Waiting {
        word: "held by a gate".to_owned(),
    };
    world.pod(0, 0, held);
    world.wait(86_400 * SECOND);
    assert_eq!(world.broken(), None);
}

#[test]
fn a_failed_mount_is_read_from_its_warning_alone() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, Verdict::Starting);
    let message = "MountVolume.SetUp failed for volume \"file-0\": secret \"db\" not found";
    world
        .state
        .on_pod_note(world.now, "c0-0", "FailedMount", message);
    // The status does not show the failure.
    world.pod(0, 0, Verdict::Starting);
    world.wait(60 * SECOND);
    assert!(world.broken().unwrap().1.contains("\"db\" not found"));
}

#[test]
fn three_early_ends_in_a_row_break_the_fleet() {
    let mut world = World::new(1);
    world.needed(1);
    for cohort in 0..3 {
        assert_eq!(world.broken(), None);
        world.wait(10 * SECOND);
        assert_eq!(world.opens().len(), cohort as usize + 1);
        world.state.on_opened(world.now);
        world.pod(cohort, 0, Verdict::Running);
        world.pod(cohort, 0, died());
    }
    let (_, reason) = world.broken().unwrap();
    assert!(reason.contains("no such library"), "{reason}");
    world.wait(600 * SECOND);
    assert_eq!(world.opens().len(), 3, "a broken fleet opens nothing");
}

#[test]
fn a_crash_with_a_running_task_is_no_early_end() {
    let mut world = World::running(1);
    for cohort in 0..6 {
        let Verdict::Gone(mut gone) = died() else {
            unreachable!("made above")
        };
        gone.running = super::super::super::termination_message::TerminationMessage::read(
            r#"{"running":[["a",1,2,1]]}"#,
        )
        .running;
        world.pod(cohort, 0, Verdict::Gone(gone));
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
        world.pod(cohort + 1, 0, Verdict::Running);
    }
    assert_eq!((world.broken(), world.opens().len()), (None, 6));
}

#[test]
fn a_worker_whose_exit_code_holds_for_all_breaks_the_fleet_at_once_with_its_message() {
    let mut world = World::new(2);
    world.needed(10);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, Verdict::Running);
    world.pod(0, 1, Verdict::Running);
    let now = (world.now - world.start).as_millis();
    world.pod(0, 0, fatal());
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, now);
    assert!(reason.contains("no such topic"), "{reason}");
    assert!(reason.contains("c0-0"), "{reason}");
}

#[test]
fn the_fleet_does_not_break_while_no_worker_is_wanted() {
    let mut world = World::new(1);
    world.state.on_denied(world.now, "no rights".to_owned());
    world.wait(600 * SECOND);
    assert_eq!(world.broken(), None);
    world.needed(1);
    assert!(world.broken().is_some());
}
