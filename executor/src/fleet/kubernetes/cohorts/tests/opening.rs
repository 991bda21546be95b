//! When cohorts are opened, and how large.

use super::*;

#[test]
fn the_first_cohort_waits_for_further_submissions() {
    let mut world = World::new(10);
    for unfinished in 1..=7 {
        world.needed(unfinished);
        world.wait(Duration::from_millis(20));
    }
    assert_eq!(world.opens(), []);
    world.wait(SECOND);
    // Seven tasks, two slots each.
    assert_eq!(world.opens(), [(0, 4)]);
    assert_eq!(world.last_open(), 200);
    assert_eq!(World::new(10).state.deadline(Instant::now()), None);
}

/// The run may have an earlier master's Jobs.
#[test]
fn the_first_cohort_waits_for_the_list_of_jobs() {
    let mut world = World::unlisted(10);
    world.needed(8);
    world.wait(2 * SECOND);
    assert_eq!(world.opens(), []);
    world
        .state
        .on_job(world.now, cohort(3, 2), &JobVerdict::Going);
    world.state.on_jobs_listed(world.now, &HashSet::from([3]));
    world.note();
    // Two of the four workers are there.
    assert_eq!(world.opens(), [(4, 2)]);
}

/// A cluster that lists nothing refuses a cohort too, and the refusals count.
#[test]
fn the_first_cohort_does_not_wait_for_ever() {
    let mut world = World::unlisted(10);
    world.needed(8);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(0, 4)]);
    assert_eq!(world.last_open(), 5_000);
}

#[test]
fn no_more_than_max_workers_are_requested() {
    let mut world = World::new(3);
    world.needed(1_000_000);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(0, 3)]);
}

#[test]
fn more_work_opens_another_cohort_no_sooner_than_five_seconds_later() {
    let mut world = World::new(10);
    world.needed(2);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.needed(12);
    world.wait(SECOND);
    assert_eq!(world.opens(), [(0, 1)]);
    world.wait(4 * SECOND);
    assert_eq!(world.opens(), [(0, 1), (1, 5)]);
    assert_eq!(world.last_open(), 5_200);
}

#[test]
fn losses_are_gathered_into_one_top_up() {
    let mut world = World::running(5);
    world.wait(60 * SECOND);
    let at = (world.now - world.start).as_millis();
    world.pod(0, 1, gone(End::Lost, false));
    world.wait(SECOND / 2);
    world.pod(0, 2, Verdict::Leaving);
    world.pod(0, 3, Verdict::Silent);
    world.wait(20 * SECOND);
    assert_eq!(world.opens(), [(1, 3)]);
    assert_eq!(world.last_open(), at + 1_000);
    assert_eq!(world.departures(), [("c0-1".to_owned(), End::Lost)]);
}

#[test]
fn every_kind_of_loss_waits_for_others() {
    for loss in [
        Verdict::Silent,
        Verdict::Leaving,
        gone(End::Lost, false),
        died(),
    ] {
        let mut world = World::running(2);
        world.wait(60 * SECOND);
        let at = (world.now - world.start).as_millis();
        world.pod(0, 0, loss);
        world.wait(5 * SECOND);
        assert_eq!(world.last_open(), at + 1_000);
    }
}

#[test]
fn top_ups_are_sized_by_the_unended_tasks() {
    let mut world = World::running(10);
    world.wait(60 * SECOND);
    world.needed(5);
    for index in 0..9 {
        world.pod(0, index, gone(End::Lost, false));
    }
    world.wait(10 * SECOND);
    // Three workers for five tasks, and one of the three still runs.
    assert_eq!(world.opens(), [(1, 2)]);
    world.needed(0);
    world.state.on_opened(world.now);
    world.pod(1, 0, gone(End::Lost, false));
    world.wait(600 * SECOND);
    assert_eq!(world.opens(), [(1, 2)]);
}

#[test]
fn a_refused_cohort_beside_a_running_one_causes_a_warning_and_a_pause() {
    let mut world = World::running_of(1, 2);
    world.needed(10);
    world.wait(10 * SECOND);
    world.state.on_opened(world.now);
    world.pod(1, 0, fatal());
    assert_eq!(
        (world.broken(), world.notices_with("no such topic")),
        (None, 1)
    );
    world.wait(59 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    world.wait(2 * SECOND);
    assert_eq!(world.opens(), [(1, 1), (2, 1)]);
}

#[test]
fn cohorts_of_an_earlier_master_are_adopted() {
    let mut world = World::new(4);
    world
        .state
        .on_job(world.now, cohort(2, 3), &JobVerdict::Going);
    world.named("old", 2, 0, Verdict::Running);
    world.needed(100);
    world.wait(SECOND);
    assert_eq!(world.opens(), [(3, 1)]);
}

/// The pods of workers that left may be gone, and are no workers that are still to come.
#[test]
fn workers_of_an_earlier_master_that_have_left_are_replaced() {
    let mut world = World::unlisted(4);
    let (now, old) = (world.now, cohort(2, 3));
    world.state.on_completed(now, old, [0, 2].into_iter());
    world.state.on_job(now, old, &JobVerdict::Going);
    world.state.on_jobs_listed(now, &HashSet::from([2]));
    world.needed(100);
    world.wait(SECOND);
    assert_eq!(world.opens(), [(3, 3)]);
}

/// The cohorts that were requested, with their classes.
fn opens_of(world: &World) -> Vec<(u32, u32, u32)> {
    let opened = |(_, effect): &(u128, Effect)| match effect {
        Effect::Open(cohort) => Some((cohort.class.0, cohort.number, cohort.size)),
        _ => None,
    };
    world.log.iter().filter_map(opened).collect()
}

#[test]
fn each_class_with_work_gets_a_cohort_of_its_own_within_the_total() {
    let mut world = World::new(4);
    let large = ClassId(1);
    world.state.on_needed(world.now, ClassId::DEFAULT, 100);
    world.state.on_needed(world.now, large, 2);
    world.wait(SECOND);
    assert_eq!(opens_of(&world), [(0, 0, 3)], "the class that lacks most");
    world.state.on_opened(world.now);
    (0..3).for_each(|index| world.pod(0, index, Verdict::Running));
    world.wait(10 * SECOND);
    assert_eq!(opens_of(&world), [(0, 0, 3), (1, 1, 1)]);
    world.state.on_opened(world.now);
    world.class = large;
    world.pod(1, 0, Verdict::Running);
    world.wait(10 * SECOND);
    assert_eq!(opens_of(&world).len(), 2, "both have their share");
    // A lost worker is replaced in its own class.
    world.pod(1, 0, gone(End::Lost, false));
    world.wait(10 * SECOND);
    assert_eq!(opens_of(&world)[2..], [(1, 2, 1)]);
}

#[test]
fn a_replacement_is_surplus_to_its_own_class_alone() {
    let mut world = World::new(4);
    let large = ClassId(1);
    world.state.on_needed(world.now, ClassId::DEFAULT, 2);
    world.state.on_needed(world.now, large, 2);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, Verdict::Running);
    world.named("again", 0, 0, Verdict::Running);
    let surplus = |(_, effect): &(u128, Effect)| matches!(effect, Effect::Report(FleetEvent::Surplus(name)) if &**name == "again");
    assert!(
        world.log.iter().any(surplus),
        "class 1 lacks a worker, class 0 does not"
    );
}
