//! Pods that come, go, fall silent and return.

use super::*;

#[test]
fn a_pod_that_its_node_does_not_take_is_replaced_and_one_too_many_if_it_comes_after_all() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.named("again", 0, 0, Verdict::Assigned);
    world.wait(14 * SECOND);
    assert_eq!(world.opens(), [], "its node may be slow");
    world.named("again", 0, 0, Verdict::Assigned);
    world.wait(3 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    world.state.on_opened(world.now);
    world.pod(1, 0, Verdict::Running);
    let reachable: Vec<_> = world.state.names_left(|_| true).collect();
    assert!(
        reachable.contains(&(&"again".into(), false)),
        "{reachable:?}"
    );
    world.named("again", 0, 0, Verdict::Starting);
    assert_eq!(world.surplus(), ["again"]);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
}

#[test]
fn a_pod_that_greets_has_been_started_whatever_its_status() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.named("again", 0, 0, Verdict::Assigned);
    world.state.on_heard(world.now, "again".into());
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [], "it works");
    assert_eq!(world.surplus(), [""; 0], "and is wanted");
}

#[test]
fn a_silent_node_is_not_expected_to_remove_its_pods() {
    let mut world = World::running(3);
    world.wait(60 * SECOND);
    world.pod(0, 0, Verdict::Silent);
    world.pod(0, 1, Verdict::Silent);
    world.pod(0, 1, gone(End::Lost, false));
    world.pod(0, 2, gone(End::Lost, false));
    let mut left: Vec<_> = world.state.names_left(|_| true).collect();
    left.sort();
    let expected = [("c0-0", false), ("c0-1", false), ("c0-2", true)];
    let expected = expected.map(|(name, reachable)| (Arc::<str>::from(name), reachable));
    assert_eq!(
        left,
        expected
            .each_ref()
            .map(|(name, reachable)| (name, *reachable))
    );
    assert_eq!(world.state.pods_left(), 0, "nobody would tell of their end");
    assert_eq!(world.state.objects_left(|_| true), 1);
}

#[test]
fn a_pod_that_has_not_begun_is_not_expected_to_leave_by_itself() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.named("again", 0, 0, Verdict::Assigned);
    assert_eq!(world.state.pods_left(), 1);
    assert_eq!(world.state.objects_left(|_| true), 3);
    world.named("again", 0, 0, Verdict::Running);
    assert_eq!(world.state.pods_left(), 2);
}

#[test]
fn a_pod_is_reported_gone_once_however_often_it_is_listed() {
    let mut world = World::running(2);
    for _ in 0..3 {
        world.pod(0, 1, gone(End::Lost, false));
    }
    assert_eq!(world.departures().len(), 1);
    // Its list is read anew: it is still there, and the other is not.
    let listed = HashSet::from(["c0-1".into()]);
    world.state.on_listed(world.now, &listed);
    world.note();
    assert_eq!(world.departures().len(), 2);
    assert_eq!(world.state.pods_left(), 0);
    assert_eq!(world.state.objects_left(|_| true), 1);
}

#[test]
fn what_the_controller_replaces_after_the_top_up_is_told_to_leave() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.wait(2 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    world.state.on_opened(world.now);
    world.pod(1, 0, Verdict::Running);
    world.named("c0-0-again", 0, 0, Verdict::Starting);
    world.named("c0-0-again", 0, 0, Verdict::Running);
    assert_eq!(world.surplus(), ["c0-0-again"]);
    // It leaves as it was told, and nobody comes for it.
    world.named("c0-0-again", 0, 0, gone(End::Left, true));
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    assert_eq!(world.broken(), None);
}

#[test]
fn a_replacement_that_comes_before_the_top_up_takes_its_place() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.named("c0-0-again", 0, 0, Verdict::Starting);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), []);
    assert_eq!(world.surplus(), [] as [&str; 0]);
}

#[test]
fn a_worker_that_comes_back_from_a_silent_node_may_be_one_too_many() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, Verdict::Silent);
    assert!(world.state.context("c0-0").silent);
    world.wait(2 * SECOND);
    world.state.on_opened(world.now);
    world.pod(1, 0, Verdict::Running);
    world.pod(0, 0, Verdict::Running);
    assert_eq!(world.surplus(), ["c0-0"]);
    assert!(world.state.context("c0-0").silent, "it was silent once");
}

#[test]
fn a_missed_worker_is_replaced_and_leaves_if_its_messages_return() {
    let mut world = World::running(3);
    world.state.on_silence(world.now, &"c0-1".into());
    world.state.on_silence(world.now, &"nobody".into());
    world.note();
    world.wait(10 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    // Its node says that all is well.
    world.pod(0, 1, Verdict::Running);
    world.state.on_opened(world.now);
    world.pod(1, 0, Verdict::Running);
    assert_eq!(world.surplus(), Vec::<String>::new());
    world.state.on_heard(world.now, "c0-1".into());
    world.note();
    assert_eq!(world.surplus(), ["c0-1"]);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
}
