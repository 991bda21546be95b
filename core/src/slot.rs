//! A slot: a child process of the same executable that runs tasks, one at a time, for a worker.
//!
//! [`Slot`] is the worker's handle. What happens to the slot comes as [`SlotEvent`]s, in the order in which it
//! happened; the last one is always [`SlotEvent::Exited`]. The process finds its way here by [`init`](crate::init).

#[cfg(unix)]
mod child;
mod current_frame;
mod descriptors;
#[cfg(unix)]
mod driver;
mod in_process;
#[cfg(unix)]
mod memory;
mod out_of_memory;
#[cfg(unix)]
mod output;
mod panics;
#[cfg(unix)]
mod progress;
mod runner;
#[cfg_attr(not(unix), expect(dead_code, reason = "threads need a part of it"))]
mod sent_frames;
#[cfg(unix)]
mod socket;
#[cfg(unix)]
mod spawn;
mod start_error;
mod stdout;
mod threads;
#[cfg_attr(not(unix), expect(dead_code, reason = "threads need a part of it"))]
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::envelope::Body;
use crate::id::{Attempt, ExecutionId, TaskId};
use crate::outcome::{Exit, Failure};
use crate::task::Place;

#[cfg(unix)]
pub(crate) use self::child::{end_without, serve};
pub use self::descriptors::Provision;
#[cfg(unix)]
pub(crate) use self::descriptors::restore;
pub use self::in_process::abandoned;
#[cfg(unix)]
pub use self::memory::{group_memory_limit, memory_is_readable};
pub use self::out_of_memory::OutOfMemory;
#[cfg(unix)]
pub(crate) use self::socket::is_local_socket;
pub(crate) use self::start_error::EXIT_SHORTAGE;
pub use self::start_error::{Request, StartError, advice, is_shortage};

/// Stack of a slot's threads beside the one that runs tasks; thread-local variables of the program lie in it too.
// A quarter of what std gives a thread (2 MiB): these threads move bytes and follow no value of the user's.
const SMALL_STACK: usize = 512 * 1024;

/// The number that a worker gives to a slot; a replaced slot has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u32);

/// How to start slots.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What runs the tasks.
    pub program: Program,
    /// Variables that are added to the environment.
    pub env: Vec<(OsString, OsString)>,
    /// The set-up that the slot reads before its first task.
    pub setup: Setup,
    /// How much of what it prints is passed on.
    pub output: OutputLimits,
}

/// How much of what tasks print is passed on. What is more is counted, and a line reports how much it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLimits {
    /// Bytes of a line; a longer one is cut, with a note at its end. Default: 16 KiB.
    pub line: usize,
    /// Bytes a second that one slot may print, and at once after a silence; a line counts for 64 bytes more than it has.
    /// Default: 4 MiB.
    pub rate: u64,
    /// Bytes a second that one worker sends to a master elsewhere, all its slots together, and four times as much at once
    /// after a silence. Default: 64 KiB.
    pub forwarded: u64,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            line: 16 << 10,
            rate: 4 << 20,
            forwarded: 64 << 10,
        }
    }
}

/// What runs the tasks of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A process of its own, on Unix systems. [`Program::this_executable`] gives the usual one.
    Process {
        /// The executable; it must reach [`init`](crate::init) and hold the same tasks.
        path: PathBuf,
        /// Its name for itself; the path by default.
        name: Option<OsString>,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// A thread of this process: no containment of crashes, no memory limit, no captured output, and a blocking
    /// task cannot be stopped.
    InProcess,
}

/// The set-up that a slot reads before its first task.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where its executions run.
    pub place: Place,
    /// A task that runs once before the others: its registry index and its encoded arguments.
    pub initializer: Option<(u32, Bytes)>,
    /// Bytes of memory that the slot's process may use. Default: no limit.
    pub memory_limit: Option<u64>,
}

/// Tasks that a slot runs one after another.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number, which must grow from one frame of a slot to the next.
    pub number: u64,
    /// The execution that the tasks belong to.
    pub execution: ExecutionId,
    /// From the index of a task type in the tasks' message to the registry's index.
    pub task_types: Arc<[u32]>,
    /// The [task entries](crate::envelope::entry), as they came.
    pub entries: Bytes,
    /// How many tasks there are.
    pub count: u32,
    /// Whether the slot notes each task before it begins, so that its worker can read which one runs, and since when,
    /// also after a crash. It costs a system call a task; the task of a frame of one is known without.
    pub noted: bool,
    /// Bytes that the slot's process may have resident while it is at this frame: looked at every 50 ms, beside the
    /// slot's own limit. Default: none. A slot that is a thread has no limit.
    pub memory: Option<u64>,
}

/// Which of its two streams a task printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What happened to a slot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SlotEvent {
    /// The initializer has run; the first task may begin.
    Ready,
    /// No task will run in this slot; it exits.
    SetupFailed(Failure),
    /// Some results of a frame, in the order of its tasks. A frame may send several.
    Results {
        /// The frame.
        frame: u64,
        /// The result entries.
        entries: Body,
        /// How many there are.
        count: u32,
    },
    /// The answer to [`Slot::reclaim`]: the frame's first `kept` tasks ran or run, the others never will.
    Reclaimed {
        /// The frame.
        frame: u64,
        /// How many tasks are kept; `u32::MAX` for a frame that had ended.
        kept: u32,
    },
    /// A line that was printed, without its end, or what a line shows that is written over by `\r`; cut at the launch's
    /// limit. It comes before the results of its task when that was sent alone. A slot that prints more than its rate
    /// loses lines, and one line reports how many.
    Output {
        /// Where it was printed.
        stream: Stream,
        /// The line; what is not UTF-8 in it is replaced.
        line: String,
    },
    /// The slot was killed by its driver: it passed its memory limit, or sent bytes that are no message. It ends soon,
    /// unless the system cannot end its process.
    Killed,
    /// The slot has ended, and all that its tasks had started.
    Exited {
        /// How its process ended.
        exit: Exit,
        /// The task that ran then.
        running: Option<Running>,
        /// When that task began, by the wall clock.
        started: Option<SystemTime>,
        /// The process that was; none for a thread.
        pid: Option<u32>,
        /// The last lines that this task printed, or the slot before its first.
        tail: Vec<String>,
        /// The highest number of resident bytes that was seen, at the latest before a kill: a process that has ended
        /// cannot be looked at.
        peak_rss: Option<u64>,
        /// Which limit it met, if it ended for want of memory.
        out_of_memory: Option<OutOfMemory>,
        /// Whether its process came to [`init`](crate::init) and took its set-up.
        reached_init: bool,
    },
}

/// The task that a slot is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its frame.
    pub frame: u64,
    /// Its place in the frame, from 0.
    pub index: u32,
    /// Whether it is the first that this slot ever ran: then no task before it can be the cause of its end.
    pub first: bool,
    /// When it began.
    pub since: Instant,
}

/// The handle of one slot. Dropping it kills the slot; it does not wait.
#[derive(Debug)]
pub struct Slot {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    #[cfg(unix)]
    Process(driver::Handle),
    Thread(in_process::Handle),
}

impl Slot {
    /// Starts a slot and sends its set-up. Its events go to `events`, with its `id`.
    ///
    /// The calling thread must run a tokio runtime and must not end before the slot: on Linux the process is bound to
    /// the thread that started it.
    ///
    /// # Errors
    /// [`StartError`] when there is no process; the failure of one that started is [`SlotEvent::Exited`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        id: SlotId,
        launch: &Launch,
        events: UnboundedSender<(SlotId, SlotEvent)>,
    ) -> Result<Self, StartError> {
        let kind = match &launch.program {
            #[cfg(not(unix))]
            Program::Process { .. } => return Err(StartError::NoProcesses),
            #[cfg(unix)]
            Program::Process { path, name, args } => {
                let command = spawn::command(path, name.as_deref(), args, &launch.env);
                let started = spawn::start(command, &launch.setup)?;
                Kind::Process(driver::start(id, started, launch.output, events)?)
            }
            Program::InProcess => Kind::Thread(in_process::start(id, &launch.setup, events)?),
        };
        Ok(Self { kind })
    }

    /// Gives the slot a frame. Never blocks; the frame waits behind those before.
    pub fn run(&self, frame: Frame) {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.run(frame),
            Kind::Thread(slot) => slot.run(frame),
        }
    }

    /// Asks for the tasks of a frame that have not begun; [`SlotEvent::Reclaimed`] answers, even while a task runs.
    pub fn reclaim(&self, frame: u64) {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.reclaim(frame),
            Kind::Thread(slot) => slot.reclaim(frame),
        }
    }

    /// Cancels the token of a task of a frame; one that has not begun will not, and fails as cancelled. Once the
    /// frame has ended it does nothing.
    pub fn cancel(&self, frame: u64, task: TaskId, attempt: Attempt) {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.cancel(frame, task, attempt),
            Kind::Thread(slot) => slot.cancel(frame, task, attempt),
        }
    }

    /// Lets the slot end with code 0 after the frames that it was given.
    pub fn exit(&self) {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.exit(),
            Kind::Thread(slot) => slot.exit(),
        }
    }

    /// Kills the slot and all that its tasks started. [`SlotEvent::Exited`] follows.
    pub fn kill(&self) {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.kill(),
            Kind::Thread(slot) => slot.kill(),
        }
    }

    /// The task that runs now.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.running(),
            Kind::Thread(slot) => slot.running(),
        }
    }

    /// The last lines, 20 at most, that a frame printed, if they are there still and no other frame was in the slot
    /// when they came.
    #[must_use]
    pub fn tail(&self, frame: u64) -> Vec<String> {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.tail(frame),
            Kind::Thread(slot) => slot.tail(frame),
        }
    }

    /// The highest number of bytes that the process had resident, as far as it was looked at. A look costs some µs.
    #[must_use]
    pub fn peak_rss(&self) -> Option<u64> {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.peak_rss(),
            Kind::Thread(_) => None,
        }
    }

    /// The bytes that the process has resident now; `None` in this process, and where the system does not report them.
    #[must_use]
    pub fn resident(&self) -> Option<u64> {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.resident(),
            Kind::Thread(_) => None,
        }
    }

    /// The process; `None` in this process, and once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.kind {
            #[cfg(unix)]
            Kind::Process(slot) => slot.pid(),
            Kind::Thread(_) => None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.kill();
    }
}
