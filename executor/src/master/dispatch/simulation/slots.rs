//! The slots of the simulation: they follow the scripts of their tasks and keep the contract of a real slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fastrand::Rng;
use podpool_core::envelope::entry::{next_task, put_done, put_failed, task_head};
use podpool_core::id::{Attempt, TaskId};
use podpool_core::outcome::{Cause, Exit, Failure};
use podpool_core::slot::{Frame, Running, SlotEvent, SlotId, Stream};
use podpool_core::worker::effect::Probe;
use tokio::time::Instant;

use super::script::Script;

/// The running task's end, by the number of its execution in the slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step(u64);

#[derive(Debug, Default)]
struct Slot {
    frames: VecDeque<Given>,
    running: Option<Running>,
    /// How many tasks it began.
    begun: u64,
    /// The last of them whose end was foreseen.
    foreseen: u64,
    /// Whether its running task is over.
    over: bool,
    cancelled: BTreeSet<(u64, TaskId, Attempt)>,
    ready: bool,
    leaving: bool,
    killed: bool,
    gone: bool,
    said: Vec<SlotEvent>,
    ran: Vec<Ran>,
}

/// What became of a task in a slot, as the slot itself knows it.
#[derive(Debug)]
pub(super) enum Ran {
    Begun(TaskId, Attempt),
    /// With this output, or by what its script does.
    Ended(TaskId, Attempt, Result<Vec<u8>, Cause>),
}

/// A frame in a slot.
#[derive(Debug)]
struct Given {
    number: u64,
    entries: Bytes,
    count: u32,
    /// Tasks that ended.
    index: u32,
    /// Results that were not said yet.
    buffer: Vec<u8>,
    buffered: u32,
}

/// What slots say, and what comes next in them.
#[derive(Debug, Default)]
pub(super) struct Advanced {
    pub(super) said: Vec<(SlotId, SlotEvent)>,
    pub(super) steps: Vec<(SlotId, Duration, Step)>,
    pub(super) ran: Vec<Ran>,
}

/// The slots of one worker.
#[derive(Debug, Default)]
pub(super) struct Slots(BTreeMap<SlotId, Slot>);

impl Probe for Slots {
    fn running(&self, slot: SlotId) -> Option<Running> {
        self.0.get(&slot)?.running
    }

    fn tail(&self, _: SlotId, _: u64) -> Vec<String> {
        Vec::new()
    }

    fn peak_rss(&self, _: SlotId) -> Option<u64> {
        None
    }

    fn resident(&self, _: SlotId) -> Option<u64> {
        None
    }
}

impl Slots {
    /// The tasks that run now.
    pub(super) fn running_tasks(&self) -> Vec<(TaskId, Attempt)> {
        let running = self.0.values().filter(|slot| slot.running.is_some());
        let frames = running.filter_map(|slot| slot.frames.front());
        let heads = frames.filter_map(|frame| task_head(&frame.entries).ok().flatten());
        heads.map(|head| (head.task, head.attempt)).collect()
    }

    pub(super) fn start(&mut self, id: SlotId) {
        let mut slot = Slot::default();
        slot.said.push(SlotEvent::Ready);
        self.0.insert(id, slot);
    }

    /// The worker hears something.
    pub(super) fn said(&mut self, id: SlotId, event: &SlotEvent) {
        if *event == SlotEvent::Ready
            && let Some(slot) = self.0.get_mut(&id)
        {
            slot.ready = true;
        }
    }

    pub(super) fn run(&mut self, id: SlotId, frame: Frame) {
        let slot = self.0.get_mut(&id).expect("frames go to slots that are");
        assert!(slot.ready && !slot.leaving, "frames go to ready slots");
        assert_eq!(frame.task_types.len(), 1);
        slot.frames.push_back(Given {
            number: frame.number,
            entries: frame.entries,
            count: frame.count,
            index: 0,
            buffer: Vec::new(),
            buffered: 0,
        });
    }

    pub(super) fn reclaim(&mut self, id: SlotId, number: u64) {
        let Some(slot) = self.0.get_mut(&id).filter(|slot| !slot.gone) else {
            return;
        };
        let running = slot.running.map(|running| running.frame);
        let kept = match slot.frames.iter_mut().find(|frame| frame.number == number) {
            None => u32::MAX,
            Some(frame) => {
                frame.count = frame.index + u32::from(running == Some(number));
                frame.count
            }
        };
        slot.say_results(number);
        slot.said.push(SlotEvent::Reclaimed {
            frame: number,
            kept,
        });
        slot.frames.retain(|frame| frame.index < frame.count);
    }

    pub(super) fn cancel(&mut self, id: SlotId, frame: u64, task: TaskId, attempt: Attempt) {
        if let Some(slot) = self.0.get_mut(&id)
            && slot.frames.iter().any(|given| given.number == frame)
        {
            slot.cancelled.insert((frame, task, attempt));
        }
    }

    pub(super) fn exit(&mut self, id: SlotId) {
        if let Some(slot) = self.0.get_mut(&id) {
            slot.leaving = true;
        }
    }

    pub(super) fn kill(&mut self, id: SlotId) {
        if let Some(slot) = self.0.get_mut(&id) {
            slot.killed = true;
        }
    }

    pub(super) fn forget(&mut self, id: SlotId) {
        self.0.remove(&id);
    }

    /// The running task may be over.
    pub(super) fn step(&mut self, id: SlotId, step: Step) {
        if let Some(slot) = self.0.get_mut(&id)
            && slot.begun == step.0
        {
            slot.over = true;
        }
    }

    /// Lets each slot go on as far as it can now.
    pub(super) fn advance(&mut self, now: Instant, rng: &mut Rng) -> Advanced {
        let mut advanced = Advanced::default();
        for (id, slot) in &mut self.0 {
            while !slot.gone && slot.go_on(now, rng) {}
            let said = slot.said.drain(..);
            advanced.said.extend(said.map(|event| (*id, event)));
            advanced.ran.append(&mut slot.ran);
            if let Some(after) = slot.due(rng) {
                advanced.steps.push((*id, after, Step(slot.begun)));
            }
        }
        advanced
    }
}

impl Slot {
    /// One thing; false when it has to wait.
    fn go_on(&mut self, now: Instant, rng: &mut Rng) -> bool {
        if self.killed {
            self.die(Exit::Signal(9));
            return false;
        }
        if self.running.is_some() {
            return self.end_task(now, rng);
        }
        let Some(frame) = self.frames.front() else {
            if self.leaving {
                self.die(Exit::Code(0));
            }
            return false;
        };
        if frame.index == frame.count {
            let number = frame.number;
            self.say_results(number);
            self.frames.pop_front();
            return true;
        }
        self.running = Some(Running {
            frame: frame.number,
            index: frame.index,
            first: self.begun == 0,
            since: now,
        });
        self.begun += 1;
        self.over = false;
        let head = task_head(&frame.entries).unwrap().unwrap();
        let key = (frame.number, head.task, head.attempt);
        if self.cancelled.remove(&key) {
            // It was cancelled before it began.
            self.finish(Some(Cause::Cancelled), now, rng);
        } else {
            self.ran.push(Ran::Begun(head.task, head.attempt));
        }
        true
    }

    /// How long until the task that just began is over; `None` when it never will be.
    fn due(&mut self, rng: &mut Rng) -> Option<Duration> {
        let frame = self.frames.front().filter(|_| self.running.is_some())?;
        if std::mem::replace(&mut self.foreseen, self.begun) == self.begun {
            return None;
        }
        let entry = next_task(&mut frame.entries.clone()).unwrap().unwrap();
        let first = entry.attempt == Attempt::FIRST;
        let millis = match Script::of(&entry.payload) {
            Script::Slow => rng.u64(20..400),
            Script::Long => rng.u64(18_000..30_000),
            Script::Hangs => return None,
            Script::HangsOnce if first => return None,
            _ => rng.u64(1..4),
        };
        Some(Duration::from_millis(millis))
    }

    /// The running task ends, if it does.
    fn end_task(&mut self, now: Instant, rng: &mut Rng) -> bool {
        let entries = &self.frames[0].entries;
        let entry = next_task(&mut entries.clone()).unwrap().unwrap();
        let script = Script::of(&entry.payload);
        // Half of the tasks listen when they are cancelled; the others are killed after the grace.
        let listens = entry.task.0.is_multiple_of(2);
        let key = (self.frames[0].number, entry.task, entry.attempt);
        if listens && self.cancelled.remove(&key) {
            self.finish(Some(Cause::Cancelled), now, rng);
            return true;
        }
        if !self.over {
            return false;
        }
        let first = entry.attempt == Attempt::FIRST;
        match script {
            Script::Crashes => self.crash(Exit::Signal(11)),
            Script::CrashesOnce if first => self.crash(Exit::Code(101)),
            Script::Fails => self.finish(Some(Cause::Failed), now, rng),
            Script::FailsOnce if first => self.finish(Some(Cause::Panicked), now, rng),
            _ => self.finish(None, now, rng),
        }
        true
    }

    fn finish(&mut self, cause: Option<Cause>, now: Instant, rng: &mut Rng) {
        if rng.u8(..8) == 0 {
            self.said.push(SlotEvent::Output {
                stream: Stream::Stdout,
                line: String::new(),
            });
        }
        let frame = &mut self.frames[0];
        let head = task_head(&frame.entries).unwrap().unwrap();
        let since = self.running.take().expect("it runs").since;
        let elapsed = now - since;
        let output = output(&frame.entries, rng);
        let ended = cause.map_or_else(|| Ok(output.clone()), Err);
        self.ran.push(Ran::Ended(head.task, head.attempt, ended));
        match cause {
            None => put_done(&mut frame.buffer, head.task, head.attempt, |body| {
                body.extend_from_slice(&output);
                Ok::<_, ()>(elapsed)
            })
            .unwrap(),
            Some(cause) => {
                let failure = Failure::new(cause, "as its script says");
                put_failed(
                    &mut frame.buffer,
                    head.task,
                    head.attempt,
                    elapsed,
                    &failure,
                );
            }
        }
        frame.entries.advance(head.length);
        frame.index += 1;
        frame.buffered += 1;
        let number = frame.number;
        if rng.bool() {
            self.say_results(number);
        }
    }

    fn say_results(&mut self, number: u64) {
        let frame = self.frames.iter_mut().find(|frame| frame.number == number);
        if let Some(frame) = frame.filter(|frame| frame.buffered > 0) {
            self.said.push(SlotEvent::Results {
                frame: number,
                entries: std::mem::take(&mut frame.buffer).into(),
                count: std::mem::take(&mut frame.buffered),
            });
        }
    }

    /// Its task ends it.
    fn crash(&mut self, exit: Exit) {
        if let Ok(Some(head)) = task_head(&self.frames[0].entries) {
            let crashed = Err(Cause::Crashed);
            self.ran.push(Ran::Ended(head.task, head.attempt, crashed));
        }
        self.die(exit);
    }

    fn die(&mut self, exit: Exit) {
        self.gone = true;
        self.said.push(SlotEvent::Exited {
            exit,
            running: self.running,
            started: None,
            pid: None,
            tail: Vec::new(),
            peak_rss: None,
            out_of_memory: None,
            reached_init: true,
        });
        self.frames.clear();
    }
}

/// What the first of these tasks returns: what it was called with beside its script, and a number that no other execution
/// returns. Nothing, where its script is all that it was called with.
fn output(entries: &Bytes, rng: &mut Rng) -> Vec<u8> {
    let entry = next_task(&mut entries.clone()).unwrap().unwrap();
    let called = &entry.payload[1..];
    if called.is_empty() {
        return Vec::new();
    }
    [called, &rng.u64(..).to_le_bytes()].concat()
}
