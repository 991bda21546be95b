//! The fleet's decisions when its Jobs are refused, held, deleted or past their deadline.

use super::*;

#[test]
fn a_job_without_pods_breaks_the_fleet_with_its_warning() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Going);
    let message = "pods \"x\" is forbidden: nobody knows why";
    world
        .state
        .on_job_note(world.now, 0, "FailedCreate", message);
    world.wait(30 * SECOND);
    world
        .state
        .on_job_note(world.now, 0, "FailedCreate", message);
    assert_eq!(world.broken(), None);
    world.wait(31 * SECOND);
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 61_000);
    assert!(reason.contains("nobody knows why"), "{reason}");
}

#[test]
fn no_timeout_applies_to_a_job_that_is_held() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.state.on_job(
        world.now,
        cohort(0, 1),
        &JobVerdict::Held("their Job is suspended".to_owned()),
    );
    world.wait(86_400 * SECOND);
    assert_eq!(world.broken(), None);
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Going);
    world.wait(299 * SECOND);
    assert_eq!(world.broken(), None);
    world.wait(SECOND);
    assert!(world.broken().unwrap().1.contains("no pods"));
}

#[test]
fn a_failed_job_waits_two_seconds_for_its_workers_message() {
    let refused = JobVerdict::Refused("Container worker failed with exit code 78".to_owned());
    let mut world = World::running(1);
    world.state.on_job(world.now, cohort(0, 1), &refused);
    world.note();
    assert_eq!(world.broken(), None);
    world.wait(SECOND);
    world.pod(0, 0, fatal());
    assert!(world.broken().unwrap().1.contains("no such topic"));

    let mut world = World::running(1);
    world.state.on_job(world.now, cohort(0, 1), &refused);
    world.wait(2 * SECOND);
    assert!(world.broken().unwrap().1.contains("exit code 78"));
}

#[test]
fn a_denied_job_breaks_the_fleet_at_once_and_an_unreachable_cluster_after_the_schedule_timeout() {
    let refusal = |lasting| OpenError {
        lasting,
        over: false,
        reason: "cannot create jobs".to_owned(),
    };
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_refused(world.now, 0, refusal(true));
    world.note();
    assert!(world.broken().unwrap().1.contains("cannot create jobs"));

    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    let mut tries = 0;
    while world.broken().is_none() {
        tries += 1;
        assert!(tries < 20, "the fleet does not break");
        let (cohort, _) = *world.opens().last().unwrap();
        world.state.on_refused(world.now, cohort, refusal(false));
        world.note();
        world.wait(61 * SECOND);
    }
    assert!((300_000..=400_000).contains(&world.broken().unwrap().0));
    assert!(tries >= 4, "{tries}");
}

#[test]
fn jobs_that_are_deleted_by_hand_end_the_run_and_an_ended_one_may_be_deleted() {
    let mut world = World::running(1);
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Going);
    world.state.on_jobs_listed(world.now, &HashSet::new());
    world.note();
    assert!(world.broken().unwrap().1.contains("deleted"));

    let mut world = World::running(1);
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Done);
    world.pod(0, 0, gone(End::Left, false));
    world.state.on_job_removed(world.now, 0);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    // Tasks have not ended, so another cohort is opened.
    assert_eq!(world.opens(), [(1, 1)]);
    let retired =
        |effect: &Effect| matches!(effect, Effect::Retire(retired) if *retired == cohort(0, 1));
    assert_eq!(world.log.iter().filter(|(_, e)| retired(e)).count(), 1);
}

#[test]
fn a_job_that_could_not_be_completed_is_not_one_deleted_by_hand() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Going);
    world.state.on_job_removed(world.now, 0);
    let refusal = OpenError {
        lasting: false,
        over: false,
        reason: "cannot create secrets".to_owned(),
    };
    world.state.on_refused(world.now, 0, refusal);
    // The event of the watch may arrive later.
    world
        .state
        .on_job(world.now, cohort(0, 1), &JobVerdict::Going);
    world.state.on_job_removed(world.now, 0);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    assert_eq!(world.opens(), [(0, 1), (1, 1)]);
}

#[test]
fn a_passed_deadline_is_reported_as_such() {
    let mut world = World::running(1);
    world.state.on_job(
        world.now,
        cohort(0, 1),
        &JobVerdict::Overdue("the deadline has passed".to_owned()),
    );
    world.note();
    assert!(world.broken().unwrap().1.contains("deadline"));
}
