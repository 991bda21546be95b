//! Slots as real processes of this test program: what they answer, how they end, and what they leave behind.
//!
//! Every wait is bounded, so a hang is a failure.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tasks print to be heard by their worker, and tests unwrap"
)]

mod crash;
mod measure;
mod memory;
mod orphans;
mod output;
mod start;
mod tasks;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use podpool_core::envelope::entry::{self, ResultEntry};
use podpool_core::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use podpool_core::outcome::{Cause, Exit, Failure};
use podpool_core::registry::Registry;
use podpool_core::slot::{
    Frame, Launch, OutOfMemory, OutputLimits, Program, Running, Setup, Slot, SlotEvent, SlotId,
    Stream, abandoned,
};
use podpool_core::task::{Call, Place, TaskContext};
use podpool_macros::task;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

podpool_core::test_slots!();

/// Longer than anything here takes; a hang fails after it.
const BOUND: Duration = Duration::from_secs(30);
const OTHER: &str = "PODPOOL_TEST_OTHER";
const MIDDLE: &str = "PODPOOL_TEST_MIDDLE";

/// Encoded calls of one frame.
#[derive(Default)]
struct Load {
    task_types: Vec<u32>,
    entries: Vec<u8>,
    count: u32,
    indices: HashMap<&'static str, u16>,
}

impl Load {
    fn of<T>(calls: impl IntoIterator<Item = Call<T>>) -> Self {
        let mut load = Self::default();
        for call in calls {
            load.add(call);
        }
        load
    }

    fn add<T>(&mut self, call: Call<T>) {
        let parts = call.into_parts();
        let types = &mut self.task_types;
        let kind = *self.indices.entry(parts.spec.name).or_insert_with(|| {
            let registry = Registry::global().unwrap();
            types.push(registry.index_of(parts.spec.name).unwrap());
            u16::try_from(types.len() - 1).unwrap()
        });
        let task = TaskId(u64::from(self.count) + 100);
        let arguments = parts.arguments.unwrap();
        entry::put_task(&mut self.entries, task, Attempt(3), kind, b"", &arguments).unwrap();
        self.count += 1;
    }

    fn frame(self, number: u64) -> Frame {
        Frame {
            number,
            execution: ExecutionId {
                worker: WorkerId(1),
                number,
            },
            task_types: self.task_types.into(),
            entries: self.entries.into(),
            count: self.count,
            noted: true,
            memory: None,
        }
    }
}

/// One slot and what it says.
struct Rig {
    slot: Slot,
    events: UnboundedReceiver<(SlotId, SlotEvent)>,
    printed: Vec<(Stream, String)>,
    /// It said that it was killed.
    killed: bool,
}

/// How a slot ended.
#[derive(Debug)]
struct Ended {
    exit: Exit,
    running: Option<Running>,
    started: Option<SystemTime>,
    pid: Option<u32>,
    tail: Vec<String>,
    peak_rss: Option<u64>,
    out_of_memory: Option<OutOfMemory>,
}

/// The wall clock says that it was a moment ago.
fn is_recent(started: Option<SystemTime>) -> bool {
    started.is_some_and(|started| started.elapsed().is_ok_and(|age| age < BOUND))
}

fn setup() -> Setup {
    Setup {
        place: Place {
            run: RunId::random(),
            worker: "the worker".into(),
            node: "the node".into(),
        },
        initializer: None,
        memory_limit: None,
    }
}

fn process() -> Program {
    Program::this_executable().unwrap()
}

impl Rig {
    fn start(program: Program, setup: Setup) -> Self {
        Self::start_with(program, setup, Vec::new())
    }

    fn start_with(program: Program, setup: Setup, mut env: Vec<(OsString, OsString)>) -> Self {
        let (sender, events) = unbounded_channel();
        // A backtrace would push a task's own words out of the tail.
        env.push(("RUST_BACKTRACE".into(), "0".into()));
        let launch = Launch {
            program,
            env,
            setup,
            output: OutputLimits::default(),
        };
        Self {
            slot: Slot::start(SlotId(7), &launch, sender).unwrap(),
            events,
            printed: Vec::new(),
            killed: false,
        }
    }

    async fn ready(program: Program, setup: Setup) -> Self {
        let mut rig = Self::start(program, setup);
        assert_eq!(rig.next().await, SlotEvent::Ready);
        rig
    }

    fn run<T>(&self, number: u64, calls: impl IntoIterator<Item = Call<T>>) {
        self.slot.run(Load::of(calls).frame(number));
    }

    /// The next event; what is printed is put aside.
    async fn next(&mut self) -> SlotEvent {
        loop {
            let (id, event) = tokio::time::timeout(BOUND, self.events.recv())
                .await
                .expect("an event in time")
                .expect("a living slot");
            assert_eq!(id, SlotId(7));
            match event {
                SlotEvent::Output { stream, line } => self.printed.push((stream, line)),
                event => return event,
            }
        }
    }

    /// The results of a frame, all of them.
    async fn results(&mut self, frame: u64, count: u32) -> Vec<ResultEntry> {
        let mut results = Vec::new();
        let mut left = count;
        while left > 0 {
            match self.next().await {
                SlotEvent::Results {
                    frame: its,
                    entries,
                    count,
                } if its == frame => {
                    left -= count;
                    let mut entries = entries.into_entries();
                    for _ in 0..count {
                        results.push(entry::next_result(&mut entries).unwrap().unwrap());
                    }
                    assert!(entries.is_empty());
                }
                other => panic!("no results but {other:?}"),
            }
        }
        results
    }

    async fn one<T: serde::de::DeserializeOwned>(&mut self, number: u64, call: Call<T>) -> T {
        self.run(number, [call]);
        let result = self.results(number, 1).await.remove(0);
        podpool_core::codec::decode(&result.outcome.unwrap()).unwrap()
    }

    async fn failure(&mut self, number: u64) -> Failure {
        self.results(number, 1).await.remove(0).outcome.unwrap_err()
    }

    async fn ended(&mut self) -> Ended {
        loop {
            match self.next().await {
                SlotEvent::Exited {
                    exit,
                    running,
                    started,
                    pid,
                    tail,
                    peak_rss,
                    out_of_memory,
                    ..
                } => {
                    assert_eq!(self.slot.running().is_some(), running.is_some());
                    return Ended {
                        exit,
                        running,
                        started,
                        pid,
                        tail,
                        peak_rss,
                        out_of_memory,
                    };
                }
                SlotEvent::Results { .. } => {}
                SlotEvent::Killed => self.killed = true,
                other => panic!("no end but {other:?}"),
            }
        }
    }

    async fn wait_for_line(&mut self, wanted: &str) {
        while !self.printed.iter().any(|(_, line)| line == wanted) {
            let (_, event) = tokio::time::timeout(BOUND, self.events.recv())
                .await
                .expect("a line in time")
                .expect("a living slot");
            match event {
                SlotEvent::Output { stream, line } => self.printed.push((stream, line)),
                other => panic!("no line but {other:?}"),
            }
        }
    }
}

/// Waits until a process is no more, or is a zombie that nobody has collected.
async fn is_gone(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::NONBLOCK) else {
        return;
    };
    let watch = Receiver::from_owned_fd_unchecked(descriptor).unwrap();
    tokio::time::timeout(BOUND, watch.readable())
        .await
        .expect("the process ends in time")
        .unwrap();
}

#[tokio::test]
async fn a_slot_answers_and_leaves() {
    let mut rig = Rig::ready(process(), setup()).await;
    assert_eq!(rig.one(1, tasks::hello("you".into())).await, "hello you");
    assert_eq!(rig.one(2, tasks::later(5)).await, 5);
    assert_eq!(rig.one(3, tasks::reads_stdin()).await, 0);
    let (worker, role, task, attempt, nested) = rig.one(4, tasks::what_it_is()).await;
    assert_eq!((worker.as_str(), role.as_str()), ("the worker", "Slot"));
    assert_eq!((task, attempt, nested), (100, 3, true));
    assert_eq!(rig.slot.running(), None);
    assert!(rig.slot.peak_rss().unwrap() > 1 << 20);
    let pid = rig.slot.pid().unwrap();
    rig.run(5, (0..10).map(tasks::later));
    rig.slot.exit();
    assert_eq!(rig.results(5, 10).await.len(), 10);
    let ended = rig.ended().await;
    assert_eq!((ended.exit, ended.running), (Exit::Code(0), None));
    assert_eq!(rig.slot.pid(), None);
    is_gone(pid).await;
    assert_eq!(rig.printed, []);
}

#[tokio::test]
async fn frames_are_answered_in_order() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, (0..300).map(tasks::noop));
    rig.run(2, (0..300).map(tasks::noop));
    for frame in [1, 2] {
        let results = rig.results(frame, 300).await;
        for (index, result) in (0..).zip(results) {
            assert_eq!(
                (result.task, result.attempt),
                (TaskId(index + 100), Attempt(3))
            );
            let value: u64 = podpool_core::codec::decode(&result.outcome.unwrap()).unwrap();
            assert_eq!(value, index);
        }
    }
}

#[tokio::test]
async fn large_payloads_pass_both_ways() {
    let mut rig = Rig::ready(process(), setup()).await;
    // A text: bytes one by one are encoded slowly without optimisation.
    let letter = |n: u32| char::from(b'a' + n.to_le_bytes()[1] % 26);
    let payload: String = (0..3 << 20).map(letter).collect();
    rig.run(1, (0..4).map(|_| tasks::echo(payload.clone())));
    rig.run(2, [tasks::echo(payload.clone())]);
    for (frame, count) in [(1, 4), (2, 1)] {
        for result in rig.results(frame, count).await {
            let text: String = podpool_core::codec::decode(&result.outcome.unwrap()).unwrap();
            assert!(text == payload);
        }
    }
}

#[tokio::test]
async fn tasks_that_have_not_begun_can_be_taken_back() {
    for program in [process(), Program::InProcess] {
        let mut rig = Rig::ready(program.clone(), setup()).await;
        let mut load = Load::of([tasks::noop(1)]);
        load.add(tasks::waits_for_cancel());
        load.add(tasks::noop(2));
        rig.slot.run(load.frame(1));
        rig.run(2, [tasks::noop(3)]);
        rig.run(3, [tasks::noop(4)]);
        assert_eq!(rig.results(1, 1).await.len(), 1);
        rig.slot.reclaim(1);
        assert_eq!(rig.next().await, SlotEvent::Reclaimed { frame: 1, kept: 2 });
        rig.slot.reclaim(2);
        assert_eq!(rig.next().await, SlotEvent::Reclaimed { frame: 2, kept: 0 });
        rig.slot.cancel(1, TaskId(101), Attempt(2));
        rig.slot.cancel(2, TaskId(101), Attempt(3));
        rig.slot.cancel(1, TaskId(101), Attempt(3));
        let result = rig.results(1, 1).await.remove(0);
        assert_eq!(result.task, TaskId(101));
        let word: String = podpool_core::codec::decode(&result.outcome.unwrap()).unwrap();
        assert_eq!(word, "cancelled");
        assert_eq!(rig.results(3, 1).await.len(), 1);
        rig.slot.reclaim(3);
        let late = SlotEvent::Reclaimed {
            frame: 3,
            kept: u32::MAX,
        };
        assert_eq!(rig.next().await, late);
    }
}

#[tokio::test]
async fn a_thread_keeps_the_contract_as_far_as_it_can() {
    let mut rig = Rig::ready(Program::InProcess, setup()).await;
    assert_eq!(rig.one(1, tasks::hello("you".into())).await, "hello you");
    rig.run(2, (0..300).map(tasks::noop));
    assert_eq!(rig.results(2, 300).await.len(), 300);
    rig.run(3, [tasks::panics("luck".into())]);
    assert_eq!(rig.failure(3).await.cause, Cause::Panicked);
    rig.slot.exit();
    assert_eq!(rig.ended().await.exit, Exit::Code(0));

    let mut rig = Rig::ready(Program::InProcess, setup()).await;
    rig.run(1, [tasks::hangs()]);
    assert_eq!(
        rig.slot.running().map(|r| (r.frame, r.index, r.first)),
        Some((1, 0, true))
    );
    let before = abandoned();
    rig.slot.kill();
    let ended = rig.ended().await;
    assert_eq!(
        (ended.exit, ended.running.map(|r| r.frame)),
        (Exit::Signal(9), Some(1))
    );
    assert_eq!(abandoned(), before + 1);
}
