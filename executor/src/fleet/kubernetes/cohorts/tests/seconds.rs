//! Each failure of the table, and after how many seconds from its first sight the fleet says so, once.

use serde_json::Value;

use super::super::super::client::ClusterError;
use super::super::super::diagnose::tests::table::{Means, ROWS, Row, context, objects, read};
use super::super::super::diagnose::{Nodes, Room, autoscaler, judge_job, judge_pod, room};
use super::*;

/// What becomes of a fleet all of whose workers meet a failure.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It breaks after so many seconds.
    Breaks(u64),
    /// It waits without an end.
    Waits,
    /// The worker is replaced, and its tasks go back.
    Replaces,
    /// It goes on.
    GoesOn,
}

/// By the house rules of the table; the bounds are those of [`World`]: 60 s for a start, 300 s for a schedule.
const fn fate(means: Means) -> Fate {
    use Fate::{Breaks, GoesOn, Replaces, Waits};
    match means {
        Means::Stuck(Patience::Final) | Means::TooLarge | Means::Fatal => Breaks(0),
        Means::JobOverdue | Means::JobDeleted => Breaks(0),
        Means::JobRefused => Breaks(2),
        Means::Stuck(Patience::SecondLook) => Breaks(16),
        Means::Stuck(Patience::Start | Patience::Pull | Patience::AsBefore) => Breaks(60),
        Means::Stuck(Patience::Node) => Breaks(180),
        Means::Stuck(Patience::Schedule | Patience::Registry) | Means::Unplaced => Breaks(300),
        Means::Starts | Means::SetUp => Breaks(300),
        Means::Grows(says) => match says.as_bytes()[0] {
            b'd' => Breaks(0),
            b's' => Breaks(20),
            _ => Breaks(300),
        },
        Means::Held => Waits,
        Means::Left | Means::Lost | Means::Died(_) | Means::OutOfMemory => Replaces,
        Means::Assigned | Means::Runs | Means::Silent => GoesOn,
        Means::JobGoes | Means::JobDone | Means::JobFailed | Means::Api(_) => GoesOn,
    }
}

impl World {
    /// A world whose first cohort exists and has no pods yet.
    fn opened(workers: u32) -> Self {
        let mut world = Self::new(workers);
        world.needed(1_000);
        world.wait(SECOND);
        world.state.on_opened(world.now);
        world.job(&JobVerdict::Going, workers);
        world.log.clear();
        world.start = world.now;
        world
    }

    fn job(&mut self, verdict: &JobVerdict, size: u32) {
        self.state.on_job(self.now, cohort(0, size), verdict);
        self.note();
    }

    /// Reports the objects of a fixture, those of pods for each of these workers.
    fn meet(&mut self, fixture: &str, workers: std::ops::Range<u32>) {
        for object in objects(fixture) {
            match object["kind"].as_str().unwrap() {
                "Pod" => {
                    for index in workers.clone() {
                        let verdict = judge_pod(&read(&object), context(fixture));
                        self.seen(&format!("c0-{index}"), 0, index, verdict);
                    }
                }
                "Job" => self.job(&judge_job(&read(&object)), workers.end),
                "Event" => self.warn(&object, workers.clone()),
                "Node" => {}
                other => panic!("{fixture} has a {other}"),
            }
        }
        self.answer(fixture);
    }

    fn warn(&mut self, event: &Value, workers: std::ops::Range<u32>) {
        let (reason, message) = (
            event["reason"].as_str().unwrap(),
            event["message"].as_str().unwrap(),
        );
        if event["involvedObject"]["kind"] == "Job" {
            self.state.on_job_note(self.now, 0, reason, message);
        } else {
            for index in workers {
                let name = format!("c0-{index}");
                self.state.on_pod_note(self.now, &name, reason, message);
            }
        }
        self.note();
    }

    /// Answers what the state asks about nodes, as the fleet does, from the nodes and events of a fixture.
    fn answer(&mut self, fixture: &str) {
        let asks = |(_, effect): &(u128, Effect)| matches!(effect, Effect::FindRoom { .. });
        while let Some(at) = self.log.iter().position(asks) {
            let (_, Effect::FindRoom { needs, .. }) = self.log.remove(at) else {
                unreachable!("found above")
            };
            let all = objects(fixture);
            let mut nodes = Nodes::default();
            let of = |kind: &'static str| all.iter().filter(move |object| object["kind"] == kind);
            of("Node").for_each(|node| nodes.add(&read(node)));
            let events: Vec<_> = of("Event").map(read).collect();
            let report = match room(&needs, &nodes) {
                Room::Enough => RoomReport::Enough,
                Room::TooLarge { reason, may_grow } => RoomReport::TooLarge {
                    reason,
                    autoscaler: may_grow.then(|| autoscaler(&events)),
                },
            };
            self.state.on_room(self.now, &needs, report);
            self.note();
        }
    }

    /// Lets seconds pass until the fleet breaks, and returns how many.
    fn until_broken(&mut self, fixture: &str, most: u64) -> Option<u64> {
        for second in 0..=most {
            if self.broken().is_some() {
                return Some(second);
            }
            self.wait(SECOND);
            self.answer(fixture);
        }
        None
    }

    fn troubles(&self) -> Vec<&str> {
        let told = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Notify(notice) if notice.trouble => Some(&*notice.text),
            _ => None,
        });
        told.collect()
    }
}

/// The rows of failures that keep workers from starting, with the seconds after which the fleet breaks.
fn starts() -> impl Iterator<Item = (Row, Option<u64>)> {
    ROWS.iter()
        .filter_map(|row| match (row.means, fate(row.means)) {
            (Means::Fatal | Means::JobOverdue | Means::JobDeleted | Means::JobRefused, _) => None,
            (_, Fate::Breaks(seconds)) => Some((*row, Some(seconds))),
            (_, Fate::Waits) => Some((*row, None)),
            _ => None,
        })
}

#[test]
fn what_keeps_all_workers_from_starting_breaks_the_fleet_after_its_seconds_and_is_told_once() {
    let mut rows = 0;
    for (row, expected) in starts() {
        rows += 1;
        let mut world = World::opened(2);
        world.meet(row.fixture, 0..2);
        let most = expected.map_or(3_600, |seconds| seconds + 10);
        let seconds = world.until_broken(row.fixture, most);
        assert_eq!(seconds, expected, "{}: {:?}", row.fixture, world.log);
        // Where an autoscaler may add a node, the reason is the scheduler's in the end.
        let grows = matches!(row.means, Means::Grows("adds" | "backs off"));
        if let Some((_, reason)) = world.broken().filter(|_| !grows) {
            for words in row.says {
                assert!(
                    reason.contains(words),
                    "{}: {words:?} is not in {reason:?}",
                    row.fixture
                );
            }
        }
        // The pool itself reports its break; trouble that lasts is told before, once.
        let told = usize::from(expected.is_none_or(|seconds| seconds > 5));
        assert_eq!(
            world.troubles().len(),
            told,
            "{}: {:?}",
            row.fixture,
            world.troubles()
        );
    }
    assert!(rows > 50, "{rows}");
}

#[test]
fn a_failure_that_is_over_in_time_is_told_as_over_and_breaks_nothing() {
    for (row, expected) in starts() {
        let Some(seconds) = expected.filter(|seconds| *seconds > 12) else {
            continue;
        };
        let mut world = World::opened(2);
        world.meet(row.fixture, 0..2);
        assert_eq!(
            world.until_broken(row.fixture, seconds - 3),
            None,
            "{}",
            row.fixture
        );
        // One after the other: each may be a line of its own, and none twice.
        for index in 0..2 {
            let name = format!("c0-{index}");
            world.state.on_present(world.now, name.as_str().into());
            world.pod(0, index, Verdict::Running);
        }
        world.wait(3_600 * SECOND);
        assert_eq!(world.broken(), None, "{}", row.fixture);
        let told = world.notices();
        assert!((2..=3).contains(&told.len()), "{}: {told:?}", row.fixture);
        let texts: HashSet<&str> = told.iter().map(|(_, text)| *text).collect();
        assert_eq!(texts.len(), told.len(), "{}: {told:?}", row.fixture);
        assert_eq!(
            told[told.len() - 1].1,
            "2 of 2 workers run",
            "{}",
            row.fixture
        );
    }
}

#[test]
fn a_failure_of_one_worker_does_not_end_a_run_whose_other_worker_works() {
    for (row, _) in starts() {
        let mut world = World::opened(2);
        world.pod(0, 0, Verdict::Running);
        world.meet(row.fixture, 1..2);
        assert_eq!(
            world.until_broken(row.fixture, 3_600),
            None,
            "{}",
            row.fixture
        );
        // After 20 s it is known that no autoscaler answers.
        let kinds = 1 + usize::from(row.means == Means::Grows("silent"));
        assert_eq!(
            world.troubles().len(),
            kinds,
            "{}: {:?}",
            row.fixture,
            world.troubles()
        );
    }
}

#[test]
fn a_failure_that_comes_again_and_again_is_told_once() {
    for (row, expected) in starts() {
        if expected.is_some_and(|seconds| seconds < 20) {
            continue;
        }
        let mut world = World::opened(2);
        for _ in 0..15 {
            world.meet(row.fixture, 0..2);
            world.wait(SECOND);
            world.answer(row.fixture);
        }
        assert_eq!(
            world.troubles().len(),
            1,
            "{}: {:?}",
            row.fixture,
            world.troubles()
        );
    }
}

#[test]
fn an_ended_worker_is_replaced_and_its_end_tells_whether_a_task_may_be_charged() {
    let mut rows = 0;
    for row in ROWS.iter().filter(|row| fate(row.means) == Fate::Replaces) {
        rows += 1;
        let mut world = World::running(2);
        world.wait(90 * SECOND);
        world.meet(row.fixture, 0..1);
        let [(worker, end)] = &world.departures()[..] else {
            panic!("{}: {:?}", row.fixture, world.departures())
        };
        let as_expected = match row.means {
            Means::Left => *end == End::Left,
            Means::Lost => *end == End::Lost,
            Means::Died(exit) => *end == End::Died(exit),
            _ => *end == End::OutOfMemory(Some(2 << 30)),
        };
        assert!(worker == "c0-0" && as_expected, "{}: {end:?}", row.fixture);
        world.wait(10 * SECOND);
        assert_eq!(world.opens(), [(1, 1)], "{}", row.fixture);
        assert_eq!(world.broken(), None, "{}", row.fixture);
    }
    assert!(rows > 25, "{rows}");
}

#[test]
fn what_holds_for_all_workers_ends_the_run_within_two_seconds() {
    for row in ROWS {
        let mut world = World::running(2);
        world.job(&JobVerdict::Going, 2);
        let began = (world.now - world.start).as_millis();
        match row.means {
            Means::Fatal | Means::JobOverdue | Means::JobRefused => world.meet(row.fixture, 0..2),
            Means::JobDeleted => world.state.on_job_removed(world.now, 0),
            _ => continue,
        }
        world.note();
        world.wait(3 * SECOND);
        let Some((at, reason)) = world.broken() else {
            panic!("{} does not end the run", row.fixture)
        };
        let Fate::Breaks(seconds) = fate(row.means) else {
            unreachable!("these rows break")
        };
        assert_eq!(at - began, u128::from(seconds) * 1_000, "{}", row.fixture);
        for words in row.says {
            assert!(
                reason.contains(words),
                "{}: {words:?} is not in {reason:?}",
                row.fixture
            );
        }
    }
}

#[test]
fn a_job_that_fails_for_itself_is_told_and_its_workers_are_replaced_by_another() {
    for row in ROWS.iter().filter(|row| row.means == Means::JobFailed) {
        let mut world = World::running(2);
        world.meet(row.fixture, 0..2);
        world.wait(10 * SECOND);
        assert_eq!(world.troubles().len(), 1, "{}", row.fixture);
        assert_eq!(
            (world.broken(), world.opens()),
            (None, vec![]),
            "they still run"
        );
        world.pod(0, 0, gone(End::Lost, false));
        world.pod(0, 1, gone(End::Lost, false));
        world.wait(10 * SECOND);
        assert_eq!(
            (world.broken(), world.opens()),
            (None, vec![(1, 2)]),
            "{}",
            row.fixture
        );
    }
}

#[test]
fn a_refusal_of_a_job_that_no_time_heals_breaks_the_fleet_at_once() {
    for row in ROWS {
        let Means::Api(kind) = row.means else {
            continue;
        };
        let mut world = World::new(2);
        world.needed(10);
        world.wait(SECOND);
        let refusal = ClusterError::of(kind, row.fixture.to_owned()).refusal();
        world.state.on_refused(world.now, 0, refusal);
        world.note();
        let lasting = row.fixture != "job-create-quota" && row.fixture != "job-create-exists";
        assert_eq!(world.broken().is_some(), lasting, "{}", row.fixture);
        world.wait(60 * SECOND);
        assert_eq!(world.broken().is_some(), lasting, "{}", row.fixture);
    }
}

/// The Job controller pauses for up to ten minutes between replacements: `job-replacement-delayed` shows one worker of
/// two and nothing else.
#[test]
fn a_replacement_that_the_job_controller_delays_is_made_by_another_cohort() {
    let mut world = World::running(2);
    world.wait(60 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.meet("job-replacement-delayed", 0..2);
    world.wait(5 * SECOND);
    assert_eq!((world.broken(), world.opens()), (None, vec![(1, 1)]));
}

#[test]
fn an_image_that_one_worker_has_had_exists_so_others_wait_longer_for_it() {
    let mut world = World::opened(2);
    world.pod(0, 0, Verdict::Running);
    world.meet("image-not-found", 1..2);
    world.wait(120 * SECOND);
    // The worker is lost, and the registry still denies what it has served: it may serve it again.
    world.pod(0, 0, gone(End::Lost, false));
    world.wait(2 * SECOND);
    world.state.on_opened(world.now);
    assert_eq!(world.broken(), None);
    let broken = world.until_broken("image-not-found", 600);
    assert!(broken.is_some(), "it waits for ever");

    // The same where the first worker ended before the other was seen.
    let mut world = World::opened(2);
    world.pod(0, 0, Verdict::Running);
    world.wait(70 * SECOND);
    world.pod(0, 0, gone(End::Lost, false));
    world.meet("image-not-found", 1..2);
    world.wait(100 * SECOND);
    assert_eq!(world.broken(), None);
}

#[test]
fn a_failure_beside_a_worker_that_is_only_slow_waits_for_that_worker() {
    let mut world = World::opened(2);
    world.meet("image-never-pull", 0..1);
    world.seen("c0-1", 0, 1, Verdict::SetUp);
    world.wait(20 * SECOND);
    assert_eq!(world.broken(), None, "the other node may have the image");
    world.meet("image-never-pull", 1..2);
    assert!(world.broken().is_some());
}

/// A quota and a limit of the namespace that change while the run goes on.
#[test]
fn a_run_goes_on_with_fewer_workers_while_a_quota_is_full_and_grows_when_it_empties() {
    let mut world = World::opened(4);
    world.pod(0, 0, Verdict::Running);
    world.pod(0, 1, Verdict::Running);
    for fixture in ["quota-full", "limit-range", "quota-full"] {
        world.log.clear();
        for _ in 0..60 {
            world.meet(fixture, 0..4);
            world.wait(10 * SECOND);
        }
        assert_eq!(world.broken(), None, "two work");
        let told = world.notices();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].1.starts_with("2 of 4 workers run; 2 wait: "),
            "{told:?}"
        );
    }
    world.log.clear();
    world.pod(0, 2, Verdict::Running);
    world.pod(0, 3, Verdict::Running);
    world.wait(10 * SECOND);
    assert_eq!(world.notices().last().unwrap().1, "4 of 4 workers run");
    // Two are lost, their replacements meet the quota, and then have room.
    world.pod(0, 2, gone(End::Lost, false));
    world.pod(0, 3, gone(End::Lost, false));
    world.wait(2 * SECOND);
    assert_eq!(world.opens(), [(1, 2)]);
    world.state.on_opened(world.now);
    world
        .state
        .on_job(world.now, cohort(1, 2), &JobVerdict::Going);
    let quota = objects("quota-full").remove(0);
    let message = quota["message"].as_str().unwrap();
    world
        .state
        .on_job_note(world.now, 1, "FailedCreate", message);
    world.wait(600 * SECOND);
    assert_eq!(world.broken(), None);
    assert!(
        world
            .notices()
            .last()
            .unwrap()
            .1
            .contains("a ResourceQuota"),
        "{:?}",
        world.notices()
    );
    world.pod(1, 0, Verdict::Running);
    world.pod(1, 1, Verdict::Running);
    world.wait(10 * SECOND);
    assert_eq!(world.notices().last().unwrap().1, "4 of 4 workers run");
    assert_eq!(world.opens(), [(1, 2)]);
}

/// Events last for an hour: a master that starts reads those of an earlier master's Jobs.
#[test]
fn a_warning_about_an_earlier_masters_job_may_be_over() {
    let mut world = World::new(1);
    world.needed(1);
    world
        .state
        .on_job(world.now, cohort(4, 1), &JobVerdict::Going);
    let event = objects("pod-security").remove(0);
    let message = event["message"].as_str().unwrap();
    world
        .state
        .on_job_note(world.now, 4, "FailedCreate", message);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    world.seen("c4-0", 4, 0, Verdict::Running);
    world.wait(600 * SECOND);
    assert_eq!(world.broken(), None);
}
