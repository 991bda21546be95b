//! A slot that is a thread of this process: for tests and for containers too small for processes.
//!
//! It keeps the contract of [`Slot`](super::Slot) as far as a thread can: a killed async task is dropped, a blocking
//! one goes on without a reader until it returns by itself, and is counted as [`abandoned`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::envelope::Body;
use crate::id::{Attempt, TaskId};
use crate::lock::lock;
use crate::outcome::{Cause, Exit, Failure, wall_clock};
use crate::registry::Registry;
use crate::task::Place;

use super::current_frame::{CurrentFrame, Uplink};
use super::runner::Runner;
use super::sent_frames::{Progress, SentFrames};
use super::wire::{Garbled, RESULTS_HEAD, Tasks};
use super::{Frame, Running, Setup, SlotEvent, SlotId, StartError, panics};

/// The signal that a killed slot reports, as a killed process would.
const SIGKILL: i32 = 9;

// Relaxed throughout: a count for reports, by which no other memory is published.
static ABANDONED: AtomicUsize = AtomicUsize::new(0);

/// How many threads of killed slots are still in code of the user's in this process: in a blocking task, in an
/// initializer, or waiting for a `spawn_blocking` that a task left behind.
#[must_use]
pub fn abandoned() -> usize {
    ABANDONED.load(Ordering::Relaxed)
}

/// What the handle and the thread share.
#[derive(Debug)]
struct Shared {
    id: SlotId,
    events: UnboundedSender<(SlotId, SlotEvent)>,
    state: Mutex<ThreadState>,
    kill: CancellationToken,
}

#[derive(Debug, Default)]
struct ThreadState {
    sent: SentFrames,
    progress: Option<Progress>,
    /// `Exited` was sent: nothing may follow.
    ended: bool,
    /// The thread counts as abandoned.
    abandoned: bool,
    /// The initializer has run.
    ready: bool,
    /// An exit was requested.
    told_to_exit: bool,
}

impl ThreadState {
    /// Whether the thread may be in code of the user's: it does not end before that returns.
    fn is_busy(&self) -> bool {
        !self.sent.is_empty() || !self.ready || self.told_to_exit
    }

    /// Counts the thread as abandoned, once.
    fn abandon(&mut self) {
        if !self.abandoned {
            self.abandoned = true;
            ABANDONED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn send(&self, event: SlotEvent) {
        // A send fails only where the worker has ended, which needs no events.
        drop(self.events.send((self.id, event)));
    }

    /// Sends the last event, once.
    fn end(&self, state: &mut ThreadState, exit: Exit) {
        if state.ended {
            return;
        }
        // Under the lock in which results and `Ready` are sent: none of them can follow `Exited`.
        state.ended = true;
        let running = state.sent.running(state.progress);
        self.send(SlotEvent::Exited {
            exit,
            running,
            started: running.and_then(|running| wall_clock(running.since)),
            pid: None,
            tail: Vec::new(),
            peak_rss: None,
            out_of_memory: None,
            reached_init: true,
        });
    }
}

/// The way up: events, with no copies.
#[derive(Debug)]
struct Events(Arc<Shared>);

impl Uplink for Events {
    fn results(&mut self, frame: u64, count: u32, bytes: &mut Vec<u8>) {
        let entries = Body::over(std::mem::take(bytes), RESULTS_HEAD);
        let mut state = lock(&self.0.state);
        if state.ended {
            return;
        }
        // Counted before the event goes: by the time that the worker handles it, `running` gives the next task.
        state.sent.answered(frame, count, Instant::now());
        self.0.send(SlotEvent::Results {
            frame,
            entries,
            count,
        });
    }

    fn reclaimed(&mut self, frame: u64, kept: u32) {
        let mut state = lock(&self.0.state);
        if state.ended {
            return;
        }
        let kept = state.sent.reclaimed(frame, kept, Instant::now());
        self.0.send(SlotEvent::Reclaimed { frame, kept });
    }
}

#[derive(Debug)]
enum Command {
    Run(Frame),
    Exit,
}

/// The worker's handle.
#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
    frames: Arc<CurrentFrame<Events>>,
    commands: Sender<Command>,
}

impl Handle {
    pub(super) fn run(&self, frame: Frame) {
        {
            let mut state = lock(&self.shared.state);
            if state.ended {
                return;
            }
            state
                .sent
                .sent(frame.number, frame.count, frame.noted, Instant::now());
        }
        self.command(Command::Run(frame));
    }

    pub(super) fn reclaim(&self, frame: u64) {
        self.frames.reclaim(frame);
    }

    pub(super) fn cancel(&self, frame: u64, task: TaskId, attempt: Attempt) {
        self.frames.cancel(frame, task, attempt);
    }

    pub(super) fn exit(&self) {
        lock(&self.shared.state).told_to_exit = true;
        self.command(Command::Exit);
    }

    pub(super) fn kill(&self) {
        {
            let mut state = lock(&self.shared.state);
            if state.ended {
                return;
            }
            // Before `end`, in the same lock: the thread looks at `abandoned` in that lock when it is through, so it is
            // counted down exactly once.
            if state.is_busy() {
                state.abandon();
            }
            self.shared.end(&mut state, Exit::Signal(SIGKILL));
        }
        // After the lock was let go: cancelling wakes the thread, which takes it.
        self.shared.kill.cancel();
        self.frames.cancel_running();
        // An idle thread waits for a command.
        self.command(Command::Exit);
    }

    pub(super) fn running(&self) -> Option<Running> {
        let state = lock(&self.shared.state);
        state.sent.running(state.progress)
    }

    /// What a thread prints is not captured.
    pub(super) const fn tail(&self, _frame: u64) -> Vec<String> {
        Vec::new()
    }

    fn command(&self, command: Command) {
        // A send fails only where the thread has ended, which its last event has reported.
        drop(self.commands.send(command));
    }
}

/// Starts the thread.
pub(super) fn start(
    id: SlotId,
    setup: &Setup,
    events: UnboundedSender<(SlotId, SlotEvent)>,
) -> Result<Handle, StartError> {
    panics::install_hook();
    let registry = Registry::global()?;
    let shared = Arc::new(Shared {
        id,
        events,
        state: Mutex::default(),
        kill: CancellationToken::new(),
    });
    let frames = Arc::new(CurrentFrame::new(Events(shared.clone())));
    let (commands, heard) = channel();
    let life = Life {
        shared: shared.clone(),
        heard,
        frames: frames.clone(),
        place: setup.place.clone(),
        initializer: setup.initializer.clone(),
    };
    let flushed = frames.clone();
    thread::Builder::new()
        .name(format!("podpool-flush-{}", id.0))
        .spawn(move || flushed.flush_until_retired())
        .and_then(|_| {
            thread::Builder::new()
                .name(format!("podpool-slot-{}", id.0))
                .spawn(move || life.live(registry))
        })
        .map_err(|refused| {
            // The first thread, if it is there, is not left behind.
            frames.retire();
            StartError::refused("a thread")(refused)
        })?;
    Ok(Handle {
        shared,
        frames,
        commands,
    })
}

/// What the thread owns.
#[derive(Debug)]
struct Life {
    shared: Arc<Shared>,
    heard: Receiver<Command>,
    frames: Arc<CurrentFrame<Events>>,
    place: Place,
    initializer: Option<(u32, Bytes)>,
}

impl Life {
    fn live(self, registry: &'static Registry) {
        let exit = match self.run(registry) {
            Ok(()) => Exit::Code(0),
            Err(failure) => {
                // A kill may have sent `Exited` meanwhile, and nothing may follow it.
                if !lock(&self.shared.state).ended {
                    self.shared.send(SlotEvent::SetupFailed(failure.cut()));
                }
                Exit::Code(1)
            }
        };
        // Without it the thread that flushes would wait for ever.
        self.frames.retire();
        let mut state = lock(&self.shared.state);
        self.shared.end(&mut state, exit);
        if state.abandoned {
            ABANDONED.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn run(&self, registry: &'static Registry) -> Result<(), Failure> {
        let kill = Some(self.shared.kill.clone());
        let mut runner = Runner::new(self.frames.clone(), self.place.clone(), registry, kill);
        if let Some((index, arguments)) = &self.initializer {
            runner.initialize(*index, arguments)?;
        }
        {
            let mut state = lock(&self.shared.state);
            state.ready = true;
            if !state.ended {
                self.shared.send(SlotEvent::Ready);
            }
        }
        while let Ok(Command::Run(frame)) = self.heard.recv() {
            // A frame that was sent before the kill may lie in the channel: it must not begin.
            if self.shared.kill.is_cancelled() {
                break;
            }
            self.run_frame(&mut runner, &frame)
                .map_err(|garbled| Failure::new(Cause::Broken, garbled.to_string()))?;
        }
        let mut state = lock(&self.shared.state);
        if state.ended && runner.has_runtime() {
            // The runtime waits for what tasks left in it.
            state.abandon();
        }
        drop(state);
        drop(runner);
        Ok(())
    }

    fn run_frame(&self, runner: &mut Runner<Events>, frame: &Frame) -> Result<(), Garbled> {
        let task_types: Vec<u8> = frame
            .task_types
            .iter()
            .flat_map(|k| k.to_le_bytes())
            .collect();
        let tasks = Tasks::new(frame.execution, frame.count, &task_types, &frame.entries);
        runner.run_frame(frame.number, &tasks, |index, since| {
            lock(&self.shared.state).progress = Some(Progress {
                frame: frame.number,
                index,
                since,
            });
        })
    }
}
