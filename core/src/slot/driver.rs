//! The worker's side of a slot's process: one task of the worker's runtime for each slot.
//!
//! [`Handle`] writes frames itself as long as the socket takes them, so that an idle slot is reached without a
//! detour. The [`Driver`] reads results and output, writes what the socket did not take, watches the memory, and
//! reaps.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use crate::codec;
use crate::envelope::Body;
use crate::lock::lock;
use crate::outcome::{Cause, Exit, Failure, wall_clock};

use super::memory::{self, Death};
use super::output::Tail;
use super::sent_frames::SentFrames;
use super::spawn::Started;
use super::wire::{self, Garbled, Head, Inbox, Type};
use super::{OutOfMemory, OutputLimits, SlotEvent, SlotId, StartError, output, progress};

mod death;
mod handle;
mod pipes;

use self::death::DeathWatch;
pub(super) use self::handle::Handle;
use self::handle::{ProcessState, Shared};
use self::pipes::{LineClass, Pipes};

/// What a slot may take past its limit before it is ready: an initializer may not take memory without end.
// A slot whose resting size is above its limit reports that itself, with both numbers (`too_low`): this room lets it
// come so far. Much more would let an initializer fill a small machine.
const UNREADY: u64 = 64 << 20;
/// How often the memory of a slot is looked at that has a limit, or is at a task that has one.
// One read of /proc costs some µs, so 20 a second cost nothing that is seen. A process that takes 10 GB/s grows by 500
// MB between two looks: the kernel's stop (`memory::set_stop`) is there for such.
const SAMPLE: Duration = Duration::from_millis(50);
/// The warning that memory cannot be looked at.
static UNTOLD: Once = Once::new();
/// How long a process may go on after its socket ended: one that exits ends within that, others are killed.
// An exit that runs destructors of the program takes some milliseconds. A process that runs on without a socket can
// give no result, so half a second is all it gets.
const AFTER_SOCKET: Duration = Duration::from_millis(500);

/// Takes over a process that was started.
pub(super) fn start(
    id: SlotId,
    started: Started,
    limits: OutputLimits,
    events: UnboundedSender<(SlotId, SlotEvent)>,
) -> Result<Handle, StartError> {
    let Started {
        mut child,
        data,
        control,
        cell,
        unsent,
        memory_limit,
    } = started;
    let watched = watch(&mut child, data, limits);
    let (pid, socket, pipes, death) = match watched {
        Ok(watched) => watched,
        Err(source) => {
            // The process was started and no driver watches it: it is killed, and a thread reaps it.
            reap_later(child);
            return Err(StartError::Refused {
                what: "to watch a process (epoll, waitid, a thread)",
                source,
            });
        }
    };
    let (reader, writer) = socket.into_split();
    let shared = Arc::new(Shared {
        pid,
        socket: writer,
        control,
        cell,
        state: Mutex::new(ProcessState {
            // The set-up's body is the first to be written: frames that the handle sends meanwhile wait behind it.
            unsent: [Bytes::from(unsent)].into(),
            sent: SentFrames::default(),
            tail: Tail::default(),
            peak: None,
            killed: false,
            ended: false,
        }),
        writer: AtomicWaker::new(),
        limited: AtomicBool::new(false),
    });
    let driver = Driver {
        shared: shared.clone(),
        child: Some(child),
        reader,
        inbox: Inbox::default(),
        reading: true,
        preface: Tail::default(),
        pipes,
        death,
        give_up: None,
        sampler: memory_limit.map(|_| sampler()),
        stop: None,
        ready: false,
        resting: None,
        verdict: Death {
            limit: memory_limit,
            ..Death::default()
        },
        confessed: false,
        // Read at the start, so that the end can be compared: a count that grew since belongs to some process of this
        // control group.
        kernel_kills: memory::kernel_kills(),
        sink: Sink { id, events },
    };
    tokio::spawn(driver.drive());
    Ok(Handle { shared })
}

type Watched = (Pid, tokio::net::UnixStream, Pipes, DeathWatch);

/// Registers the socket, the pipes and the end of a process with the runtime.
fn watch(child: &mut Child, data: OwnedFd, limits: OutputLimits) -> io::Result<Watched> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(gone)?;
    let data = std::os::unix::net::UnixStream::from(data);
    // The flag belongs to this end alone. The slot's end blocks, as its thread waits for nothing else.
    data.set_nonblocking(true)?;
    let socket = tokio::net::UnixStream::from_std(data)?;
    let stdout = child.stdout.take().ok_or_else(gone)?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let pipes = Pipes::new(stdout.into(), stderr.into(), limits)?;
    Ok((pid, socket, pipes, DeathWatch::new(pid)?))
}

fn sampler() -> Interval {
    let mut interval = tokio::time::interval(SAMPLE);
    // After a pause of the runtime one look is enough: a burst would read the same numbers several times.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Kills a process that no driver watches, and waits for its end on a thread where nothing else waits.
fn reap_later(mut child: Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // An error means that the group is gone already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    // Without a thread the process stays in the table until this one ends; it holds nothing else.
    drop(std::thread::Builder::new().spawn(move || drop(child.wait())));
}

/// Where events go.
#[derive(Debug)]
struct Sink {
    id: SlotId,
    events: UnboundedSender<(SlotId, SlotEvent)>,
}

impl Sink {
    fn send(&self, event: SlotEvent) {
        // A worker that has gone needs no events; the slot is killed with its handle.
        drop(self.events.send((self.id, event)));
    }
}

/// The task of a slot's process.
#[derive(Debug)]
struct Driver {
    shared: Arc<Shared>,
    child: Option<Child>,
    reader: OwnedReadHalf,
    inbox: Inbox,
    reading: bool,
    /// What was printed before the slot's loop was reached.
    preface: Tail,
    pipes: Pipes,
    death: DeathWatch,
    give_up: Option<Pin<Box<Sleep>>>,
    sampler: Option<Interval>,
    /// Where the kernel stops the process, once it was looked at.
    stop: Option<u64>,
    /// Whether it has reported that it takes tasks.
    ready: bool,
    /// What it took when it was ready, in bytes.
    resting: Option<u64>,
    verdict: Death,
    /// The slot has reported that it ends by itself, and which task is the cause.
    confessed: bool,
    kernel_kills: Option<u64>,
    sink: Sink,
}

/// What there is to do.
#[derive(Debug)]
enum Wake {
    Read(io::Result<usize>),
    Printed,
    Died,
    Sample,
    GiveUp,
    WriteFailed,
}

impl Driver {
    async fn drive(mut self) {
        loop {
            // By hand and not by `select!`: the sources share `self`, and their order is a decision that `poll`
            // explains.
            match std::future::poll_fn(|cx| self.poll(cx)).await {
                Wake::Read(Ok(read)) if read > 0 => self.understand(),
                Wake::Read(_) => self.socket_ended(),
                Wake::Printed => {
                    self.publish_output();
                    // A flood must leave the others their turn.
                    tokio::task::yield_now().await;
                }
                Wake::Sample => self.sample(),
                Wake::GiveUp => self.kill(),
                Wake::WriteFailed => lock(&self.shared.state).unsent.clear(),
                Wake::Died => break,
            }
        }
        self.bury();
    }

    /// What there is to do. The streams come last: a process that prints without end, also a child that an ended slot
    /// left behind, always has something there.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        // Results first: each may make its slot idle, and an idle slot waits for the next frame.
        if self.reading
            && let Poll::Ready(read) = poll_read(&mut self.reader, &mut self.inbox, cx)
        {
            return Poll::Ready(Wake::Read(read));
        }
        // A failed write is no end yet: the process may have written results before it closed its socket. Only the
        // watch over the process reports its end.
        if self.shared.poll_write(cx).is_ready() {
            return Poll::Ready(Wake::WriteFailed);
        }
        // Before timers and pipes: after the end of the process a kill, or a look at its memory, would find nothing.
        // `bury` reads what is left.
        if self.death.poll(cx).is_ready() {
            return Poll::Ready(Wake::Died);
        }
        // Woken by the handle, which sets this first.
        if self.sampler.is_none() && self.shared.limited.load(Ordering::Acquire) {
            self.sampler = Some(sampler());
        }
        if let Some(sampler) = &mut self.sampler
            && sampler.poll_tick(cx).is_ready()
        {
            return Poll::Ready(Wake::Sample);
        }
        if let Some(sleep) = &mut self.give_up
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Wake::GiveUp);
        }
        if self.pipes.poll_due(cx).is_ready() {
            return Poll::Ready(Wake::Printed);
        }
        self.pipes.poll_read(cx).map(|()| Wake::Printed)
    }

    /// Takes the messages out of what was read.
    fn understand(&mut self) {
        loop {
            match self.inbox.next() {
                Ok(Some((head, body))) => {
                    if self.message(head, body).is_err() {
                        return self.garbled();
                    }
                }
                Ok(None) => return,
                Err(Garbled) => return self.garbled(),
            }
        }
    }

    fn message(&mut self, head: Head, mut body: Body) -> Result<(), Garbled> {
        // What a task printed lies in the pipes by the time that its result is here.
        self.pipes.drain();
        self.publish_output();
        let event = match head.kind {
            Type::Ready => {
                self.ready = true;
                // Now, before the first task: what the process takes at rest is what a task's own limit is measured
                // against.
                let usage = memory::usage(self.shared.pid.as_raw_nonzero().get());
                self.resting = usage.map(|usage| usage.resident);
                SlotEvent::Ready
            }
            Type::SetupFailed => SlotEvent::SetupFailed(
                codec::decode(body.entries())
                    .unwrap_or_else(|error| Failure::new(Cause::Broken, error.to_string())),
            ),
            Type::Results => {
                let count = wire::first_u32(body.entries())?;
                body.skip(4);
                self.answered(head.number, count);
                SlotEvent::Results {
                    frame: head.number,
                    entries: body,
                    count,
                }
            }
            Type::Reclaimed => {
                let kept = wire::first_u32(body.entries())?;
                // The count of the frame is lowered before the event is sent: a look at what runs sees no reclaimed
                // task from here on.
                let mut state = lock(&self.shared.state);
                SlotEvent::Reclaimed {
                    frame: head.number,
                    kept: state.sent.reclaimed(head.number, kept, Instant::now()),
                }
            }
            Type::Ends => {
                self.confessed = true;
                return Ok(());
            }
            _ => return Err(Garbled),
        };
        self.sink.send(event);
        Ok(())
    }

    /// Counts results; the last of a frame also ends the line that it left open.
    fn answered(&mut self, frame: u64, count: u32) {
        let shared = self.shared.clone();
        let mut state = lock(&shared.state);
        let front = state.sent.sole();
        if state.sent.answered(frame, count, Instant::now()) {
            self.pipes.finish_lines();
            self.publish(&mut state.tail, front);
        }
    }

    fn publish_output(&mut self) {
        let shared = self.shared.clone();
        let mut state = lock(&shared.state);
        let front = state.sent.sole();
        self.publish(&mut state.tail, front);
    }

    /// Sends the lines that the pipes gave, and keeps the last.
    fn publish(&mut self, tail: &mut Tail, frame: Option<u64>) {
        let Self {
            pipes,
            sink,
            verdict,
            preface,
            ..
        } = self;
        pipes.publish(Instant::now(), |stream, line, class| {
            // Kept for the judgement of the end: the line comes just before the abort, and no other sign of a refused
            // allocation is left.
            verdict.allocation_failed |= output::says_allocation_failed(stream, &line);
            match class {
                LineClass::Before => preface.push(None, &line, false),
                LineClass::Passed | LineClass::LeftOut => tail.push(frame, &line, false),
                LineClass::Update => tail.push(frame, &line, true),
                LineClass::Ours => {}
            }
            if matches!(
                class,
                LineClass::Passed | LineClass::Update | LineClass::Ours
            ) {
                let line = line.into_owned();
                sink.send(SlotEvent::Output { stream, line });
            }
        });
    }

    fn garbled(&mut self) {
        tracing::warn!(pid = %self.shared.pid, "{Garbled}");
        self.reading = false;
        self.kill();
    }

    fn kill(&mut self) {
        self.give_up = None;
        self.shared.kill(&mut lock(&self.shared.state));
        self.sink.send(SlotEvent::Killed);
    }

    /// The slot's end of the socket is closed: it exits, or a task closed what was not its own.
    fn socket_ended(&mut self) {
        self.reading = false;
        // A task may close every descriptor and run on. Its process is given a moment to exit, then it is killed: no result
        // could come from it any more.
        self.give_up = Some(Box::pin(tokio::time::sleep(AFTER_SOCKET)));
    }

    /// Looks at the memory, and kills the process when it is over the slot's limit or its frame's own.
    fn sample(&mut self) {
        let shared = self.shared.clone();
        let mut state = lock(&shared.state);
        // A task whose limit is below what the idle slot took is rejected by the slot, with both numbers.
        let kept = |limit: &u64| self.resting.is_none_or(|resting| *limit > resting);
        let slots = self.verdict.limit.map(OutOfMemory::OfSlot);
        let tasks = state.sent.limit().filter(kept);
        let tasks = tasks.map(OutOfMemory::OfTask);
        let lowest = [slots, tasks].into_iter().flatten();
        let lowest = lowest.filter_map(|met| Some((met.limit()?, met)));
        let Some((limit, met)) = lowest.min_by_key(|(limit, _)| *limit) else {
            if !state.sent.has_limit() {
                // Under the lock in which `Handle::run` sets the flag: a frame with a limit that comes now is seen by
                // `has_limit`, or sets the flag after this store.
                shared.limited.store(false, Ordering::Release);
                self.sampler = None;
            }
            return;
        };
        let usage = memory::usage(shared.pid.as_raw_nonzero().get());
        if let (Some(usage), Some(limit)) = (usage, self.verdict.limit) {
            memory::widen(shared.pid, limit, usage, &mut self.stop);
        }
        let resident = usage.map(|usage| usage.resident);
        if resident.is_none() {
            UNTOLD.call_once(|| {
                tracing::warn!("this system does not report how much memory a process uses: the memory limits of tasks are not enforced");
            });
        }
        state.peak = state.peak.max(resident);
        // A slot that takes more than its limit before its first task reports that itself, with both numbers.
        let margin = if self.ready { 0 } else { UNREADY };
        let most = limit.saturating_add(margin);
        if resident.is_some_and(|resident| resident > most) && self.verdict.over.is_none() {
            self.verdict.over = Some(met);
            // Compared with the frame at the death: the limit may be passed by one task and the kill meet the next.
            self.verdict.frame_then = state.sent.front();
            shared.kill(&mut state);
            self.sink.send(SlotEvent::Killed);
        }
    }

    /// The process has ended and is not reaped: its id is still its own, so its group can be swept.
    fn bury(&mut self) {
        // Safe although the process has ended: until `reap` below its id, which names the group, is given to no other
        // process.
        self.shared.signal();
        // The group is killed first: a grandchild that goes on writing would keep these reads from an end.
        self.read_the_rest();
        self.pipes.drain();
        self.pipes.finish_lines();
        self.publish_output();
        // The child is always here: only `Drop` takes it out beside this, and then no driver runs.
        let exit = self.child.take().map_or(Exit::Code(0), reap);
        let mut state = lock(&self.shared.state);
        state.ended = true;
        state.unsent.clear();
        // After the rest was read: by the results in it the next task is found, and the note is compared with that.
        let cell = progress::read(&self.shared.cell, Instant::now());
        // Read after the end: a kill that was sent until then counts, also one that came too late to be the cause.
        self.verdict.killed = state.killed;
        self.verdict.peak = state.peak;
        self.verdict.kernel_killed = memory::kernel_kills() > self.kernel_kills;
        let front = state.sent.front();
        let tail = if !self.pipes.begun() {
            self.preface.lines()
        } else if front.is_none() || state.tail.frame() == front {
            state.tail.lines()
        } else {
            Vec::new()
        };
        self.verdict.frame_now = front;
        let innocent = self.confessed || self.verdict.is_of_another();
        let running = state.sent.running(cell).filter(|_| !innocent);
        let out_of_memory = self.verdict.out_of_memory(exit);
        self.sink.send(SlotEvent::Exited {
            exit,
            running,
            started: running.and_then(|running| wall_clock(running.since)),
            pid: u32::try_from(self.shared.pid.as_raw_nonzero().get()).ok(),
            tail,
            // Without a limit of podpool it was looked at when the task was sent, which is no measure of its end.
            peak_rss: state
                .peak
                .filter(|_| !matches!(out_of_memory, Some(OutOfMemory::OfGroup(_)))),
            out_of_memory,
            reached_init: self.pipes.begun(),
        });
    }

    /// Reads what the process wrote before its end. A grandchild may hold the socket, so its end may never come.
    fn read_the_rest(&mut self) {
        while self.reading {
            match self.reader.try_read_buf(&mut self.inbox.room()) {
                Ok(read) if read > 0 => self.understand(),
                Ok(_) | Err(_) => self.reading = false,
            }
        }
    }
}

impl Drop for Driver {
    /// The runtime ends before the slot: the process must not outlive it.
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // Set before the process is reaped elsewhere: from then on its id may be another process's, and no signal may go there.
            lock(&self.shared.state).ended = true;
            reap_later(child);
        }
    }
}

/// Reads once into the inbox.
fn poll_read(
    reader: &mut OwnedReadHalf,
    inbox: &mut Inbox,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    use tokio::io::AsyncReadExt;
    let mut room = inbox.room();
    let read = std::pin::pin!(reader.read_buf(&mut room));
    read.poll(cx)
}

/// Collects the status of a process that has ended.
fn reap(mut child: Child) -> Exit {
    match child.wait() {
        Ok(status) => exit_of(status),
        Err(error) => {
            tracing::warn!(%error, "a slot's status cannot be read; it counts as a crash");
            Exit::Code(Exit::UNKNOWN)
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // A stopped or continued process has neither; `wait` does not report these.
        (None, None) => Exit::Code(Exit::UNKNOWN),
    }
}
