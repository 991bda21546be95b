//! The slot's process: it reads frames from the socket that was its standard input, runs them, and answers.
//!
//! The thread that runs tasks reads the data socket itself, between frames. Another one blocks on the control socket
//! for revocations and cancellations, and for its end: a slot without a worker kills itself and all it started.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg, send};
use rustix::process::{Signal, getpgrp, getpid, kill_current_process_group, kill_process};

use crate::forked::Origin;
use crate::outcome::{Cause, Exit, Failure, Ran, wall_clock};
use crate::registry::Registry;
use crate::task::Place;

use super::current_frame::{CurrentFrame, Uplink};
use super::output::BEGINNING;
use super::progress::{self, Epoch};
use super::runner::{Runner, too_low};
use super::socket::{RECEIVE, SEND};
use super::start_error::{EXIT_SHORTAGE, Request, advice, is_shortage};
use super::wire::{self, Garbled, HEAD, Head, SetupBody, Tasks, Type};
use super::{SMALL_STACK, memory, panics};

/// Exit code of a slot that was requested to end.
const DONE: i32 = 0;
/// Exit code of a slot whose program is not the worker's: `EX_DATAERR`.
pub(crate) const EXIT_MISMATCH: i32 = 65;
/// Exit code of a slot that could not begin: `EX_SOFTWARE`.
const EXIT_SETUP: i32 = 70;

/// How often a slot looks whether its worker runs, where no signal reports that.
// Only where the end of the worker gives no signal. Two looks a second cost nothing; an orphan runs half a second
// longer.
const LOOK: Duration = Duration::from_millis(500);
/// How much room a read has at least.
// The largest packed frame is 64 KiB of entries: such a frame comes in one or two reads.
const READ: usize = 64 * 1024;
/// A read buffer past this many bytes is let go when it is empty.
const KEPT: usize = 4 << 20;

/// Runs the slot until it is requested to end.
pub(crate) fn serve(data: OwnedFd) -> ! {
    let code = match Child::open(data) {
        Ok(child) => child.run(),
        Err(failure) => {
            tracing::error!("the slot cannot begin: {failure}; its worker will start another");
            EXIT_SETUP
        }
    };
    exit(code)
}

#[expect(
    clippy::exit,
    reason = "a slot's process never returns into the user's main"
)]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

/// What the process has once the set-up is read.
#[derive(Debug)]
struct Child {
    feed: Feed,
    frames: Arc<CurrentFrame<Wire>>,
    control: OwnedFd,
    cell: OwnedFd,
    setup: SetupBody,
}

impl Child {
    fn open(data: OwnedFd) -> Result<Self, Failure> {
        let broken = |message: String| Failure::new(Cause::Broken, message);
        let data = Arc::new(data);
        let (head, control, cell) = receive_setup(&data)
            .map_err(|error| broken(format!("its first message cannot be read: {error}")))?;
        let mut feed = Feed::new(data.clone());
        // The head came alone by `recvmsg`, so the body is read here by its length.
        let body = feed
            .exactly(head.length)
            .map_err(|error| broken(format!("its set-up cannot be read: {error}")))?;
        let setup = SetupBody::decode(&feed.bytes[body]).map_err(|error| Failure::codec(&error))?;
        // After the set-up was read: what is printed until here is the program's own, by `main` or libtest.
        mark_beginning();
        Ok(Self {
            feed,
            frames: Arc::new(CurrentFrame::new(Wire(data))),
            control,
            cell,
            setup,
        })
    }

    fn run(self) -> i32 {
        // Before any code of the user's runs in this process for podpool: the initializer may panic too.
        panics::install_hook();
        let Self {
            mut feed,
            frames,
            control,
            cell,
            setup,
        } = self;
        // First of all: a slot of another build would take indices of one registry for those of another.
        let registry = match same_program(&setup) {
            Ok(registry) => registry,
            Err(failure) => {
                send_failure(&frames, &failure);
                return EXIT_MISMATCH;
            }
        };
        if let Some(limit) = setup.memory_limit {
            memory::set_stop(limit);
        }
        // Before the initializer: from then on the end of the worker ends this process, and an initializer that hangs
        // cannot outlive the worker.
        if let Err(failure) = start_threads(&frames, control) {
            send_failure(&frames, &failure);
            return match failure.exit {
                Some(Exit::Code(code)) => code,
                _ => EXIT_SETUP,
            };
        }
        let place = Place {
            run: setup.run,
            worker: setup.worker.into(),
            node: setup.node.into(),
        };
        // Before the initializer, the first code of the user's here: a panic of it must be reported too.
        report_abort(&frames);
        let mut runner = Runner::new(frames.clone(), place, registry, None);
        if let Some((index, arguments)) = setup.initializer
            && let Err(failure) = runner.initialize(index, &arguments)
        {
            send_failure(&frames, &failure);
            return EXIT_SETUP;
        }
        // After the initializer: what it loaded is part of what an idle slot takes. Always, because any call may have a limit
        // of its own; it is one read of a small file for each process.
        runner.rest(memory::own_resident());
        if let Some(failure) = setup
            .memory_limit
            .and_then(|limit| too_low("the pool's", limit, runner.resting()))
        {
            send_failure(&frames, &failure);
            return EXIT_SETUP;
        }
        // The last step of the set-up: from here on a death is charged to a task and not to the start.
        frames.uplink(|wire| wire.send(&wire::message(Type::Ready, 0, b"")));
        run_frames(&mut feed, &mut runner, &cell);
        DONE
    }
}

/// Marks in both streams where the output of tasks begins. It begins with a line's end, for libtest leaves one open.
fn mark_beginning() {
    let mark = format!("\n{BEGINNING}\n");
    // A stream that cannot be written carries no output that could be taken for a task's.
    drop(std::io::stdout().write_all(mark.as_bytes()));
    drop(std::io::stdout().flush());
    drop(std::io::stderr().write_all(mark.as_bytes()));
}

/// Runs frames until the worker sends `Exit`.
fn run_frames(feed: &mut Feed, runner: &mut Runner<Wire>, cell: &OwnedFd) {
    let epoch = Epoch::now();
    loop {
        // The end of the data socket without an `Exit` is the end of the worker, or these are bytes that are no
        // message: no result could be sent.
        let Ok((head, body)) = feed.next() else { die() };
        match head.kind {
            Type::Tasks | Type::NotedTasks => {
                let tasks = &feed.bytes[body];
                if let Err(Garbled) = run_frame(runner, head, tasks, cell, epoch) {
                    die();
                }
            }
            Type::Exit => return,
            _ => die(),
        }
    }
}

fn run_frame(
    runner: &mut Runner<Wire>,
    head: Head,
    body: &[u8],
    cell: &OwnedFd,
    epoch: Epoch,
) -> Result<(), Garbled> {
    let tasks = Tasks::parse(body)?;
    let noted = head.kind == Type::NotedTasks && tasks.count > 1;
    runner.run_frame(head.number, &tasks, |index, began| {
        if noted {
            // Without a note the worker takes the first unanswered task for the one that runs.
            let _ = progress::write(cell, head.number, index, epoch.nanos(began));
        }
    })
}

/// Reports a panic that ends the process: its task has failed, and nothing else that the slot was given has begun.
fn report_abort(frames: &Arc<CurrentFrame<Wire>>) {
    let (frames, origin) = (frames.clone(), Origin::here());
    panics::report_to(move |mut failure, began| {
        // A child that the task forked must not report for it.
        origin.end_copy();
        failure.ran = Some(Box::new(Ran {
            started: began.and_then(wall_clock),
            pid: Some(std::process::id()),
            cpu: None,
        }));
        if !frames.fail_running(&failure, began) {
            send_failure(&frames, &failure);
        }
        frames.uplink(|wire| wire.send(&wire::message(Type::Ends, 0, b"")));
    });
}

fn send_failure(frames: &CurrentFrame<Wire>, failure: &Failure) {
    let body = crate::codec::encode(&failure.clone().cut()).unwrap_or_default();
    frames.uplink(|wire| wire.send(&wire::message(Type::SetupFailed, 0, &body)));
}

/// The registry, if it is the worker's.
fn same_program(setup: &SetupBody) -> Result<&'static Registry, Failure> {
    let broken = |message: String| Failure {
        retryable: false,
        ..Failure::new(Cause::Broken, message)
    };
    let registry = Registry::global().map_err(|error| broken(error.to_string()))?;
    let digest = registry
        .digest()
        .map_err(|error| broken(error.to_string()))?;
    if digest == setup.digest {
        Ok(registry)
    } else {
        Err(broken(
            "the slot's program has other tasks than its worker's: it was built again while it ran; start it again"
                .to_owned(),
        ))
    }
}

fn start_threads(frames: &Arc<CurrentFrame<Wire>>, control: OwnedFd) -> Result<(), Failure> {
    let start = |name: &str, life: Box<dyn FnOnce() + Send>| {
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(SMALL_STACK)
            .spawn(life)
            .map(drop)
            .map_err(|error| {
                let advice = advice(Request::Other, &error).unwrap_or("its worker starts another");
                let message = format!("the slot cannot start its thread {name}: {error}; {advice}");
                Failure {
                    exit: is_shortage(&error).then_some(Exit::Code(EXIT_SHORTAGE)),
                    ..Failure::new(Cause::Broken, message)
                }
            })
    };
    let heard = frames.clone();
    start("podpool-control", Box::new(move || obey(&heard, control)))?;
    let flushed = frames.clone();
    start(
        "podpool-flush",
        Box::new(move || flushed.flush_until_retired()),
    )
}

/// The life of the thread on the control socket. It ends the process when the socket ends.
fn obey(frames: &CurrentFrame<Wire>, control: OwnedFd) {
    let mut feed = Feed::new(Arc::new(control));
    loop {
        let heard = feed.next().and_then(|(head, body)| match head.kind {
            Type::Reclaim => {
                frames.reclaim(head.number);
                Ok(())
            }
            Type::Cancel => {
                let (task, attempt) = wire::cancelled(&feed.bytes[body])?;
                frames.cancel(head.number, task, attempt);
                Ok(())
            }
            _ => Err(Lost::Garbled(Garbled)),
        });
        // The end of this socket is the end of the worker, however it came: by exit, by kill, by a crash. The kernel closes
        // the other end in each case.
        if heard.is_err() {
            die();
        }
    }
}

/// Ends this process, a slot, once it is no child of its worker's any more. Without a thread for that the end of the
/// control socket must do.
#[expect(
    clippy::disallowed_methods,
    reason = "not every system has an event for the end of a parent process"
)]
pub(crate) fn end_without(worker: String, is_child_of: fn(&str) -> bool) {
    let watch = move || {
        while is_child_of(&worker) {
            thread::sleep(LOOK);
        }
        die()
    };
    let thread = thread::Builder::new().name("podpool-parent".to_owned());
    if let Err(error) = thread.stack_size(SMALL_STACK).spawn(watch) {
        tracing::debug!(%error, "the end of the worker is seen on the slot's socket only");
    }
}

/// Why a slot has no worker any more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the worker process has ended")]
    Gone,
    #[error("its socket fails: {0}")]
    Socket(#[from] Errno),
    #[error(transparent)]
    Garbled(#[from] Garbled),
}

/// Ends the process and all that its tasks started: no worker would read a result.
///
/// Nothing is printed: the worker that would read it has ended, and a task may hold the lock of stderr for ever.
fn die() -> ! {
    // A slot leads its own group, unless a task changed that: then the group may hold other processes, which are
    // spared.
    if getpgrp() == getpid() {
        let _ = kill_current_process_group(Signal::KILL);
    }
    let _ = kill_process(getpid(), Signal::KILL);
    exit(EXIT_SETUP)
}

/// Reads messages from a blocking socket, in place.
#[derive(Debug)]
struct Feed {
    socket: Arc<OwnedFd>,
    bytes: Vec<u8>,
    /// Where the next message begins.
    next: usize,
}

impl Feed {
    fn new(socket: Arc<OwnedFd>) -> Self {
        Self {
            socket,
            bytes: Vec::new(),
            next: 0,
        }
    }

    /// Waits for the next message; its body lies in `bytes` until the next call.
    fn next(&mut self) -> Result<(Head, Range<usize>), Lost> {
        loop {
            let wanted = match wire::head(&self.bytes[self.next..])? {
                Some(head) if self.bytes.len() - self.next >= HEAD + head.length => {
                    let body = self.next + HEAD..self.next + HEAD + head.length;
                    self.next = body.end;
                    return Ok((head, body));
                }
                Some(head) => HEAD + head.length,
                None => HEAD,
            };
            self.fill(wanted)?;
        }
    }

    /// Waits for so many bytes that no head announces.
    fn exactly(&mut self, length: usize) -> Result<Range<usize>, Lost> {
        while self.bytes.len() - self.next < length {
            self.fill(length)?;
        }
        let body = self.next..self.next + length;
        self.next = body.end;
        Ok(body)
    }

    /// Reads once, with room for `wanted` bytes from the next message's first.
    fn fill(&mut self, wanted: usize) -> Result<(), Lost> {
        // One incomplete message is moved at most. Between frames the buffer is usually empty, and nothing is.
        self.bytes.drain(..self.next);
        self.next = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.bytes
            .reserve(wanted.saturating_sub(self.bytes.len()).max(READ));
        match rustix::io::read(&self.socket, spare_capacity(&mut self.bytes)) {
            Ok(0) => Err(Lost::Gone),
            // An interrupted read is made again by the caller, which looks whether the message is whole.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The data socket, upwards.
#[derive(Debug)]
struct Wire(Arc<OwnedFd>);

impl Wire {
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match send(&self.0, bytes, SEND) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                // A result that cannot be sent has no reader. `die` and not an error: the caller is between two tasks,
                // or inside a hook.
                Err(_) => die(),
            }
        }
    }
}

impl Uplink for Wire {
    fn results(&mut self, frame: u64, count: u32, bytes: &mut Vec<u8>) {
        wire::close_results(bytes, frame, count);
        self.send(bytes);
    }

    fn reclaimed(&mut self, frame: u64, kept: u32) {
        self.send(&wire::message(Type::Reclaimed, frame, &kept.to_le_bytes()));
    }
}

/// Reads the head of the set-up and the two descriptors that come with it.
fn receive_setup(data: &OwnedFd) -> Result<(Head, OwnedFd, OwnedFd), Lost> {
    let mut bytes = [0; HEAD];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(data, &mut parts, &mut ancillary, RECEIVE) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten();
    // In the order in which `send_with` put them. Those that are not taken are closed with the iterator.
    let (control, cell) = (descriptors.next(), descriptors.next());
    let head = wire::head(&bytes[..received.bytes])?.filter(|head| head.kind == Type::Setup);
    match (head, control, cell) {
        (Some(head), Some(control), Some(cell)) => {
            // Also where `RECEIVE` has asked for it: other systems than Linux have no such flag, and a task's child
            // must not hold the sockets open.
            close_on_exec(&control)?;
            close_on_exec(&cell)?;
            Ok((head, control, cell))
        }
        _ if received.bytes == 0 => Err(Lost::Gone),
        _ => Err(Lost::Garbled(Garbled)),
    }
}

fn close_on_exec(descriptor: impl AsFd) -> rustix::io::Result<()> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)
}
