//! The notices that the fleet issues with its decisions.

use super::*;

impl World {
    /// The notices so far, with the time in seconds.
    pub(super) fn notices(&self) -> Vec<(u128, &str)> {
        let notices = self.log.iter().filter_map(|(at, effect)| match effect {
            Effect::Notify(notice) => Some((at / 1_000, &*notice.text)),
            _ => None,
        });
        notices.collect()
    }
}

#[test]
fn a_missing_image_is_reported_after_some_seconds_with_the_time_that_is_left() {
    let mut world = World::new(2);
    world.needed(10);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(0, 2), &JobVerdict::Going);
    world.pod(0, 0, stuck(Patience::Start));
    world.pod(0, 1, stuck(Patience::Start));
    world.wait(30 * SECOND);
    assert_eq!(
        world.notices(),
        [(
            5,
            "0 of 2 workers ready: nodes cannot pull image; giving up in 56 s"
        )]
    );
    world.wait(60 * SECOND);
    assert_eq!(world.broken().unwrap().0, 61_000);
}

#[test]
fn a_quota_and_its_end_are_reported_once_each_and_running_workers_continue() {
    let mut world = World::new(6);
    world.needed(1_000);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(0, 6), &JobVerdict::Going);
    for index in 0..3 {
        world.pod(0, index, Verdict::Running);
    }
    for n in 0..20 {
        let message = format!(
            "pods \"pp-a-c0-{n}\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3"
        );
        world
            .state
            .on_job_note(world.now, 0, "FailedCreate", &message);
        world.wait(20 * SECOND);
    }
    let told = world.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, 5);
    for part in ["3 of 6 workers run; 3 wait", "ResourceQuota", "max_workers"] {
        assert!(told[0].1.contains(part), "{part:?} is not in {told:?}");
    }
    assert_eq!(world.broken(), None, "three work");
    for index in 3..6 {
        world.pod(0, index, Verdict::Running);
    }
    world.wait(10 * SECOND);
    assert_eq!(world.notices().last().unwrap().1, "6 of 6 workers run");
}

#[test]
fn workers_that_do_not_greet_are_reported_with_the_time_that_is_left() {
    let mut world = World::new(2);
    world.needed(10);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(0, 2), &JobVerdict::Going);
    for index in 0..2 {
        let name = format!("c0-{index}");
        world.seen(&name, 0, index, Verdict::Running);
    }
    world.wait(30 * SECOND);
    let told = world.notices();
    assert_eq!((told.len(), told[0].0), (1, 5), "{told:?}");
    for part in [
        "0 of 2 workers ready: 2 running without",
        "giving up in 56 s",
    ] {
        assert!(told[0].1.contains(part), "{part:?} is not in {told:?}");
    }
}

#[test]
fn a_healthy_run_causes_no_notice() {
    let mut world = World::new(3);
    world.needed(6);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(0, 3), &JobVerdict::Going);
    for index in 0..3 {
        world.pod(0, index, Verdict::Starting);
        world.wait(SECOND);
        world.pod(0, index, Verdict::Running);
    }
    world.wait(600 * SECOND);
    world.needed(0);
    for index in 0..3 {
        world.pod(0, index, gone(End::Left, false));
    }
    world.wait(600 * SECOND);
    assert_eq!(world.notices(), []);
    assert_eq!(
        world.state.deadline(world.now),
        None,
        "an idle fleet has no deadline"
    );
}

#[test]
fn a_lost_node_causes_one_notice_and_later_reports_of_it_none() {
    let mut world = World::running(3);
    world.wait(60 * SECOND);
    for index in 0..2 {
        world.pod(0, index, Verdict::Silent);
    }
    world.wait(3 * SECOND);
    world.state.on_opened(world.now);
    for index in 0..2 {
        world.pod(1, index, Verdict::Running);
    }
    world.wait(300 * SECOND);
    for index in 0..2 {
        world.pod(0, index, gone(End::Lost, false));
    }
    world.wait(30 * SECOND);
    let told = world.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.starts_with("2 workers (c0-"), "{told:?}");
    assert!(told[0].1.contains("NotReady"), "{told:?}");
}

#[test]
fn a_refusal_beside_running_workers_is_reported_and_retried_at_once_when_they_are_gone() {
    let mut world = World::running_of(2, 4);
    world.needed(1_000);
    world.wait(10 * SECOND);
    let refusal = |over| OpenError {
        lasting: true,
        over,
        reason: "cannot create jobs in namespace etl: no rights".to_owned(),
    };
    world.state.on_refused(world.now, 1, refusal(false));
    world.note();
    world.wait(10 * SECOND);
    let told = world.notices();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].1.contains("2 wait: cannot create jobs"), "{told:?}");
    let lost_at = (world.now - world.start).as_millis();
    for index in 0..2 {
        world.pod(0, index, gone(End::Lost, false));
    }
    assert_eq!(world.broken(), None);
    world.wait(2 * SECOND);
    assert_eq!(world.opens().last(), Some(&(2, 4)));
    assert!(world.last_open() <= lost_at + 1_000, "no pause of a minute");
    world.state.on_refused(world.now, 2, refusal(false));
    world.note();
    assert!(world.broken().unwrap().1.contains("no rights"));
}

#[test]
fn a_namespace_that_is_removed_breaks_the_fleet_when_its_last_worker_is_gone_and_opens_nothing() {
    let mut world = World::running_of(2, 4);
    world.needed(1_000);
    world.wait(10 * SECOND);
    let refusal = OpenError {
        lasting: true,
        over: true,
        reason: "cannot create jobs: namespace etl is being removed".to_owned(),
    };
    world.state.on_refused(world.now, 1, refusal);
    world.note();
    let opens = world.opens().len();
    world.pod(0, 0, Verdict::Leaving);
    world.pod(0, 1, Verdict::Leaving);
    world.wait(20 * SECOND);
    assert_eq!(world.broken(), None, "they may finish their tasks");
    world.pod(0, 0, gone(End::Lost, false));
    let at = (world.now - world.start).as_millis();
    world.pod(0, 1, gone(End::Lost, false));
    let (broken, reason) = world.broken().unwrap();
    assert_eq!(broken, at);
    assert!(reason.contains("is being removed"), "{reason}");
    assert_eq!(world.opens().len(), opens, "nothing can be started");
}

#[test]
fn missed_workers_break_the_fleet_when_no_other_worker_can_start() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    for index in 0..2 {
        let name = format!("c0-{index}");
        world.state.on_missed(world.now, &name.into());
    }
    world.wait(2 * SECOND);
    let refusal = OpenError {
        lasting: true,
        over: false,
        reason: "cannot create jobs: no rights".to_owned(),
    };
    world.state.on_refused(world.now, 1, refusal);
    world.note();
    assert!(world.broken().unwrap().1.contains("no rights"));
}

#[test]
fn a_watch_that_is_denied_while_all_workers_run_is_reported_once() {
    let mut world = World::running(2);
    for _ in 0..10 {
        world
            .state
            .on_denied(world.now, "no right to watch pods".to_owned());
        world.note();
        world.wait(30 * SECOND);
    }
    assert_eq!(world.notices(), [(1, "no right to watch pods")]);
    assert_eq!(world.broken(), None);
}
