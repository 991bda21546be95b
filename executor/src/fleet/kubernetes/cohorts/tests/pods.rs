//! Pods that start, end, become silent and return.

use super::*;

#[test]
fn a_pod_that_its_node_does_not_take_is_replaced_and_surplus_if_it_starts_after_all() {
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
    world.state.on_present(world.now, "again".into());
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [], "it works");
    assert_eq!(world.surplus(), [""; 0], "and it is wanted");
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
    assert_eq!(
        world.state.pods_left(),
        0,
        "their end would not be reported"
    );
    assert_eq!(world.state.objects_left(|_| true), 1);
}

#[test]
fn a_pod_that_has_not_begun_is_not_expected_to_exit_by_itself() {
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
    // The pods are listed again: the ended pod still exists, and the other one does not.
    let listed = HashSet::from(["c0-1".into()]);
    world.state.on_listed(world.now, &listed);
    world.note();
    assert_eq!(world.departures().len(), 2);
    assert_eq!(world.state.pods_left(), 0);
    assert_eq!(world.state.objects_left(|_| true), 1);
}

#[test]
fn a_replacement_by_the_controller_after_the_top_up_is_drained() {
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
    // It exits as requested, and no worker replaces it.
    world.named("c0-0-again", 0, 0, gone(End::Left, true));
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    assert_eq!(world.broken(), None);
}

#[test]
fn a_replacement_that_starts_before_the_top_up_makes_the_top_up_needless() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.named("c0-0-again", 0, 0, Verdict::Starting);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), []);
    assert_eq!(world.surplus(), [] as [&str; 0]);
}

#[test]
fn a_worker_that_returns_from_a_silent_node_may_be_surplus() {
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
fn a_missed_worker_is_replaced_and_drained_if_its_messages_return() {
    let mut world = World::running(3);
    world.state.on_missed(world.now, &"c0-1".into());
    world.state.on_missed(world.now, &"nobody".into());
    world.note();
    world.wait(10 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    // Its node reports that the pod runs.
    world.pod(0, 1, Verdict::Running);
    world.state.on_opened(world.now);
    world.pod(1, 0, Verdict::Running);
    assert_eq!(world.surplus(), Vec::<String>::new());
    world.state.on_present(world.now, "c0-1".into());
    world.note();
    assert_eq!(world.surplus(), ["c0-1"]);
    world.wait(60 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
}
