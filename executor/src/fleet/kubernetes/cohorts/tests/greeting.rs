//! Workers that run and do not greet.

use super::*;

/// A world whose first workers run and have not greeted.
fn ungreeted(workers: u32) -> World {
    let mut world = World::new(workers);
    world.needed(1_000);
    world.wait(SECOND);
    assert_eq!(world.opens(), [(0, workers)]);
    world.state.on_opened(world.now);
    for index in 0..workers {
        let name = format!("c0-{index}");
        world.seen(&name, 0, index, Verdict::Starting);
        world.seen(&name, 0, index, Verdict::Running);
    }
    world.log.clear();
    world.start = world.now;
    world
}

/// The end of a worker that could not do its work: exit code 75.
fn gave_up() -> Verdict {
    let Verdict::Gone(mut gone) = gone(End::Lost, true) else {
        unreachable!("made above")
    };
    gone.by_itself = true;
    gone.reason = "it could not do its work (exit code 75): no route to host".to_owned();
    Verdict::Gone(gone)
}

impl World {
    /// The pods whose logs were requested.
    fn quotes(&self) -> Vec<&str> {
        let quotes = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::ReadLog(pod) => Some(&**pod),
            _ => None,
        });
        quotes.collect()
    }

    fn log_read(&mut self, pod: &str, log: Result<&str, &str>) {
        let log = log.map(str::to_owned).map_err(str::to_owned);
        self.state.on_log(self.now, &pod.into(), log);
        self.note();
    }
}

#[test]
fn a_pod_that_runs_and_does_not_greet_has_failed_to_start_and_its_last_lines_are_quoted() {
    let mut world = ungreeted(1);
    world.wait(59 * SECOND);
    assert_eq!(world.quotes(), [""; 0]);
    world.wait(2 * SECOND);
    assert_eq!(world.quotes(), ["c0-0"]);
    assert_eq!(world.broken(), None, "its log is read first");
    assert_eq!(
        world.notices_with("not created yet"),
        0,
        "it is not replaced"
    );
    world.log_read("c0-0", Ok("cannot resolve host | giving up"));
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 61_000);
    for words in [
        "pod c0-0 runs",
        "within 60s",
        "cannot resolve host | giving up",
    ] {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
}

#[test]
fn a_log_that_cannot_be_read_or_is_empty_is_reported_as_such() {
    for (log, words) in [
        (Ok(""), "printed nothing"),
        (Err("grant get on pods/log"), "grant get on pods/log"),
    ] {
        let mut world = ungreeted(1);
        world.wait(60 * SECOND);
        world.log_read("c0-0", log);
        let (_, reason) = world.broken().unwrap();
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn workers_that_do_not_reach_their_queue_break_the_fleet_when_the_last_one_exits() {
    let mut world = ungreeted(3);
    world.wait(50 * SECOND);
    world.seen("c0-0", 0, 0, gave_up());
    world.wait(SECOND);
    world.seen("c0-1", 0, 1, gave_up());
    // Replacements are not waited for, and no further cohort is requested.
    world.wait(SECOND);
    world.seen("again", 0, 0, Verdict::Starting);
    world.wait(SECOND);
    world.seen("again", 0, 0, Verdict::Running);
    assert_eq!((world.broken(), world.opens()), (None, vec![]));
    world.seen("c0-2", 0, 2, gave_up());
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 53_000);
    assert!(reason.contains("no route to host"), "{reason}");
    assert!(reason.contains("worker c0-0 did not start"), "{reason}");
}

#[test]
fn a_late_greeting_keeps_the_fleet_unbroken_and_the_other_workers_are_replaced() {
    let mut world = ungreeted(2);
    world.wait(50 * SECOND);
    world.seen("c0-0", 0, 0, gave_up());
    world.state.on_present(world.now, "c0-1".into());
    world.wait(100 * SECOND);
    assert_eq!(world.broken(), None);
    assert_eq!(world.opens(), [(1, 1)]);
}

#[test]
fn where_workers_have_greeted_one_without_a_greeting_causes_a_warning_and_is_replaced() {
    let mut world = ungreeted(2);
    world.state.on_present(world.now, "c0-0".into());
    world.wait(62 * SECOND);
    assert_eq!(world.quotes(), ["c0-1"]);
    assert_eq!(world.opens(), [(1, 1)]);
    world.log_read("c0-1", Ok("x"));
    let told = world.notices_with("has not greeted within");
    assert_eq!((told, world.broken()), (1, None));
    // The worker is surplus when it greets after another one has replaced it.
    world.named("c1-0", 1, 0, Verdict::Running);
    world.state.on_present(world.now, "c0-1".into());
    world.note();
    assert_eq!(world.surplus(), ["c0-1"]);
}

#[test]
fn a_greeting_may_arrive_before_its_pod_is_reported() {
    let mut world = World::new(1);
    world.needed(1_000);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.state.on_present(world.now, "c0-0".into());
    world.seen("c0-0", 0, 0, Verdict::Running);
    world.wait(100 * SECOND);
    assert_eq!((world.quotes(), world.broken()), (vec![], None));
}

#[test]
fn workers_of_an_earlier_master_count_as_having_greeted() {
    let mut world = World::new(1);
    world.needed(1_000);
    let going = JobVerdict::Going;
    world.state.on_job(world.now, cohort(4, 1), &going);
    world.seen("c4-0", 4, 0, Verdict::Running);
    world.wait(600 * SECOND);
    assert_eq!((world.quotes(), world.broken()), (vec![], None));
}

#[test]
fn an_early_end_for_another_passing_reason_is_tried_again() {
    let mut world = ungreeted(1);
    world.wait(SECOND);
    world.seen("c0-0", 0, 0, gave_up());
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    assert_eq!(world.opens(), [(1, 1)]);
}

#[test]
fn a_failed_start_does_not_count_any_more_when_no_worker_is_wanted() {
    let mut world = ungreeted(2);
    world.wait(50 * SECOND);
    world.seen("c0-0", 0, 0, gave_up());
    world.needed(0);
    world.seen("c0-1", 0, 1, gave_up());
    world.needed(1_000);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    assert_eq!(world.opens(), [(1, 2)]);
}
