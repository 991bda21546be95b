//! The worker's decisions, driven by hand: slots and queues are played by the test.

mod blame;
mod leaving;
mod memory;
mod output;
mod overdue;
mod put_back;
mod replay;
mod startups;
mod stops;
mod suspects;
mod timeouts;

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

/// What slots would report that they run.
#[derive(Default)]
struct Script {
    running: HashMap<SlotId, Running>,
    resident: HashMap<SlotId, u64>,
}

impl Probe for Script {
    fn running(&self, slot: SlotId) -> Option<Running> {
        self.running.get(&slot).copied()
    }

    fn tail(&self, _: SlotId, _: u64) -> Vec<String> {
        vec!["last words".to_owned()]
    }

    fn peak_rss(&self, _: SlotId) -> Option<u64> {
        Some(7)
    }

    fn resident(&self, slot: SlotId) -> Option<u64> {
        self.resident.get(&slot).copied()
    }
}

struct Bed {
    state: WorkerState,
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
    /// How many of the next slots end before they are ready.
    failing_startups: u32,
    /// Whether those report that the initializer failed.
    refuses: bool,
    /// Whether slots ignore every request.
    deaf: bool,
    /// The number of the batch that came last.
    newest: u64,
}

fn task_type(name: &str) -> TaskType {
    TaskType {
        name: name.into(),
        fingerprint: Fingerprint([0; 16]),
    }
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
        shared_memory: Some(5 << 30),
        types: Some(vec![task_type("unknown")]),
    };
    Bed {
        state: WorkerState::new(settings),
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
        let task_types = vec![self::task_type(task_type)];
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

    /// What the slot was at, as a real one would report: the only task that is left of its first frame.
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

/// A bed that has measured `fast`: frames may be large.
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
    assert_eq!(bed.state.wants(), 0, "no slot is free and something waits");
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
async fn unknown_task_types_are_rejected_and_acknowledged() {
    let mut bed = bed(1);
    bed.batch("a", "unknown", 0, 2, false);
    assert_eq!(bed.causes(), [(0, Cause::Rejected), (1, Cause::Rejected)]);
    bed.confirm();
    assert_eq!(bed.acks, ["a"]);
    assert_eq!(bed.started, 0);
}

/// A slot reports that its first task was cancelled.
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
