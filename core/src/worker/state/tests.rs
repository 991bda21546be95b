//! The worker's decisions, driven by hand: slots and queues are played by the test.

mod blame;
mod overdue;
mod replay;
mod startups;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::codec;
use crate::envelope::entry::{ResultEntry, next_result, put_done, put_failed, put_task, task_head};
use crate::envelope::{Batch, EntryOptions, Message, Revoked, RunState, TaskType};
use crate::id::{Attempt, TaskId};
use crate::outcome::{Cause, Exit};
use crate::shape::Fingerprint;
use crate::slot::{Frame, OutOfMemory, Running, SlotEvent, Stream};
use crate::worker::effect::Probe;
use crate::worker::frame::TaskTypeInfo;

const GRACE: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

/// Knows every task type; `slow` ones have a timeout of a second.
struct Known;

impl Lookup for Known {
    fn look_up(&self, task_type: &TaskType) -> Result<TaskTypeInfo, Failure> {
        match &*task_type.name {
            "fast" => Ok(TaskTypeInfo {
                index: 0,
                ..TaskTypeInfo::UNKNOWN
            }),
            "slow" => Ok(TaskTypeInfo {
                index: 1,
                timeout: Some(SECOND),
                ..TaskTypeInfo::UNKNOWN
            }),
            _ => Err(Failure::new(Cause::Rejected, "unknown")),
        }
    }
}

/// What slots would say they run.
#[derive(Default)]
struct Script(HashMap<SlotId, Running>);

impl Probe for Script {
    fn running(&self, slot: SlotId) -> Option<Running> {
        self.0.get(&slot).copied()
    }

    fn tail(&self, _: SlotId, _: u64) -> Vec<String> {
        vec!["last words".to_owned()]
    }

    fn peak_rss(&self, _: SlotId) -> Option<u64> {
        Some(7)
    }
}

struct Bed {
    state: State,
    now: Instant,
    script: Script,
    frames: HashMap<SlotId, VecDeque<Frame>>,
    acks: Vec<String>,
    releases: Vec<String>,
    kills: Vec<SlotId>,
    cancels: Vec<TaskId>,
    reclaims: Vec<(SlotId, u64)>,
    results: Vec<ResultEntry>,
    put_back: Vec<Batch>,
    /// The entries of each.
    put_back_entries: Vec<Bytes>,
    unconfirmed: Vec<Receipt>,
    started: u32,
    /// How many of the next slots die before they are ready.
    failing_startups: u32,
    /// Whether those say that the initializer failed.
    refuses: bool,
    /// Whether slots do nothing that they are asked for.
    deaf: bool,
    /// The number of the batch that came last.
    newest: u64,
}

fn bed(slots: u32) -> Bed {
    let settings = Settings {
        run: RunId::new("test").unwrap(),
        worker: WorkerId(1),
        mac_key: MacKey::Absent,
        slots,
        max_tasks_per_slot: None,
        grace: GRACE,
        start_timeout: START,
        message_bytes: 1 << 20,
    };
    Bed {
        state: State::new(settings),
        now: Instant::now(),
        script: Script::default(),
        frames: HashMap::new(),
        acks: Vec::new(),
        releases: Vec::new(),
        kills: Vec::new(),
        cancels: Vec::new(),
        reclaims: Vec::new(),
        results: Vec::new(),
        put_back: Vec::new(),
        put_back_entries: Vec::new(),
        unconfirmed: Vec::new(),
        started: 0,
        failing_startups: 0,
        refuses: false,
        deaf: false,
        newest: 0,
    }
}

impl Bed {
    /// A batch of tasks `first..first + count` of one task type.
    fn batch(&mut self, lease: &str, task_type: &str, first: u64, count: u32, alone: bool) {
        // What runs alone was a suspect before.
        let attempt = Attempt(1 + u32::from(alone));
        let mut body = Vec::new();
        for n in 0..u64::from(count) {
            put_task(&mut body, TaskId(first + n), attempt, 0, &[], &[1]).unwrap();
        }
        self.take_in(lease, task_type, count, body.into(), alone);
        self.settle();
    }

    fn take_in(&mut self, lease: &str, task_type: &str, count: u32, entries: Bytes, alone: bool) {
        self.newest += 1;
        let task_types = vec![TaskType {
            name: task_type.into(),
            fingerprint: Fingerprint([0; 16]),
        }];
        let batch = Batch {
            run: RunId::new("test").unwrap(),
            epoch: 1,
            number: self.newest,
            alone,
            task_types,
            count,
        };
        self.state
            .on_batch(self.now, LeaseId::new(lease), &batch, entries, &Known)
            .unwrap();
    }

    /// Carries the effects out; slots are ready at once.
    fn settle(&mut self) {
        let mut effects = Vec::new();
        loop {
            self.state.take_effects(&mut effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects.drain(..) {
                self.carry_out(effect);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start(id) => {
                self.started += 1;
                if !self.deaf {
                    self.start_up(id);
                }
            }
            Effect::Run(id, frame) => self.frames.entry(id).or_default().push_back(frame),
            Effect::Reclaim(id, frame) => self.reclaims.push((id, frame)),
            Effect::Cancel(_, _, task, _) => self.cancels.push(task),
            Effect::Exit(_) if self.deaf => {}
            Effect::Exit(id) => self.exit(id, Exit::Code(0), None),
            Effect::Kill(id) => self.kills.push(id),
            Effect::Drop(id) => drop(self.frames.remove(&id)),
            Effect::Publish(out) => {
                self.unconfirmed.extend(out.receipt);
                self.read(out.message);
            }
            Effect::Ack(lease) => self.acks.push(lease.to_string()),
            Effect::Release(lease) => self.releases.push(lease.to_string()),
            Effect::Output(..) | Effect::SendLines => {}
        }
    }

    fn read(&mut self, message: Bytes) {
        match Message::read(message, &MacKey::Absent).unwrap() {
            Message::Results(_, mut entries) => {
                while let Some(entry) = next_result(&mut entries).unwrap() {
                    self.results.push(entry);
                }
            }
            Message::Batch(batch, entries) => {
                self.put_back.push(batch);
                self.put_back_entries.push(entries);
            }
            _ => {}
        }
    }

    /// All that was published is stored.
    fn confirm(&mut self) {
        for receipt in std::mem::take(&mut self.unconfirmed) {
            self.state.on_published(self.now, receipt);
        }
        self.settle();
    }

    /// The slot's first frame gives `count` results of `elapsed` each.
    fn done(&mut self, id: SlotId, count: u32, elapsed: Duration) {
        let frame = self.frames.get_mut(&id).unwrap().front_mut().unwrap();
        let mut entries = Vec::new();
        for _ in 0..count {
            let head = task_head(&frame.entries).unwrap().unwrap();
            put_done(&mut entries, head.task, head.attempt, |_| {
                Ok::<_, ()>(elapsed)
            })
            .unwrap();
            frame.entries = frame.entries.slice(head.length..);
        }
        let number = frame.number;
        if frame.entries.is_empty() {
            self.frames.get_mut(&id).unwrap().pop_front();
        }
        let event = SlotEvent::Results {
            frame: number,
            entries: entries.into(),
            count,
        };
        self.state.on_slot(self.now, id, event, &self.script);
        self.settle();
    }

    /// What the slot was at, as a real one would say: the only task that is left of its first frame.
    fn flight(&self, id: SlotId) -> Option<Running> {
        let slot = self.state.slots.iter().find(|slot| slot.id == id)?;
        let frame = slot.frames.front().filter(|frame| frame.left() == 1)?;
        Some(Running {
            frame: frame.number,
            index: frame.done,
            first: slot.executions == 0,
            since: frame.since.unwrap(),
        })
    }

    fn exit(&mut self, id: SlotId, exit: Exit, running: Option<Running>) {
        let running = running.or_else(|| self.flight(id));
        self.end(id, exit, running, false);
    }

    fn end(&mut self, id: SlotId, exit: Exit, running: Option<Running>, out_of_memory: bool) {
        let out_of_memory = out_of_memory.then_some(OutOfMemory::OfSlot(1));
        let event = SlotEvent::Exited {
            exit,
            running,
            started: Some(SystemTime::UNIX_EPOCH),
            pid: Some(77),
            tail: vec![],
            peak_rss: None,
            out_of_memory,
            reached_init: true,
        };
        self.state.on_slot(self.now, id, event, &self.script);
        self.settle();
    }

    fn tick(&mut self) {
        self.state.on_tick(self.now, &self.script);
        self.settle();
    }

    fn causes(&self) -> Vec<(u64, Cause)> {
        let failed = |result: &ResultEntry| {
            result
                .outcome
                .as_ref()
                .err()
                .map(|failure| (result.task.0, failure.cause))
        };
        self.results.iter().filter_map(failed).collect()
    }

    /// The slots that have frames, and how many tasks each.
    fn busy(&self) -> Vec<(u32, u32)> {
        let mut busy: Vec<_> = self
            .frames
            .iter()
            .map(|(id, frames)| (id.0, frames.iter().map(|frame| frame.count).sum()))
            .filter(|(_, tasks)| *tasks > 0)
            .collect();
        busy.sort_unstable();
        busy
    }
}

const S0: SlotId = SlotId(0);
const S1: SlotId = SlotId(1);

/// A bed whose slots know how long `fast` takes: frames may be large.
fn warm(slots: u32) -> Bed {
    let mut bed = bed(slots);
    for slot in 0..slots {
        bed.batch(
            &format!("warm{slot}"),
            "fast",
            1_000_000 + u64::from(slot),
            1,
            false,
        );
    }
    for slot in 0..slots {
        bed.done(SlotId(slot), 1, Duration::from_micros(1));
    }
    bed.confirm();
    bed.results.clear();
    bed.acks.clear();
    bed
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_acknowledged_only_when_its_last_result_is_stored() {
    let mut bed = bed(1);
    assert_eq!(bed.state.wants(), 1);
    bed.batch("a", "fast", 0, 2, false);
    assert_eq!((bed.started, bed.state.wants()), (1, 0));
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert!(bed.acks.is_empty());
    bed.done(S0, 1, SECOND);
    assert!(
        bed.acks.is_empty(),
        "the result is published, not yet stored"
    );
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    assert_eq!(bed.results.len(), 2);
    assert!(bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn slots_start_no_more_than_there_is_work_for() {
    let mut bed = bed(4);
    bed.batch("a", "fast", 0, 1, false);
    assert_eq!(bed.started, 1);
    bed.batch("b", "fast", 1, 2, false);
    assert_eq!(bed.started, 3);
    assert_eq!(bed.state.wants(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_task_holds_no_other_behind_it() {
    let mut bed = bed(2);
    bed.batch("a", "fast", 0, 3, false);
    assert_eq!(
        bed.busy(),
        [(0, 1), (1, 1)],
        "unknown task types go one by one"
    );
    assert_eq!(bed.state.wants(), 0, "nobody is free and something waits");
}

#[tokio::test(start_paused = true)]
async fn short_tasks_share_frames_and_a_second_frame_waits_in_each_slot() {
    let mut bed = warm(2);
    bed.batch("a", "fast", 0, 400, false);
    let busy = bed.busy();
    assert_eq!(busy.len(), 2);
    assert!(busy.iter().all(|(_, tasks)| *tasks > 100), "{busy:?}");
    assert_eq!(
        bed.state.slots.iter().map(|slot| slot.frames.len()).max(),
        Some(2)
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_long_batch_there_is_no_room_for_more_of_the_same_pull() {
    let mut bed = warm(1);
    for n in 0..4 {
        bed.batch(&format!("short{n}"), "fast", n, 1, false);
    }
    assert!(bed.state.wants() > 100, "short ones come many at once");
    bed.batch("long", "fast", 100, 30_000, false);
    assert_eq!(bed.state.wants(), 0, "it is worth 30 ms");
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_a_used_slot_makes_a_suspect_and_blames_no_other() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 10, false);
    bed.exit(S0, Exit::Signal(6), None);
    assert!(bed.causes().is_empty(), "several may have done it");
    assert!(bed.frames[&S1][0].noted, "they run again, noted");
    let frame = bed.frames[&S1][0].number;
    let running = Running {
        frame,
        index: 2,
        first: false,
        since: bed.now,
    };
    bed.exit(S1, Exit::Signal(6), Some(running));
    assert_eq!(bed.causes(), [(2, Cause::Suspect)]);
    assert_eq!(bed.started, 3, "another slot takes the others");
    while let Some((slot, _)) = bed.busy().first().copied() {
        let count = bed.frames[&SlotId(slot)][0].count;
        bed.done(SlotId(slot), count, Duration::from_micros(1));
    }
    bed.confirm();
    assert_eq!(bed.results.len(), 10);
    assert_eq!(bed.acks, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_first_task_of_a_fresh_slot_is_its_own() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.exit(S0, Exit::Signal(11), None);
    assert_eq!(bed.causes(), [(0, Cause::Crashed)]);
    let failure = bed.results[0].outcome.as_ref().unwrap_err();
    assert_eq!(failure.exit, Some(Exit::Signal(11)));
    let ran = failure.ran.clone().unwrap();
    let told = (ran.started, ran.pid);
    assert_eq!(told, (Some(SystemTime::UNIX_EPOCH), Some(77)));
}

#[tokio::test(start_paused = true)]
async fn a_suspect_waits_for_the_others_and_gets_a_fresh_slot() {
    let mut bed = warm(2);
    bed.batch("a", "slow", 0, 1, false);
    bed.batch("b", "fast", 1, 1, true);
    assert_eq!(bed.busy(), [(0, 1)], "the suspect waits");
    assert_eq!(bed.state.wants(), 0, "and nothing more is taken");
    bed.done(S0, 1, SECOND);
    assert_eq!(
        bed.busy(),
        [(2, 1)],
        "a slot that ran something was replaced"
    );
    bed.exit(SlotId(2), Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(1, Cause::Crashed)]);
    bed.confirm();
    assert_eq!(bed.state.wants(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_suspect_of_this_worker_gets_a_fresh_slot_beside_the_others() {
    let mut bed = warm(2);
    bed.batch("a", "slow", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.exit(S1, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(1, Cause::Suspect)]);
    bed.confirm();
    bed.batch("c", "fast", 5, 1, false);
    bed.done(SlotId(2), 1, Duration::from_micros(1));
    bed.batch("d", "fast", 1, 1, true);
    assert_eq!(
        bed.busy(),
        [(0, 1), (3, 1)],
        "an idle slot was replaced, a busy one goes on"
    );
    bed.exit(SlotId(3), Exit::Signal(9), None);
    assert_eq!(bed.causes()[1..], [(1, Cause::Crashed)]);
    // The same batch is delivered again.
    bed.batch("e", "fast", 1, 1, true);
    bed.done(SlotId(4), 1, Duration::from_micros(1));
    bed.batch("f", "fast", 6, 1, false);
    assert_eq!(bed.busy(), [(0, 1), (4, 1)], "others run as ever");
}

#[tokio::test(start_paused = true)]
async fn a_suspect_of_this_worker_does_not_starve_behind_short_tasks() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.exit(S0, Exit::Signal(9), None);
    bed.batch("b", "fast", 1, 1, false);
    bed.batch("c", "fast", 0, 1, true);
    bed.batch("d", "fast", 2, 1, false);
    assert_eq!(bed.busy(), [(1, 1)], "nothing goes behind what runs");
    bed.done(S1, 1, Duration::from_micros(1));
    let next = &bed.frames[&SlotId(2)];
    assert_eq!(
        task_head(&next[0].entries).unwrap().unwrap().task,
        TaskId(0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlives_its_timeout_is_killed_and_named() {
    let mut bed = bed(1);
    bed.batch("a", "slow", 0, 1, false);
    let deadline = bed.state.deadline().unwrap();
    assert_eq!(deadline, bed.now + SECOND);
    bed.now = deadline;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.now += SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0], "said once");
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::TimedOut)]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_beginning_of_the_task_that_runs() {
    let mut bed = bed(1);
    bed.batch("warm", "slow", 9, 1, false);
    bed.done(S0, 1, Duration::from_micros(1));
    bed.batch("a", "slow", 0, 8, false);
    let number = bed.frames[&S0][0].number;
    let began = bed.now + SECOND / 2;
    bed.script.0.insert(
        S0,
        Running {
            frame: number,
            index: 1,
            first: false,
            since: began,
        },
    );
    bed.now += SECOND;
    bed.tick();
    assert!(bed.kills.is_empty(), "the second task began later");
    bed.now = began + SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    let running = bed.script.0[&S0];
    bed.exit(S0, Exit::Signal(9), Some(running));
    assert_eq!(bed.causes(), [(1, Cause::TimedOut)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_its_tasks_and_is_never_acknowledged() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 3, false);
    bed.state.on_lease_lost(&LeaseId::new("a"), bed.now);
    bed.settle();
    assert_eq!(bed.cancels, [TaskId(0)]);
    bed.now += GRACE;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::Interrupted)]);
    bed.confirm();
    assert!(bed.acks.is_empty() && bed.releases.is_empty());
    assert!(bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_result_after_a_lost_lease_counts_and_a_failure_is_an_interruption() {
    let mut bed = bed(2);
    bed.batch("a", "fast", 0, 2, false);
    bed.state.on_lease_lost(&LeaseId::new("a"), bed.now);
    bed.settle();
    bed.done(S0, 1, SECOND);
    let mut entries = Vec::new();
    let failure = Failure::new(Cause::Failed, "told to stop");
    put_failed(&mut entries, TaskId(1), Attempt::FIRST, SECOND, &failure);
    let frame = bed.frames[&S1][0].number;
    let event = SlotEvent::Results {
        frame,
        entries: entries.into(),
        count: 1,
    };
    bed.state.on_slot(bed.now, S1, event, &bed.script);
    bed.settle();
    assert_eq!(bed.results.len(), 2);
    assert_eq!(bed.causes(), [(1, Cause::Interrupted)]);
}

fn revoke(bed: &mut Bed, first: u64, last: u64) {
    let revoked = Revoked {
        first: TaskId(first),
        last: TaskId(last),
        attempt: Attempt::FIRST,
    };
    let control = Control {
        run: RunId::new("test").unwrap(),
        epoch: 1,
        sequence: bed.state.control + 1,
        state: RunState::Open,
        ended_below: TaskId(0),
        revoked: vec![revoked],
        drain: vec![],
        greeted: vec![],
    };
    bed.state.on_control(&control, bed.now);
    bed.settle();
}

#[tokio::test(start_paused = true)]
async fn revoked_attempts_are_dropped_and_told_of_and_running_ones_are_stopped() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 3, false);
    revoke(&mut bed, 0, 1);
    assert_eq!(bed.cancels, [TaskId(0)]);
    bed.done(S0, 1, SECOND);
    assert_eq!(bed.busy(), [(0, 1)], "task 2 runs, task 1 is gone");
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    let told = bed.state.alive().revoked;
    assert_eq!(
        told,
        [TaskRun {
            first: TaskId(1),
            count: 1,
            attempt: Attempt::FIRST
        }]
    );
    bed.batch("b", "fast", 1, 1, false);
    assert_eq!(
        (bed.busy().len(), bed.acks.len()),
        (0, 2),
        "a late envelope is acknowledged unrun"
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_are_rejected_and_acknowledged() {
    let mut bed = bed(1);
    bed.batch("a", "nobody", 0, 2, false);
    assert_eq!(bed.causes(), [(0, Cause::Rejected), (1, Cause::Rejected)]);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    assert_eq!(bed.started, 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_two_seconds_is_put_back_and_the_first_task_never_is() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 5, false);
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(
        bed.put_back
            .iter()
            .map(|batch| batch.count)
            .collect::<Vec<_>>(),
        [4]
    );
    bed.done(S0, 1, SECOND);
    assert!(bed.acks.is_empty());
    bed.confirm();
    assert_eq!(
        bed.acks,
        ["a"],
        "the new batch is stored, so the old one may go"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_behind_a_long_task_is_given_back_and_not_taken_again() {
    let mut bed = warm(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.batch("c", "fast", 2, 1, false);
    assert_eq!(bed.busy(), [(0, 2)], "a runs, b is behind it, c waits");
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(bed.releases, ["c"]);
    assert_eq!(bed.state.wants(), 0, "c would be taken again");
    let (slot, frame) = bed.reclaims.pop().expect("b is asked back from the slot");
    let reclaimed = SlotEvent::Reclaimed { frame, kept: 0 };
    bed.state.on_slot(bed.now, slot, reclaimed, &bed.script);
    bed.settle();
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert_eq!(bed.put_back.len(), 1, "b began here: it is published anew");
    bed.confirm();
    assert_eq!(bed.acks, ["b"]);
    bed.done(S0, 1, 9 * SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["b", "a"]);
    assert!(bed.state.wants() > 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_runs_here_beside_the_task_that_kept_it_waiting() {
    let mut bed = warm(2);
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 4, false);
    let newest = bed.newest;
    // What waits behind a long task in a slot comes back, waits, and is put back.
    for _ in 0..10 {
        if !bed.put_back.is_empty() {
            break;
        }
        bed.now = bed.state.deadline().unwrap();
        bed.tick();
        for (slot, frame) in std::mem::take(&mut bed.reclaims) {
            let kept = u32::from(bed.frames[&slot][0].number == frame);
            let reclaimed = SlotEvent::Reclaimed { frame, kept };
            bed.state.on_slot(bed.now, slot, reclaimed, &bed.script);
        }
        bed.settle();
    }
    assert_eq!(bed.state.wants(), 0, "it would come here again at once");
    bed.confirm();
    bed.done(S0, 1, 9 * SECOND);
    assert!(bed.state.wants() > 0, "a slot is free");
    let (batch, entries) = (bed.put_back.remove(0), bed.put_back_entries.remove(0));
    assert_eq!(batch.number, newest);
    let before = bed.state.waiting + u64::from(bed.state.slots[0].left());
    bed.state
        .on_batch(bed.now, LeaseId::new("again"), &batch, entries, &Known)
        .unwrap();
    bed.settle();
    let after = bed.state.waiting + u64::from(bed.state.slots[0].left());
    assert_eq!(
        after - before,
        u64::from(batch.count),
        "it waits for a task of its batch, which may wait for it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_was_looked_at_does_not_keep_the_tasks_behind_it() {
    let mut bed = warm(1);
    let mut body = Vec::new();
    for (n, seconds) in [(0, 3600), (1, 1)] {
        let own = EntryOptions {
            timeout: Some(Duration::from_secs(seconds)),
            key: None,
        };
        let own = codec::encode(&own).unwrap();
        put_task(&mut body, TaskId(n), Attempt::FIRST, 0, &own, &[1]).unwrap();
    }
    bed.take_in("a", "fast", 2, body.into(), false);
    bed.settle();
    let came = bed.now;
    assert_eq!(bed.busy(), [(0, 2)], "one frame");
    for _ in 0..10 {
        if bed.reclaims.is_empty() {
            bed.now = bed.state.deadline().unwrap();
            bed.tick();
        }
    }
    assert_eq!(bed.now - came, 2 * SECOND);
    assert!(bed.kills.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_slots_that_start_stays() {
    let mut bed = bed(2);
    bed.deaf = true;
    bed.batch("a", "fast", 0, 1, false);
    bed.batch("b", "fast", 1, 1, false);
    bed.now += 10 * SECOND;
    bed.tick();
    assert!(bed.releases.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_free_slot_takes_over_what_waits_behind_a_long_task() {
    let mut bed = warm(2);
    bed.batch("a", "fast", 0, 600, false);
    let behind = bed.frames[&S0].len();
    while bed.frames.get(&S1).is_some_and(|frames| !frames.is_empty()) {
        let count = bed.frames[&S1][0].count;
        bed.done(S1, count, Duration::from_micros(1));
    }
    assert!(
        behind >= 1 && bed.state.slots[0].left() > 1,
        "slot 0 is stuck with several"
    );
    bed.now = bed.state.deadline().unwrap();
    bed.tick();
    assert!(!bed.reclaims.is_empty());
    for (id, frame) in std::mem::take(&mut bed.reclaims) {
        let kept = u32::from(bed.frames[&S0][0].number == frame);
        bed.state.on_slot(
            bed.now,
            id,
            SlotEvent::Reclaimed { frame, kept },
            &bed.script,
        );
    }
    bed.settle();
    assert_eq!(bed.state.slots[0].left(), 1);
    assert!(bed.state.slots[1].left() > 0);
}

#[tokio::test(start_paused = true)]
async fn draining_gives_back_what_has_not_begun_and_lets_the_rest_end() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 2, false);
    bed.batch("b", "fast", 5, 1, false);
    bed.state.drain();
    bed.settle();
    assert_eq!(bed.releases, ["b"]);
    assert_eq!(bed.put_back.len(), 1);
    assert_eq!(bed.state.wants(), 0);
    bed.done(S0, 1, SECOND);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    bed.state.retire_slots(bed.now);
    bed.settle();
    assert!(bed.state.has_no_slots());
}

#[tokio::test(start_paused = true)]
async fn stopping_interrupts_and_the_batch_goes_back_at_once() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    bed.state.stop(bed.now);
    bed.settle();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.causes(), [(0, Cause::Interrupted)]);
    assert_eq!(bed.releases, ["a"]);
    bed.confirm();
    assert!(bed.acks.is_empty() && bed.state.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worn_slot_is_replaced() {
    let mut bed = bed(1);
    bed.state.settings.max_tasks_per_slot = Some(2);
    for n in 0..5 {
        bed.batch("a", "fast", n, 1, false);
        let slot = SlotId(bed.busy()[0].0);
        bed.done(slot, 1, SECOND);
        bed.confirm();
    }
    assert_eq!(bed.started, 3);
}

/// A slot says that its first task was cancelled.
fn cancelled(bed: &mut Bed, id: SlotId) {
    let frame = bed.frames.get_mut(&id).unwrap().pop_front().unwrap();
    let head = task_head(&frame.entries).unwrap().unwrap();
    let failure = Failure::new(Cause::Cancelled, "it was cancelled before it began");
    let mut entries = Vec::new();
    put_failed(&mut entries, head.task, head.attempt, SECOND, &failure);
    let event = SlotEvent::Results {
        frame: frame.number,
        entries: entries.into(),
        count: 1,
    };
    bed.state.on_slot(bed.now, id, event, &bed.script);
    bed.settle();
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_that_is_revoked_ends() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, false);
    revoke(&mut bed, 0, 0);
    assert_eq!(bed.cancels, [TaskId(0)]);
    cancelled(&mut bed, S0);
    assert_eq!(bed.causes(), [(0, Cause::Cancelled)]);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_task_that_ran_alone_goes_on_with_its_end() {
    let mut bed = bed(1);
    bed.batch("a", "fast", 0, 1, true);
    bed.batch("b", "fast", 1, 1, false);
    bed.done(S0, 1, SECOND);
    assert!(bed.frames[&S0].is_empty(), "until its result is safe");
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    assert_eq!(bed.frames[&S0].len(), 1, "nothing else wakes the worker");
}

#[test]
fn a_line_bears_the_name_and_the_key_of_its_task_and_goes_before_its_failure() {
    let mut bed = bed(1);
    let options = codec::encode(&EntryOptions {
        key: Some("BTC".into()),
        timeout: None,
    })
    .unwrap();
    let mut body = Vec::new();
    put_task(&mut body, TaskId(7), Attempt::FIRST, 0, &options, &[]).unwrap();
    bed.take_in("a", "fast", 1, body.into(), false);
    bed.settle();
    let line = SlotEvent::Output {
        stream: Stream::Stderr,
        line: "thread panicked".to_owned(),
    };
    bed.state.on_slot(bed.now, S0, line, &bed.script);
    let frame = bed.frames[&S0][0].number;
    let mut entries = Vec::new();
    let failure = Failure::new(Cause::Panicked, "oh");
    put_failed(&mut entries, TaskId(7), Attempt::FIRST, SECOND, &failure);
    let results = SlotEvent::Results {
        frame,
        entries: entries.into(),
        count: 1,
    };
    bed.state.on_slot(bed.now, S0, results, &bed.script);
    let mut effects = Vec::new();
    bed.state.take_effects(&mut effects);
    let [
        Effect::Output(S0, Some(task), Stream::Stderr, _),
        Effect::SendLines,
        Effect::Publish(out),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((&*task.name, task.key.as_deref()), ("fast", Some("BTC")));
    assert_eq!((task.task, task.attempt), (TaskId(7), Attempt::FIRST));
    let Ok(Message::Results(results, _)) = Message::read(out.message.clone(), &MacKey::Absent)
    else {
        panic!("{out:?}");
    };
    assert_eq!(results.lines, 1, "the master waits for that many");
}

#[test]
fn short_tasks_with_a_key_go_one_by_one_to_a_slot_that_prints() {
    let mut bed = warm(1);
    let options = codec::encode(&EntryOptions {
        key: Some("BTC".into()),
        timeout: None,
    })
    .unwrap();
    let keyed = |first: u64| {
        let mut body = Vec::new();
        for n in first..first + 20 {
            put_task(&mut body, TaskId(n), Attempt::FIRST, 0, &options, &[]).unwrap();
        }
        Bytes::from(body)
    };
    bed.take_in("a", "fast", 20, keyed(0), false);
    bed.settle();
    assert_eq!(bed.busy(), [(0, 20)], "it printed nothing");
    bed.done(S0, 20, Duration::from_micros(1));
    let line = SlotEvent::Output {
        stream: Stream::Stdout,
        line: "a line".to_owned(),
    };
    bed.state.on_slot(bed.now, S0, line, &bed.script);
    bed.take_in("b", "fast", 20, keyed(20), false);
    bed.settle();
    assert_eq!(bed.busy(), [(0, 1)]);
    bed.done(S0, 1, Duration::from_micros(1));
    assert_eq!(bed.busy(), [(0, 1)]);
}
