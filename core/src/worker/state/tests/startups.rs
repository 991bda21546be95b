//! Slots that end before they are ready.

use rustix::io::Errno;

use super::*;
use crate::slot::{EXIT_SHORTAGE, StartError};
use crate::worker::state::slots::Phase;

impl Bed {
    /// A slot is ready, or ends before.
    pub(super) fn start_up(&mut self, id: SlotId) {
        if self.failing_startups == 0 {
            let ready = SlotEvent::Ready;
            return self.state.on_slot(self.now, id, ready, &self.script);
        }
        self.failing_startups -= 1;
        if self.refuses {
            let failure = Failure::new(Cause::Failed, "the licence has expired");
            let refused = SlotEvent::SetupFailed(failure);
            self.state.on_slot(self.now, id, refused, &self.script);
        }
        self.exit(id, Exit::Code(1), None);
    }

    /// The slots that start.
    pub(super) fn starting(&self) -> Vec<SlotId> {
        let starting = self.state.slots.iter();
        let starting = starting.filter(|slot| slot.phase == Phase::Starting);
        starting.map(|slot| slot.id).collect()
    }

    /// Goes to the next deadline and does what is due then. Gives how long that took.
    pub(super) fn wait(&mut self) -> Duration {
        let due = self.state.deadline().unwrap();
        let waited = due - self.now;
        self.now = due;
        self.tick();
        waited
    }
}

/// A bed with one slot that is alive and holds task 0.
fn bed_with_one(slots: u32) -> Bed {
    let mut bed = bed(slots);
    bed.batch("a", "fast", 0, 1, false);
    bed.failing_startups = u32::MAX;
    bed
}

#[tokio::test(start_paused = true)]
async fn three_slots_that_fail_to_start_break_the_worker_and_every_task_is_answered() {
    let mut bed = bed(1);
    bed.failing_startups = 3;
    bed.batch("a", "fast", 0, 1, false);
    assert_eq!(bed.started, 3);
    assert_eq!(bed.causes(), [(0, Cause::Broken)]);
    assert_eq!(bed.state.wants(), 0);
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.causes()[1..], [(1, Cause::Broken)]);
    assert_eq!(bed.started, 3, "nothing is tried any more");
}

#[tokio::test(start_paused = true)]
async fn two_slots_that_fail_to_start_are_not_the_end() {
    let mut bed = bed(1);
    for task in 0..4 {
        bed.failing_startups = 2;
        bed.batch("a", "fast", task, 1, false);
        assert_eq!(bed.causes(), []);
        let slot = SlotId(bed.busy()[0].0);
        bed.exit(slot, Exit::Code(0), None);
        bed.results.clear();
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_slot_that_is_alive_those_that_fail_to_start_are_tried_again_with_growing_delays()
{
    let mut bed = bed_with_one(3);
    bed.batch("b", "fast", 1, 2, false);
    assert_eq!(bed.started, 5, "three ended, and one that was on its way");
    assert_eq!(bed.state.wants(), 0, "slots that do not start are not free");
    let mut waited = Vec::new();
    let mut since = bed.now;
    while bed.started < 10 {
        let before = bed.started;
        bed.wait();
        // What waits is given back to other workers after two seconds, and comes here again when a slot may start.
        if !bed.releases.is_empty() && bed.state.wants() > 0 {
            bed.releases.clear();
            bed.batch("b", "fast", 1, 2, false);
        }
        if bed.started > before {
            assert_eq!(bed.started, before + 1, "one at a time");
            waited.push((bed.now - since).as_secs());
            since = bed.now;
        }
    }
    assert_eq!(waited, [1, 2, 4, 8, 16]);
    assert_eq!(bed.causes(), []);
    bed.done(S0, 1, SECOND);
    assert_eq!(bed.busy(), [(0, 1)], "the slot that is alive goes on");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_starts_at_last_ends_the_delays() {
    let mut bed = bed_with_one(3);
    bed.batch("b", "fast", 1, 2, false);
    bed.failing_startups = 0;
    assert_eq!(bed.wait(), SECOND);
    assert_eq!(bed.busy(), [(0, 1), (5, 1), (6, 1)], "all start again");
    bed.failing_startups = 2;
    bed.exit(SlotId(5), Exit::Code(0), None);
    bed.batch("c", "fast", 9, 1, false);
    assert_eq!(bed.busy().len(), 3, "two deaths are borne as ever");
}

#[tokio::test(start_paused = true)]
async fn once_the_last_slot_has_ended_too_the_worker_breaks_without_a_delay() {
    let mut bed = bed_with_one(2);
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.causes(), []);
    bed.exit(S0, Exit::Signal(9), None);
    let causes = bed.causes();
    assert_eq!(causes[0], (0, Cause::Crashed));
    assert_eq!(causes[1..], [(1, Cause::Broken)]);
}

#[tokio::test(start_paused = true)]
async fn an_initializer_that_fails_three_times_breaks_the_worker_whatever_slots_are_alive() {
    let mut bed = bed_with_one(2);
    bed.refuses = true;
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.started, 4);
    assert_eq!(bed.causes(), [(1, Cause::Broken)]);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks.len(), 2, "what runs ends as ever");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_cannot_even_be_started_counts_as_well() {
    let mut bed = bed_with_one(2);
    let mut effects = Vec::new();
    let mut body = Vec::new();
    put_task(&mut body, TaskId(1), Attempt::FIRST, 0, &[], &[]).unwrap();
    bed.take_in("b", "fast", 1, body.into(), false);
    for _ in 0..3 {
        bed.state.take_effects(&mut effects);
        let started = effects.iter().find_map(|effect| match effect {
            Effect::Start(id) => Some(*id),
            _ => None,
        });
        bed.state
            .on_start_failed(bed.now, started.unwrap(), &refused(Errno::PERM));
    }
    bed.settle();
    assert_eq!(bed.causes(), []);
    assert_eq!(bed.wait(), SECOND);
}

fn refused(errno: Errno) -> StartError {
    StartError::Refused {
        what: "a socket",
        source: errno.into(),
    }
}

impl Bed {
    /// The slots that the state starts now.
    fn starts(&mut self) -> Vec<SlotId> {
        let mut effects = Vec::new();
        self.state.take_effects(&mut effects);
        let start = |effect| match effect {
            Effect::Start(id) => Some(id),
            _ => None,
        };
        effects.into_iter().filter_map(start).collect()
    }

    /// Waits for the next try of a start.
    fn next_try(&mut self) -> Vec<SlotId> {
        loop {
            self.now = self.state.deadline().unwrap();
            self.state.on_tick(self.now, &self.script);
            let starts = self.starts();
            if !starts.is_empty() {
                return starts;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shortage_without_a_slot_loses_no_task_and_is_final_after_a_minute() {
    let mut bed = bed(4);
    let mut body = Vec::new();
    for task in 0..4 {
        put_task(&mut body, TaskId(task), Attempt::FIRST, 0, &[], &[]).unwrap();
    }
    bed.take_in("a", "fast", 4, body.into(), false);
    let begin = bed.now;
    let mut starts = bed.starts();
    assert_eq!(starts.len(), 4);
    let mut tries = 0;
    while bed.now < begin + 59 * SECOND {
        for id in starts {
            bed.state
                .on_start_failed(bed.now, id, &refused(Errno::MFILE));
        }
        starts = bed.next_try();
        assert_eq!(starts.len(), 1, "one at a time");
        tries += 1;
    }
    assert!((10..25).contains(&tries), "{tries} tries in a minute");
    assert_eq!(bed.causes(), []);
    // It passes: all start.
    let mut passed = starts.clone();
    bed.state
        .on_slot(bed.now, passed.remove(0), SlotEvent::Ready, &bed.script);
    assert_eq!(bed.starts().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_shortage_that_stays_breaks_the_worker_with_its_advice() {
    let mut bed = bed(1);
    let mut body = Vec::new();
    put_task(&mut body, TaskId(0), Attempt::FIRST, 0, &[], &[]).unwrap();
    bed.take_in("a", "fast", 1, body.into(), false);
    let begin = bed.now;
    let mut starts = bed.starts();
    while bed.state.broken.is_none() {
        assert!(bed.now < begin + 70 * SECOND, "it waits without end");
        bed.state
            .on_start_failed(bed.now, starts[0], &refused(Errno::MFILE));
        if bed.state.broken.is_none() {
            starts = bed.next_try();
        }
    }
    bed.settle();
    assert_eq!(bed.causes(), [(0, Cause::Broken)]);
    let broken = bed.state.broken.clone().unwrap().to_string();
    assert!(broken.contains("ulimit -n"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn slots_that_are_starting_are_alive() {
    let mut bed = bed(8);
    let mut body = Vec::new();
    for task in 0..8 {
        put_task(&mut body, TaskId(task), Attempt::FIRST, 0, &[], &[]).unwrap();
    }
    bed.take_in("a", "fast", 8, body.into(), false);
    let mut starts = bed.starts();
    assert_eq!(starts.len(), 8);
    let mut failed = 0;
    while let Some(id) = starts.pop() {
        assert!(
            bed.state.broken.is_none(),
            "{} are starting",
            starts.len() + 1
        );
        bed.state
            .on_start_failed(bed.now, id, &refused(Errno::PERM));
        starts.extend(bed.starts());
        failed += 1;
    }
    assert_eq!(failed, 10, "two deaths are borne");
    assert!(bed.state.broken.is_some(), "none is");
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_reports_a_shortage_of_the_system_is_tried_again() {
    let mut bed = bed(1);
    let mut body = Vec::new();
    put_task(&mut body, TaskId(0), Attempt::FIRST, 0, &[], &[]).unwrap();
    bed.take_in("a", "fast", 1, body.into(), false);
    let mut starts = bed.starts();
    for _ in 0..6 {
        let failure = Failure {
            exit: Some(Exit::Code(EXIT_SHORTAGE)),
            ..Failure::new(Cause::Broken, "no thread")
        };
        let failed = SlotEvent::SetupFailed(failure);
        bed.state.on_slot(bed.now, starts[0], failed, &bed.script);
        bed.exit(starts[0], Exit::Code(EXIT_SHORTAGE), None);
        starts = bed.next_try();
    }
    assert_eq!(bed.causes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_wait_for_slots_that_cannot_start() {
    let mut bed = bed_with_one(2);
    bed.batch("b", "fast", 1, 1, false);
    let began = bed.now;
    for _ in 0..20 {
        if !bed.releases.is_empty() {
            break;
        }
        bed.wait();
    }
    assert_eq!(bed.releases, ["b"], "another worker may have a slot for it");
    assert!(bed.now - began <= 3 * SECOND, "{:?}", bed.now - began);
}

/// Its work was given back meanwhile: with the end of the delay the worker pulls again, and tries a start with the
/// work.
#[tokio::test(start_paused = true)]
async fn a_shortage_that_lasts_longer_than_work_waits_ends_too() {
    let mut bed = bed(2);
    bed.deaf = true;
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    let starting = bed.starting();
    assert_eq!(starting.len(), 2);
    let ready = SlotEvent::Ready;
    bed.state.on_slot(bed.now, starting[0], ready, &bed.script);
    let refused = || StartError::Refused {
        what: "a thread",
        source: Errno::AGAIN.into(),
    };
    bed.state.on_start_failed(bed.now, starting[1], &refused());
    bed.settle();
    while bed.releases.is_empty() {
        bed.wait();
        for slot in bed.starting() {
            bed.state.on_start_failed(bed.now, slot, &refused());
            bed.settle();
        }
    }
    assert_eq!(bed.state.wants(), 0, "nothing starts at present");
    while let Some(due) = bed.state.startups.due() {
        bed.now = due;
        bed.tick();
    }
    assert_eq!(bed.state.wants(), 1);
    bed.deaf = false;
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(bed.busy().len(), 2, "the shortage has passed");
}
