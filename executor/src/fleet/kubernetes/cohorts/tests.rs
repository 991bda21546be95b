//! The fleet's decisions on a virtual clock.

use podpool_core::fleet::End;
use podpool_core::outcome::Exit;

use super::super::diagnose::{Gone, JobVerdict, Patience, Verdict};
use super::*;

mod broken;
mod early_ends;
mod greeting;
mod jobs;
mod notices;
mod opening;
mod pods;
mod room;
mod seconds;

const SECOND: Duration = Duration::from_secs(1);

/// A state, its clock, and its effects.
struct World {
    state: Cohorts,
    start: Instant,
    now: Instant,
    /// Effects with the time in milliseconds since the start.
    log: Vec<(u128, Effect)>,
    /// Workers that have greeted: each worker greets when it first runs.
    greeted: HashSet<String>,
    /// The class of the pods that are reported next.
    class: ClassId,
}

/// A cohort of the default class.
fn cohort(number: u32, size: u32) -> broker::Cohort {
    broker::Cohort {
        number,
        class: ClassId::DEFAULT,
        size,
    }
}

impl World {
    /// A world whose cluster has listed the run's Jobs: there are none.
    fn new(max_workers: u32) -> Self {
        let mut world = Self::unlisted(max_workers);
        world.state.on_jobs_listed(world.now, &HashSet::new());
        world
    }

    /// A world whose cluster has listed nothing yet.
    fn unlisted(max_workers: u32) -> Self {
        let start = Instant::now();
        Self {
            state: Cohorts::new(Limits {
                max_workers,
                slots: 2,
                start: 60 * SECOND,
                schedule: 300 * SECOND,
            }),
            start,
            now: start,
            log: Vec::new(),
            greeted: HashSet::new(),
            class: ClassId::DEFAULT,
        }
    }

    /// A world whose first cohort runs.
    fn running(workers: u32) -> Self {
        Self::running_of(workers, workers)
    }

    /// The same, with a higher bound on the number of workers.
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
        self.state.on_needed(self.now, ClassId::DEFAULT, unfinished);
        self.note();
    }

    /// Advances the clock as the loop would: the loop wakes at every deadline, and only then.
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
            self.state.on_present(self.now, name.into());
            self.note();
        }
    }

    /// Reports a pod whose worker sends no message.
    fn seen(&mut self, name: &str, cohort: u32, index: u32, verdict: Verdict) {
        let pod = PodName {
            name: name.into(),
            cohort,
            class: self.class,
            index,
            node: None,
        };
        self.state.on_pod(self.now, pod, verdict);
        self.note();
    }

    fn opens(&self) -> Vec<(u32, u32)> {
        let opens = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Open(cohort) => Some((cohort.number, cohort.size)),
            _ => None,
        });
        opens.collect()
    }

    /// When the last cohort was requested, in milliseconds.
    fn last_open(&self) -> u128 {
        let open = |(_, effect): &&(u128, Effect)| matches!(effect, Effect::Open(_));
        self.log.iter().rfind(open).unwrap().0
    }

    fn broken(&self) -> Option<(u128, &str)> {
        self.log.iter().find_map(|(at, effect)| match effect {
            Effect::Report(FleetEvent::Broken(reason)) => Some((*at, reason.as_str())),
            _ => None,
        })
    }

    fn surplus(&self) -> Vec<String> {
        let surplus = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Report(FleetEvent::Surplus(name)) => Some(name.to_string()),
            _ => None,
        });
        surplus.collect()
    }

    fn departures(&self) -> Vec<(String, End)> {
        let gone = self.log.iter().filter_map(|(_, effect)| match effect {
            Effect::Report(FleetEvent::Gone(gone)) => Some((gone.worker.to_string(), gone.end)),
            _ => None,
        });
        gone.collect()
    }

    /// The number of notices of trouble that contain these words.
    fn notices_with(&self, words: &str) -> usize {
        let told = |(_, effect): &&(u128, Effect)| matches!(effect, Effect::Notify(notice) if notice.trouble && notice.text.contains(words));
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
