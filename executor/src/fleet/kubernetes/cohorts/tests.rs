//! The fleet's decisions on a virtual clock.

use podpool_core::fleet::End;
use podpool_core::outcome::Exit;

use super::super::diagnose::Gone;
use super::*;

mod barren;
mod greeting;
mod notices;

const SECOND: Duration = Duration::from_secs(1);

/// A state, its clock, and what it did.
struct World {
    state: State,
    start: Instant,
    now: Instant,
    /// Effects with the time in milliseconds since the start.
    log: Vec<(u128, Effect)>,
    /// Workers that have greeted: each does when it first runs.
    greeted: HashSet<String>,
}

impl World {
    fn new(max_workers: u32) -> Self {
        let start = Instant::now();
        Self {
            state: State::new(Limits {
                max_workers,
                slots: 2,
                start: 60 * SECOND,
                schedule: 300 * SECOND,
            }),
            start,
            now: start,
            log: Vec::new(),
            greeted: HashSet::new(),
        }
    }

    /// A world whose first cohort runs.
    fn running(workers: u32) -> Self {
        Self::running_of(workers, workers)
    }

    /// The same, where more may come.
    fn running_of(workers: u32, max_workers: u32) -> Self {
        let mut world = Self::new(max_workers);
        world.needed(if workers == max_workers {
            1_000
        } else {
            2 * workers as usize
        });
        world.wait(SECOND);
        assert_eq!(world.opens(), [(0, workers)]);
        world.state.on_opened(world.now);
        for index in 0..workers {
            world.pod(0, index, Verdict::Running);
        }
        world.log.clear();
        world
    }

    fn note(&mut self) {
        let at = (self.now - self.start).as_millis();
        let effects = self.state.take_effects();
        self.log
            .extend(effects.into_iter().map(|effect| (at, effect)));
    }

    fn needed(&mut self, unfinished: usize) {
        self.state.on_needed(self.now, unfinished);
        self.note();
    }

    /// Lets time pass as the loop would: it wakes at every deadline, and only then.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(at) = self.state.deadline(self.now).filter(|at| *at <= end) {
            assert!(at > self.now, "a deadline in the past spins the loop");
            self.now = at;
            self.state.on_tick(at);
            self.note();
            wakes += 1;
            assert!(wakes < 1_000, "the loop spins");
        }
        self.now = end;
    }

    fn pod(&mut self, cohort: u32, index: u32, verdict: Verdict) {
        self.named(&format!("c{cohort}-{index}"), cohort, index, verdict);
    }

    fn named(&mut self, name: &str, cohort: u32, index: u32, verdict: Verdict) {
        let greets = verdict == Verdict::Running && self.greeted.insert(name.to_owned());
        self.seen(name, cohort, index, verdict);
        if greets {
            self.state.on_heard(self.now, name.into());
            self.note();
        }
    }

    /// A pod that is seen, and says nothing.
    fn seen(&mut self, name: &str, cohort: u32, index: u32, verdict: Verdict) {
        let pod = PodName {
            name: name.into(),
            cohort,
            index,
            node: None,
        };
        self.state.on_pod(self.now, pod, verdict);
        self.note();
    }

    fn opens(&self) -> Vec<(u32, u32)> {
        let opens = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Open { cohort, size } => Some((*cohort, *size)),
            _ => None,
        });
        opens.collect()
    }

    /// When the last cohort was asked for, in milliseconds.
    fn last_open(&self) -> u128 {
        let open = |(_, effect): &&(u128, Effect)| matches!(effect, Effect::Open { .. });
        self.log.iter().rfind(open).unwrap().0
    }

    fn broken(&self) -> Option<(u128, &str)> {
        self.log.iter().find_map(|(at, effect)| match effect {
            Effect::Tell(FleetEvent::Broken(reason)) => Some((*at, reason.as_str())),
            _ => None,
        })
    }

    fn surplus(&self) -> Vec<String> {
        let surplus = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Tell(FleetEvent::Surplus(name)) => Some(name.to_string()),
            _ => None,
        });
        surplus.collect()
    }

    fn departures(&self) -> Vec<(String, End)> {
        let gone = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Tell(FleetEvent::Gone(gone)) => Some((gone.worker.to_string(), gone.end)),
            _ => None,
        });
        gone.collect()
    }

    /// How often something of trouble was told with these words.
    fn told_of(&self, words: &str) -> usize {
        let told = |(_, effect): &&(u128, Effect)| matches!(effect, Effect::Say(notice) if notice.trouble && notice.text.contains(words));
        self.log.iter().filter(told).count()
    }
}

fn gone(end: End, brief: bool) -> Verdict {
    Verdict::Gone(Box::new(Gone {
        end,
        reason: "exit code 1: no such library".to_owned(),
        node: None,
        at: None,
        running: Vec::new(),
        fatal: false,
        brief,
        by_itself: end != End::Lost,
    }))
}

fn died() -> Verdict {
    gone(End::Died(Exit::Code(1)), true)
}

fn fatal() -> Verdict {
    let Verdict::Gone(mut gone) = gone(End::Died(Exit::Code(78)), true) else {
        unreachable!("made above")
    };
    gone.fatal = true;
    gone.reason = "it died: exit code 78: no such topic".to_owned();
    Verdict::Gone(gone)
}

fn stuck(patience: Patience) -> Verdict {
    Verdict::CannotStart {
        reason: "nodes cannot pull image".to_owned(),
        patience,
    }
}

#[test]
fn the_first_cohort_waits_a_little_so_that_it_fits() {
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

#[test]
fn no_more_than_max_workers_are_asked_for() {
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
fn a_pod_that_greets_is_taken_whatever_its_status_says() {
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
fn early_losses_are_nobodys_fault() {
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
fn workers_that_give_up_at_once_break_the_fleet_in_the_end() {
    let mut world = World::running(1);
    for cohort in 0..200 {
        // Exit code 75: it could not reach its queue, which may pass.
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
fn a_pod_is_told_gone_once_however_often_it_is_listed() {
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
fn a_worker_that_is_not_heard_is_replaced_and_leaves_if_it_is_heard_again() {
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

#[test]
fn top_ups_are_sized_by_what_is_left_to_do() {
    let mut world = World::running(10);
    world.wait(60 * SECOND);
    world.needed(5);
    for index in 0..9 {
        world.pod(0, index, gone(End::Lost, false));
    }
    world.wait(10 * SECOND);
    // Three workers for five tasks, and one of them lives.
    assert_eq!(world.opens(), [(1, 2)]);
    world.needed(0);
    world.state.on_opened(world.now);
    world.pod(1, 0, gone(End::Lost, false));
    world.wait(600 * SECOND);
    assert_eq!(world.opens(), [(1, 2)]);
}

#[test]
fn an_image_that_is_not_there_breaks_the_fleet_after_the_start_timeout() {
    let mut world = World::new(2);
    world.needed(10);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, stuck(Patience::Start));
    world.wait(10 * SECOND);
    world.pod(0, 1, stuck(Patience::Start));
    // The words change, the trouble does not.
    world.pod(0, 0, stuck(Patience::Start));
    world.wait(120 * SECOND);
    let (at, reason) = world.broken().unwrap();
    assert_eq!(at, 61_000);
    assert!(reason.contains("pull image"), "{reason}");
    assert_eq!(world.opens().len(), 1);
}

#[test]
fn while_a_worker_lives_what_cannot_start_is_a_warning() {
    let mut world = World::running_of(1, 2);
    world.needed(10);
    world.wait(10 * SECOND);
    world.state.on_opened(world.now);
    world.pod(1, 0, stuck(Patience::Start));
    world.wait(600 * SECOND);
    assert_eq!((world.broken(), world.told_of("cannot pull")), (None, 1));
    // The last one alive goes; the time was over before.
    world.pod(0, 0, gone(End::Lost, false));
    assert!(world.broken().is_some());
}

#[test]
fn unschedulable_has_the_longer_time_and_a_new_trouble_has_its_own() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, stuck(Patience::Schedule));
    world.wait(200 * SECOND);
    // A node was added; then the image is missing.
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
fn a_job_without_pods_breaks_the_fleet_with_its_warning() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Going);
    let message = "pods \"x\" is forbidden: violates PodSecurity \"restricted\"";
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
    assert!(reason.contains("PodSecurity"), "{reason}");
}

#[test]
fn a_job_that_is_held_has_all_the_time() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Held);
    world.wait(86_400 * SECOND);
    assert_eq!(world.broken(), None);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Going);
    world.wait(299 * SECOND);
    assert_eq!(world.broken(), None);
    world.wait(SECOND);
    assert!(world.broken().unwrap().1.contains("no pods"));
}

#[test]
fn a_mount_that_fails_is_known_by_its_warning_alone() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_opened(world.now);
    world.pod(0, 0, Verdict::Starting);
    let message = "MountVolume.SetUp failed for volume \"file-0\": secret \"db\" not found";
    world
        .state
        .on_pod_note(world.now, "c0-0", "FailedMount", message);
    // The status keeps silent about it.
    world.pod(0, 0, Verdict::Starting);
    world.wait(60 * SECOND);
    assert!(world.broken().unwrap().1.contains("\"db\" not found"));
}

#[test]
fn three_early_deaths_in_a_row_break_the_fleet() {
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
fn a_death_at_work_is_no_early_death() {
    let mut world = World::running(1);
    for cohort in 0..6 {
        let Verdict::Gone(mut gone) = died() else {
            unreachable!("made above")
        };
        gone.running =
            super::super::last_words::LastWords::read(r#"{"running":[["a",1,2,1]]}"#).running;
        world.pod(cohort, 0, Verdict::Gone(gone));
        world.wait(10 * SECOND);
        world.state.on_opened(world.now);
        world.pod(cohort + 1, 0, Verdict::Running);
    }
    assert_eq!((world.broken(), world.opens().len()), (None, 6));
}

#[test]
fn a_worker_that_says_that_none_can_work_breaks_the_fleet_at_once_in_its_words() {
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
fn a_refused_job_waits_a_little_for_its_workers_words() {
    let refused = JobVerdict::Refused("Container worker failed with exit code 78".to_owned());
    let mut world = World::running(1);
    world.state.on_job(world.now, 0, 1, &refused);
    world.note();
    assert_eq!(world.broken(), None);
    world.wait(SECOND);
    world.pod(0, 0, fatal());
    assert!(world.broken().unwrap().1.contains("no such topic"));

    let mut world = World::running(1);
    world.state.on_job(world.now, 0, 1, &refused);
    world.wait(2 * SECOND);
    assert!(world.broken().unwrap().1.contains("exit code 78"));
}

#[test]
fn a_refused_cohort_beside_a_living_one_is_a_warning_and_a_pause() {
    let mut world = World::running_of(1, 2);
    world.needed(10);
    world.wait(10 * SECOND);
    world.state.on_opened(world.now);
    world.pod(1, 0, fatal());
    assert_eq!((world.broken(), world.told_of("no such topic")), (None, 1));
    world.wait(59 * SECOND);
    assert_eq!(world.opens(), [(1, 1)]);
    world.wait(2 * SECOND);
    assert_eq!(world.opens(), [(1, 1), (2, 1)]);
}

#[test]
fn a_denied_job_breaks_the_fleet_and_an_unreachable_cluster_has_time() {
    let refusal = |lasting| Refusal {
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
        assert!(tries < 20, "it is never over");
        let (cohort, _) = *world.opens().last().unwrap();
        world.state.on_refused(world.now, cohort, refusal(false));
        world.note();
        world.wait(61 * SECOND);
    }
    assert!((300_000..=400_000).contains(&world.broken().unwrap().0));
    assert!(tries >= 4, "{tries}");
}

#[test]
fn jobs_that_somebody_deletes_end_the_run_and_an_ended_one_may_go() {
    let mut world = World::running(1);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Going);
    world.state.on_jobs_listed(world.now, &HashSet::new());
    world.note();
    assert!(world.broken().unwrap().1.contains("deleted"));

    let mut world = World::running(1);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Done);
    world.pod(0, 0, gone(End::Left, false));
    world.state.on_job_removed(world.now, 0);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    // There is work, so others come.
    assert_eq!(world.opens(), [(1, 1)]);
    let retired = |effect: &Effect| matches!(effect, Effect::Retire { cohort: 0, size: 1 });
    assert_eq!(world.log.iter().filter(|(_, e)| retired(e)).count(), 1);
}

#[test]
fn a_job_that_could_not_be_completed_is_not_deleted_by_somebody() {
    let mut world = World::new(1);
    world.needed(1);
    world.wait(SECOND);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Going);
    world.state.on_job_removed(world.now, 0);
    let refusal = Refusal {
        lasting: false,
        over: false,
        reason: "cannot create secrets".to_owned(),
    };
    world.state.on_refused(world.now, 0, refusal);
    // The watch may be late.
    world.state.on_job(world.now, 0, 1, &JobVerdict::Going);
    world.state.on_job_removed(world.now, 0);
    world.wait(10 * SECOND);
    assert_eq!(world.broken(), None);
    assert_eq!(world.opens(), [(0, 1), (1, 1)]);
}

#[test]
fn a_runs_end_is_told_as_such() {
    let mut world = World::running(1);
    world.state.on_job(world.now, 0, 1, &JobVerdict::Overdue);
    world.note();
    assert!(world.broken().unwrap().1.contains("deadline"));
}

#[test]
fn cohorts_of_an_earlier_master_are_taken_in() {
    let mut world = World::new(4);
    world.state.on_job(world.now, 2, 3, &JobVerdict::Going);
    world.named("old", 2, 0, Verdict::Running);
    world.needed(100);
    world.wait(SECOND);
    assert_eq!(world.opens(), [(3, 1)]);
}

#[test]
fn nothing_breaks_while_nothing_is_needed() {
    let mut world = World::new(1);
    world.state.on_denied(world.now, "no rights".to_owned());
    world.wait(600 * SECOND);
    assert_eq!(world.broken(), None);
    world.needed(1);
    assert!(world.broken().is_some());
}
