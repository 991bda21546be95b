//! What the fleet asks about the nodes of its cluster, and what it makes of the answers.

use serde_json::json;

use super::super::super::diagnose::{Autoscaler, Context, Needs, judge_pod};
use super::*;

fn unplaced(cpu: &str) -> Verdict {
    let pod = json!({
        "metadata": {},
        "spec": {"containers": [{"name": "worker", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient cpu.",
        }]},
    });
    judge_pod(&serde_json::from_value(pod).unwrap(), Context::default())
}

fn too_large(autoscaler: Option<Autoscaler>) -> RoomReport {
    RoomReport::TooLarge {
        reason: "no node is large enough for a worker".to_owned(),
        autoscaler,
    }
}

impl World {
    /// What was asked, with the time in seconds.
    fn asked(&self) -> Vec<(u128, Needs)> {
        let asked = self.log.iter().filter_map(|(at, effect)| match effect {
            Effect::FindRoom { needs, .. } => Some((at / 1_000, needs.clone())),
            _ => None,
        });
        asked.collect()
    }

    fn room(&mut self, needs: &Needs, report: RoomReport) {
        self.state.on_room(self.now, needs, report);
        self.note();
    }

    fn unplaced(workers: u32) -> Self {
        let mut world = Self::new(workers);
        world.needed(1_000);
        world.wait(SECOND);
        world.state.on_opened(world.now);
        for index in 0..workers {
            world.pod(0, index, unplaced("64"));
        }
        world
    }
}

#[test]
fn one_question_stands_for_all_pods_of_a_size_and_its_answer_holds_for_a_minute() {
    let mut world = World::unplaced(3);
    assert_eq!(world.asked().len(), 1);
    let (at, needs) = world.asked().remove(0);
    assert_eq!(at, 1);
    world.pod(0, 0, unplaced("64"));
    assert_eq!(world.asked().len(), 1, "it is open");
    world.room(&needs, RoomReport::Enough);
    world.wait(59 * SECOND);
    world.pod(0, 0, unplaced("64"));
    assert_eq!(world.asked().len(), 1, "it holds");
    world.wait(SECOND);
    world.pod(0, 0, unplaced("64"));
    assert_eq!(world.asked().len(), 2, "nodes may have joined");
    world.pod(0, 1, unplaced("32"));
    assert_eq!(world.asked().len(), 3, "another size is another question");
    world.wait(600 * SECOND);
    assert_eq!(
        world.broken().unwrap().0,
        301_000,
        "a cluster that is full has its time"
    );
}

#[test]
fn a_master_that_may_not_list_nodes_asks_once_and_waits_as_before() {
    for report in [RoomReport::Denied, RoomReport::Unknown] {
        let mut world = World::unplaced(1);
        let (_, needs) = world.asked().remove(0);
        let denied = report == RoomReport::Denied;
        world.room(&needs, report);
        world.wait(100 * SECOND);
        world.pod(0, 0, unplaced("64"));
        assert_eq!(world.asked().len(), if denied { 1 } else { 2 });
        assert_eq!(world.broken(), None);
        world.wait(200 * SECOND);
        let (at, reason) = world.broken().unwrap();
        assert_eq!(at, 301_000);
        assert!(reason.contains("Insufficient cpu"), "{reason}");
    }
}

#[test]
fn a_worker_too_large_for_every_node_breaks_the_fleet_at_once_where_no_cloud_adds_nodes() {
    let mut world = World::unplaced(2);
    let (_, needs) = world.asked().remove(0);
    world.wait(SECOND);
    world.room(&needs, too_large(None));
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 2_000);
    assert!(reason.contains("large enough"), "{reason}");
}

#[test]
fn an_autoscaler_has_twenty_seconds_to_answer() {
    let mut world = World::unplaced(1);
    let (_, needs) = world.asked().remove(0);
    world.room(&needs, too_large(Some(Autoscaler::Silent)));
    world.wait(30 * SECOND);
    let asked = world.asked();
    assert_eq!(asked.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 21]);
    assert_eq!(world.broken(), None);
    world.room(&needs, too_large(Some(Autoscaler::Adds)));
    world.wait(200 * SECOND);
    assert_eq!(world.broken(), None, "a node comes");
    world.pod(0, 0, Verdict::Running);
    world.wait(600 * SECOND);
    assert_eq!(world.broken(), None);
}

#[test]
fn a_larger_node_that_joins_ends_the_verdict() {
    let mut world = World::unplaced(2);
    world.pod(0, 0, Verdict::Running);
    let (_, needs) = world.asked().remove(0);
    world.room(&needs, too_large(None));
    world.wait(120 * SECOND);
    assert_eq!(world.broken(), None, "one works");
    // The scheduler looks again when a node joins.
    world.pod(0, 1, unplaced("64"));
    assert_eq!(world.asked().len(), 2);
    world.room(&needs, RoomReport::Enough);
    world.pod(0, 0, gone(End::Lost, false));
    world.wait(10 * SECOND);
    assert_eq!(
        world.broken(),
        None,
        "the large node is full, and may empty"
    );
}
