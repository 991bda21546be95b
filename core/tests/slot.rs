//! Slots as real processes of this test program: what they answer, how they end, and what they leave behind.
//!
//! Every wait is bounded, so a hang is a failure.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tasks print to be heard by their worker, and tests unwrap"
)]

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

mod tasks {
    //! What the slots run.
    use super::*;

    #[task(crate = podpool_core)]
    pub fn hello(name: String) -> String {
        format!("hello {name}")
    }

    #[task(crate = podpool_core)]
    pub async fn later(value: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        value
    }

    #[task(crate = podpool_core)]
    pub fn noop(value: u64) -> u64 {
        value
    }

    #[task(crate = podpool_core)]
    pub fn echo(text: String) -> String {
        text
    }

    #[task(crate = podpool_core)]
    pub fn panics(word: String) {
        println!("about to panic");
        panic!("no {word}");
    }

    #[task(crate = podpool_core)]
    pub async fn panics_later(word: String) {
        tokio::task::yield_now().await;
        panic!("no {word}");
    }

    #[task(crate = podpool_core)]
    pub fn aborts() {
        println!("last words");
        std::process::abort();
    }

    #[task(crate = podpool_core)]
    #[expect(clippy::exit, reason = "it is what the test is about")]
    pub fn exits(code: i32) {
        std::process::exit(code);
    }

    #[task(crate = podpool_core)]
    pub fn overflows(depth: u64) -> u64 {
        fn deeper(depth: u64) -> u64 {
            let room = std::hint::black_box([depth; 512]);
            if depth == u64::MAX {
                return room[0];
            }
            deeper(depth + 1) + room[7]
        }
        deeper(depth)
    }

    #[task(crate = podpool_core)]
    pub async fn waits_for_cancel(ctx: &TaskContext) -> String {
        println!("waiting");
        ctx.cancelled().await;
        "cancelled".to_owned()
    }

    #[task(crate = podpool_core)]
    pub fn hangs() {
        println!("hanging");
        loop {
            std::thread::park();
        }
    }

    #[task(crate = podpool_core)]
    pub fn prints(word: String) {
        println!("out {word}");
        eprintln!("err {word}");
        print!("open {word}");
    }

    #[task(crate = podpool_core)]
    pub fn floods(mebibytes: usize) {
        let line = format!("{}\n", "x".repeat(99));
        let block = line.repeat(1 << 14);
        let mut out = std::io::stdout().lock();
        let mut left = mebibytes << 20;
        while left > 0 {
            let part = left.min(block.len());
            out.write_all(&block.as_bytes()[..part]).unwrap();
            left -= part;
        }
        out.write_all(b"\nthe end\n").unwrap();
    }

    /// A grandchild that outlives its task and holds every stream, the data socket's process group included.
    #[task(crate = podpool_core)]
    pub fn leaves_a_grandchild() -> u32 {
        Command::new("sleep").arg("1000").spawn().unwrap().id()
    }

    #[task(crate = podpool_core)]
    pub fn hogs(mebibytes: usize, step: usize) -> usize {
        let mut held = Vec::new();
        for _ in 0..mebibytes / step {
            held.push(vec![1_u8; step << 20]);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        held.len()
    }

    #[task(crate = podpool_core)]
    pub fn claims(mebibytes: usize) -> usize {
        std::hint::black_box(vec![1_u8; mebibytes << 20]).len()
    }

    #[task(crate = podpool_core)]
    pub fn refuses() -> Result<(), String> {
        Err("this slot is not to be".to_owned())
    }

    /// Ends every socket of the process, and goes on.
    #[task(crate = podpool_core)]
    pub fn cuts_its_sockets() {
        let me = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        for number in 3..64 {
            if let Ok(descriptor) = pidfd_getfd(&me, number, PidfdGetfdFlags::empty()) {
                let _ = rustix::net::shutdown(descriptor, rustix::net::Shutdown::Both);
            }
        }
        loop {
            std::thread::park();
        }
    }

    /// A value whose shape depends on the environment: two processes of one program then seem to be two programs.
    #[derive(Debug, serde::Serialize)]
    pub(super) struct Changed(pub(super) u64);

    impl<'de> serde::Deserialize<'de> for Changed {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if std::env::var_os(OTHER).is_some() {
                u32::deserialize(deserializer).map(|value| Self(value.into()))
            } else {
                u64::deserialize(deserializer).map(Self)
            }
        }
    }

    #[task(crate = podpool_core)]
    pub(super) fn changes(value: Changed) -> u64 {
        value.0
    }

    #[task(crate = podpool_core)]
    pub fn reads_stdin() -> usize {
        std::io::stdin().lines().count()
    }

    #[task(crate = podpool_core)]
    pub fn closes_stdout(path: String) {
        let file = std::fs::File::open(path).unwrap();
        rustix::stdio::dup2_stdout(&file).unwrap();
        rustix::stdio::dup2_stderr(&file).unwrap();
    }

    #[task(crate = podpool_core)]
    pub fn what_it_is(ctx: &TaskContext) -> (String, String, u64, u32, bool) {
        (
            ctx.worker().to_owned(),
            format!("{:?}", podpool_core::init::role()),
            ctx.task().0,
            ctx.attempt().0,
            podpool_core::init::may_build() == Err(podpool_core::init::BuildRefused::NestedPool),
        )
    }
}

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
async fn a_panic_is_a_failure_with_its_place() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::panics("luck".into())]);
    let failure = rig.failure(1).await;
    assert_eq!(failure.cause, Cause::Panicked);
    assert!(failure.message.starts_with("no luck, at "), "{failure}");
    assert!(failure.message.contains("slot.rs:"), "{failure}");
    let ran = failure.ran.unwrap();
    assert_eq!(ran.pid, rig.slot.pid());
    assert!(is_recent(ran.started), "{ran:?}");
    let tail = rig.slot.tail(1);
    assert_eq!(tail[0], "about to panic", "{tail:?}");
    assert!(tail.iter().any(|line| line.contains("no luck")), "{tail:?}");
    rig.run(2, [tasks::panics_later("hope".into())]);
    let failure = rig.failure(2).await;
    assert!(failure.message.starts_with("no hope, at "), "{failure}");
    assert_eq!(rig.one(3, tasks::later(1)).await, 1);
    assert_eq!(rig.slot.tail(3), [""; 0]);
}

#[tokio::test]
async fn a_crash_names_the_task_and_its_last_words() {
    let mut rig = Rig::ready(process(), setup()).await;
    let mut load = Load::of((0..17).map(tasks::noop));
    load.add(tasks::aborts());
    load.add(tasks::noop(1));
    let pid = rig.slot.pid();
    rig.slot.run(load.frame(9));
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(pid.is_some() && ended.pid == pid, "{ended:?}");
    assert!(is_recent(ended.started), "{ended:?}");
    // It was looked at once, when its first frame came.
    assert!(ended.peak_rss.unwrap() > 1 << 20);
    let running = ended.running.unwrap();
    assert_eq!(
        (running.frame, running.index, running.first),
        (9, 17, false)
    );
    assert_eq!(ended.tail, ["last words"]);
    assert_eq!(ended.out_of_memory, None);
    assert_eq!(rig.printed, [(Stream::Stdout, "last words".to_owned())]);
}

#[tokio::test]
async fn the_first_task_of_a_slot_is_told_apart() {
    for packed in [false, true] {
        let mut rig = Rig::ready(process(), setup()).await;
        let mut load = Load::of([tasks::exits(3)]);
        if packed {
            load.add(tasks::noop(1));
        }
        rig.slot.run(load.frame(1));
        let ended = rig.ended().await;
        assert_eq!(ended.exit, Exit::Code(3));
        let running = ended.running.unwrap();
        assert_eq!((running.frame, running.index, running.first), (1, 0, true));
    }
    let mut rig = Rig::ready(process(), setup()).await;
    rig.one(1, tasks::noop(1)).await;
    rig.run(2, [tasks::exits(4)]);
    let running = rig.ended().await.running.unwrap();
    assert_eq!((running.frame, running.index, running.first), (2, 0, false));
}

#[tokio::test]
async fn a_stack_overflow_is_a_crash() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::overflows(0)]);
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(
        ended
            .tail
            .iter()
            .any(|line| line.contains("overflowed its stack")),
        "{ended:?}"
    );
    assert_eq!(ended.out_of_memory, None);
}

#[tokio::test]
async fn a_task_that_hangs_is_killed() {
    let mut rig = Rig::ready(process(), setup()).await;
    let mut load = Load::of([tasks::noop(1), tasks::noop(2)]);
    load.add(tasks::hangs());
    load.add(tasks::noop(3));
    let before = tokio::time::Instant::now();
    rig.slot.run(load.frame(1));
    // What was done comes while the task hangs.
    assert_eq!(rig.results(1, 2).await.len(), 2);
    rig.wait_for_line("hanging").await;
    let running = rig.slot.running().unwrap();
    assert_eq!((running.frame, running.index, running.first), (1, 2, false));
    assert!(running.since >= before && running.since <= tokio::time::Instant::now());
    rig.slot.kill();
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|r| r.index), Some(2));
    assert_eq!(ended.out_of_memory, None);
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
async fn output_comes_before_the_result_of_its_task() {
    let mut rig = Rig::ready(process(), setup()).await;
    for number in 1..50 {
        rig.one(number, tasks::prints(number.to_string())).await;
        rig.printed
            .sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let expected = [
            (Stream::Stdout, format!("out {number}")),
            (Stream::Stdout, format!("open {number}")),
            (Stream::Stderr, format!("err {number}")),
        ];
        assert_eq!(std::mem::take(&mut rig.printed), expected);
    }
}

#[tokio::test]
async fn a_flood_neither_fills_memory_nor_stalls_others() {
    let mut other = Rig::ready(process(), setup()).await;
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::floods(100)]);
    let flood = Instant::now();
    let mut worst = Duration::ZERO;
    let mut number = 0;
    let mut passed = 0;
    let mut left_out = None;
    let mut ended = false;
    while !ended {
        number += 1;
        let began = Instant::now();
        other.one(number, tasks::noop(1)).await;
        worst = worst.max(began.elapsed());
        while let Ok((_, event)) = rig.events.try_recv() {
            match event {
                SlotEvent::Output { line, .. } if line.starts_with("podpool: ") => {
                    left_out = Some(line);
                }
                SlotEvent::Output { line, .. } => passed += line.len(),
                SlotEvent::Results { .. } => ended = true,
                other => panic!("{other:?}"),
            }
        }
    }
    println!("passed {passed} bytes; longest round trip beside it {worst:?}; {left_out:?}");
    assert!(passed < 50 << 20, "{passed}");
    assert!(left_out.unwrap().contains("were left out"));
    // A stall would last as long as the flood, however busy the machine is.
    let flood = flood.elapsed();
    assert!(worst < flood / 2, "{worst:?} of {flood:?}");
    assert_eq!(rig.slot.tail(1).last().unwrap(), "the end");
}

#[tokio::test]
async fn a_grandchild_holds_nothing_up_and_goes_too() {
    let mut rig = Rig::ready(process(), setup()).await;
    let polite = rig.one(1, tasks::leaves_a_grandchild()).await;
    rig.slot.exit();
    assert_eq!(rig.ended().await.exit, Exit::Code(0));
    is_gone(polite).await;
    let mut rig = Rig::ready(process(), setup()).await;
    let killed = rig.one(1, tasks::leaves_a_grandchild()).await;
    rig.slot.kill();
    assert_eq!(rig.ended().await.exit, Exit::Signal(9));
    is_gone(killed).await;
}

#[tokio::test]
async fn a_slot_whose_task_closes_what_it_needs_ends() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::closes_stdout("/dev/null".into())]);
    assert_eq!(rig.results(1, 1).await.len(), 1);
    assert_eq!(rig.one(2, tasks::noop(1)).await, 1);
    rig.run(3, [tasks::cuts_its_sockets()]);
    let ended = rig.ended().await;
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|r| r.frame), Some(3));
}

#[tokio::test]
async fn a_slot_past_its_memory_is_stopped() {
    let limited = || Setup {
        memory_limit: Some(128 << 20),
        ..setup()
    };
    let mut rig = Rig::ready(process(), limited()).await;
    assert_eq!(rig.one(1, tasks::claims(32)).await, 32 << 20);
    rig.run(2, [tasks::hogs(1024, 4)]);
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfSlot(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(9));
    assert!(
        rig.killed,
        "so that its end is not waited for without a bound"
    );
    assert!(ended.peak_rss.unwrap() > 128 << 20);
    // More than the kernel's stop, at once: the allocator gives up before the sampler looks.
    let mut rig = Rig::ready(process(), limited()).await;
    rig.run(1, [tasks::claims(2048)]);
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfSlot(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(6));
    assert!(
        ended.tail[0].starts_with("memory allocation of"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_limit_of_a_frame_counts_while_it_runs() {
    let mut rig = Rig::ready(process(), setup()).await;
    let limited = |number, call: Call<usize>| Frame {
        memory: Some(128 << 20),
        ..Load::of([call]).frame(number)
    };
    rig.slot.run(limited(1, tasks::claims(8)));
    assert_eq!(rig.results(1, 1).await.len(), 1);
    // More than that, for longer than it takes to look, by a frame without a limit.
    assert_eq!(rig.one(2, tasks::hogs(256, 8)).await, 32);
    rig.slot.run(limited(3, tasks::hogs(1024, 4)));
    let ended = rig.ended().await;
    assert_eq!(ended.out_of_memory, Some(OutOfMemory::OfTask(128 << 20)));
    assert_eq!(ended.exit, Exit::Signal(9));
    assert_eq!(ended.running.map(|running| running.frame), Some(3));
    assert!(ended.peak_rss.unwrap() > 128 << 20);
}

fn initializer<T>(call: Call<T>) -> Setup {
    let parts = call.into_parts();
    let index = Registry::global()
        .unwrap()
        .index_of(parts.spec.name)
        .unwrap();
    Setup {
        initializer: Some((index, Bytes::from(parts.arguments.unwrap()))),
        ..setup()
    }
}

#[tokio::test]
async fn an_initializer_runs_first_and_its_failure_ends_the_slot() {
    for program in [process(), Program::InProcess] {
        let mut rig = Rig::ready(program.clone(), initializer(tasks::prints("me".into()))).await;
        assert_eq!(rig.one(1, tasks::noop(1)).await, 1);
        assert_eq!(rig.printed.is_empty(), program == Program::InProcess);
        let mut rig = Rig::start(program, initializer(tasks::refuses()));
        rig.run(1, [tasks::noop(1)]);
        match rig.next().await {
            SlotEvent::SetupFailed(failure) => {
                assert_eq!(failure.message, "this slot is not to be")
            }
            other => panic!("{other:?}"),
        }
        assert_ne!(rig.ended().await.exit, Exit::Code(0));
    }
}

#[tokio::test]
async fn a_program_that_is_no_slot_ends_and_says_what_it_printed() {
    let program = Program::Process {
        path: "/bin/sh".into(),
        name: None,
        args: ["-c", "echo what is this; exit 5"].map(Into::into).into(),
    };
    let mut rig = Rig::start(program, setup());
    let ended = rig.ended().await;
    assert_eq!((ended.exit, ended.running), (Exit::Code(5), None));
    assert_eq!(ended.tail, ["what is this"]);
    let missing = Launch {
        program: Program::Process {
            path: "/no/such/program".into(),
            name: None,
            args: Vec::new(),
        },
        env: Vec::new(),
        setup: setup(),
        output: OutputLimits::default(),
    };
    let (sender, _events) = unbounded_channel();
    let error = Slot::start(SlotId(7), &missing, sender).unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn a_slot_with_other_tasks_refuses_to_begin() {
    let mut rig = Rig::ready(process(), setup()).await;
    assert_eq!(rig.one(1, tasks::changes(tasks::Changed(5))).await, 5);
    let mut rig = Rig::start_with(process(), setup(), vec![(OTHER.into(), "1".into())]);
    match rig.next().await {
        SlotEvent::SetupFailed(failure) => {
            assert_eq!(failure.cause, Cause::Broken);
            assert!(failure.message.contains("other tasks"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.ended().await.exit, Exit::Code(65));
}

#[tokio::test]
async fn dropping_the_handle_kills_the_slot() {
    let mut rig = Rig::ready(process(), setup()).await;
    rig.run(1, [tasks::hangs()]);
    rig.wait_for_line("hanging").await;
    let pid = rig.slot.pid().unwrap();
    drop(rig);
    is_gone(pid).await;
}

#[test]
fn a_runtime_that_ends_leaves_no_slot() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    let rig = first.block_on(Rig::ready(process(), setup()));
    let pid = rig.slot.pid().unwrap();
    drop(first);
    runtime().block_on(is_gone(pid));
    rig.slot.kill();
}

/// The process between this test program and a slot: it is killed without warning.
#[test]
fn a_middle_process() {
    if std::env::var_os(MIDDLE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut rig = Rig::ready(process(), setup()).await;
        let grandchild = rig.one(1, tasks::leaves_a_grandchild()).await;
        rig.run(2, [tasks::hangs()]);
        rig.wait_for_line("hanging").await;
        println!("pids {} {grandchild}", rig.slot.pid().unwrap());
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn a_killed_worker_leaves_no_slot_and_no_grandchild() {
    let mut middle = tokio::process::Command::new("/proc/self/exe")
        .args(["a_middle_process", "--exact", "--nocapture"])
        .env(MIDDLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(middle.stdout.take().unwrap()).lines();
    let told = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("its word");
            if let Some((_, pids)) = line.split_once("pids ") {
                return pids.to_owned();
            }
        }
    };
    let pids = tokio::time::timeout(BOUND, told).await.unwrap();
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 2);
    tokio::time::timeout(BOUND, middle.kill())
        .await
        .unwrap()
        .unwrap();
    for pid in pids {
        is_gone(pid).await;
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

/// A slot holds its own two sockets and nothing of its worker's.
#[tokio::test]
async fn no_descriptor_of_the_worker_leaks() {
    let rig = Rig::ready(process(), setup()).await;
    let pid = rig.slot.pid().unwrap();
    let sockets = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count();
    assert_eq!(sockets, 2);
    let null = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    assert_eq!(null.to_str(), Some("/dev/null"));
}

/// What a slot costs; it fails only if a result is missing.
/// `cargo test --release -p podpool-core --test slot measure -- --nocapture` prints it.
#[tokio::test]
async fn measure() {
    let mut rig = Rig::ready(process(), setup()).await;
    let rounds: u32 = if cfg!(debug_assertions) { 20 } else { 8000 };
    for (count, frames, ahead) in [(1, 5 * rounds, 1), (256, rounds, 2)] {
        let load = Load::of((0..count).map(tasks::noop)).frame(0);
        let count = u32::try_from(count).unwrap();
        let began = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        while answered < frames * count {
            while sent < frames && sent < ahead + answered / count {
                let number = u64::from(count) * 1_000_000 + u64::from(sent);
                rig.slot.run(Frame {
                    number,
                    ..load.clone()
                });
                sent += 1;
            }
            match rig.next().await {
                SlotEvent::Results { count, .. } => answered += count,
                other => panic!("{other:?}"),
            }
        }
        let took = began.elapsed().as_secs_f64();
        println!(
            "{count} tasks a frame: {:.0} tasks/s, {:.1} us a frame",
            f64::from(answered) / took,
            took * 1e6 / f64::from(frames)
        );
    }
}
