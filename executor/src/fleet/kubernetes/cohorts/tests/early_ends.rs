//! Workers that end before they have worked.

use super::*;

fn left() -> Verdict {
    let Verdict::Gone(mut gone) = gone(End::Left, true) else {
        unreachable!("made above")
    };
    gone.reason = "it left (exit code 0)".to_owned();
    Verdict::Gone(gone)
}

#[test]
fn programs_that_exit_with_0_before_the_greeting_break_the_fleet() {
    let mut world = World::new(10);
    world.needed(1_000);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    for index in 0..10 {
        world.seen(&format!("c0-{index}"), 0, index, Verdict::Running);
    }
    for index in 0..10 {
        world.pod(0, index, left());
    }
    let (at, reason) = world.broken().expect("ten early ends are enough");
    assert_eq!(at, 1_000);
    for part in ["exit code 0", "before it greeted", "podpool::init()"] {
        assert!(reason.contains(part), "{part:?} is not in {reason:?}");
    }
    world.wait(600 * SECOND);
    assert_eq!(world.opens(), [(0, 10)]);
}

/// Ten workers never end in one moment: some are always starting.
#[test]
fn early_ends_break_the_fleet_although_some_worker_is_always_starting() {
    let mut world = World::new(10);
    world.needed(1_000);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    let mut pods = 0;
    for turn in 0.. {
        assert!(turn < 1_000, "the fleet does not break");
        world.seen(&format!("late-{}", turn + 1), 0, 0, Verdict::Running);
        world.named(&format!("late-{turn}"), 0, 0, left());
        pods += 1;
        if world.broken().is_some() {
            break;
        }
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
    }
    assert!((300_000..=320_000).contains(&world.broken().unwrap().0));
    assert!(pods < 40 && world.opens().len() < 15, "{:?}", world.opens());
}

#[test]
fn workers_that_have_greeted_may_exit_with_0_any_number_of_times() {
    let mut world = World::running(1);
    for cohort in 0..10 {
        world.pod(cohort, 0, left());
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
        world.pod(cohort + 1, 0, Verdict::Running);
    }
    assert_eq!((world.broken(), world.opens().len()), (None, 10));
}

#[test]
fn a_worker_may_greet_before_its_pod_is_reported() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.state.on_present(world.now, "c0-0".into());
    for _ in 0..3 {
        world.pod(0, 0, left());
    }
    assert_eq!(world.broken(), None);
}

#[test]
fn an_early_end_an_hour_ago_does_not_break_the_fleet_when_a_worker_is_lost() {
    for loss in [Verdict::Silent, Verdict::Leaving, gone(End::Lost, false)] {
        let mut world = World::running(2);
        world.pod(0, 1, died());
        world.wait(3 * SECOND);
        world.state.on_opened(world.now);
        world.pod(1, 0, Verdict::Running);
        world.wait(3_600 * SECOND);
        world.pod(0, 0, loss.clone());
        world.pod(1, 0, loss);
        assert_eq!(world.broken(), None);
        world.wait(30 * SECOND);
        assert_eq!(world.opens().last(), Some(&(2, 2)));
    }
}

#[test]
fn after_an_early_end_the_notice_counts_and_names_no_time() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.seen("c0-0", 0, 0, Verdict::Running);
    world.pod(0, 0, left());
    world.wait(20 * SECOND);
    world.state.on_opened(world.now);
    world.wait(20 * SECOND);
    assert_eq!(
        world.notices_with("early ends in a row: 1, and the pool breaks at 3"),
        1
    );
    assert_eq!(world.notices_with("giving up in"), 0);
    assert_eq!(world.notices_with("has not answered so far"), 0);
}
