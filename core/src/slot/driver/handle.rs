//! The worker's handle of a slot's process, and what it shares with the driver.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::Instant;

use crate::id::{Attempt, TaskId};
use crate::lock::lock;
use crate::slot::output::Tail;
use crate::slot::sent_frames::SentFrames;
use crate::slot::socket::SEND;
use crate::slot::wire::{self, Type};
use crate::slot::{Frame, Running, memory, progress};

/// What the handle and the driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pid: Pid,
    pub(super) socket: OwnedWriteHalf,
    pub(super) control: OwnedFd,
    pub(super) cell: OwnedFd,
    pub(super) state: Mutex<ProcessState>,
    pub(super) writer: AtomicWaker,
    /// Whether a frame has a memory limit of its own: the driver must look.
    pub(super) limited: AtomicBool,
}

#[derive(Debug)]
pub(super) struct ProcessState {
    /// What the socket did not take yet, in order.
    pub(super) unsent: VecDeque<Bytes>,
    pub(super) sent: SentFrames,
    pub(super) tail: Tail,
    pub(super) peak: Option<u64>,
    pub(super) killed: bool,
    /// The process is reaped: its id may belong to another.
    pub(super) ended: bool,
}

impl Shared {
    /// Writes `parts`, one behind the other, as far as the socket takes them; the driver writes the rest.
    pub(super) fn write(&self, state: &mut ProcessState, parts: [Bytes; 2]) {
        if state.ended {
            return;
        }
        let mut taken = 0;
        // Only then: bytes that wait are older. The caller holds the lock, so the driver cannot write between the two
        // parts.
        if state.unsent.is_empty() {
            let slices = [IoSlice::new(&parts[0]), IoSlice::new(&parts[1])];
            // A failed write is found by the driver, as the end of the process.
            taken = self.socket.try_write_vectored(&slices).unwrap_or(0);
        }
        for mut part in parts {
            let skipped = taken.min(part.len());
            part.advance(skipped);
            taken -= skipped;
            if !part.is_empty() {
                state.unsent.push_back(part);
            }
        }
        if !state.unsent.is_empty() {
            self.writer.wake();
        }
    }

    /// Writes what waits.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the queue is looked at: a handle that adds to it in between finds the waker and wakes it.
        self.writer.register(cx.waker());
        let mut state = lock(&self.state);
        while let Some(first) = state.unsent.front_mut() {
            ready!(self.socket.as_ref().poll_write_ready(cx))?;
            match self.socket.try_write(first) {
                Ok(written) => {
                    first.advance(written);
                    if first.is_empty() {
                        state.unsent.pop_front();
                    }
                }
                // The failed attempt clears the readiness, so the next turn of this loop waits for the socket.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }

    pub(super) fn kill(&self, state: &mut ProcessState) {
        // After the reaping the id may be another process's, to which no signal may go.
        if !state.ended {
            state.killed = true;
            self.signal();
        }
    }

    /// Kills the group and, should it have left its group, the process.
    pub(super) fn signal(&self) {
        // A process that has ended needs no signal.
        // Group first: a task's children end with it. The process alone may have moved to a group of its own, where the
        // second call finds it.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = kill_process(self.pid, Signal::KILL);
    }

    pub(super) fn look_at_peak(&self, state: &mut ProcessState) -> Option<u64> {
        if !state.ended {
            let peak = memory::peak(self.pid.as_raw_nonzero().get());
            state.peak = state.peak.max(peak);
        }
        state.peak
    }
}

/// The worker's handle.
#[derive(Debug)]
pub(in crate::slot) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(in crate::slot) fn run(&self, frame: Frame) {
        let head = wire::tasks_head(&frame);
        let mut state = lock(&self.shared.state);
        // Under one lock with the write: the order of `sent` is the order on the socket, by which answers are counted.
        let first = state.sent.is_untouched();
        state
            .sent
            .sent(frame.number, frame.count, frame.noted, Instant::now());
        if let Some(memory) = frame.memory {
            state.sent.limit_last(memory);
            // Pairs with the load in `Driver::poll`. The wake-up follows the store, so the driver sees the flag at its
            // next poll.
            self.shared.limited.store(true, Ordering::Release);
            self.shared.writer.wake();
        }
        if first {
            // Should it crash, this may be all that is known of its memory; it may crash before the next line.
            self.shared.look_at_peak(&mut state);
        }
        self.shared.write(&mut state, [head.into(), frame.entries]);
    }

    pub(in crate::slot) fn reclaim(&self, frame: u64) {
        self.command(&wire::message(Type::Reclaim, frame, b""));
    }

    pub(in crate::slot) fn cancel(&self, frame: u64, task: TaskId, attempt: Attempt) {
        self.command(&wire::cancel(frame, task, attempt));
    }

    /// Sends on the control socket. It is read all the time and holds thousands of such messages: when it is full, the
    /// slot has ended, or stands still. Then the worker kills it when its request is overdue.
    fn command(&self, message: &[u8]) {
        let flags = SEND | SendFlags::DONTWAIT;
        // Never blocks, for the caller is the worker's loop. A full socket drops the request; `check_requests` finds it
        // overdue.
        if let Err(error) = send(&self.shared.control, message, flags) {
            tracing::debug!(%error, pid = %self.shared.pid, "a slot cannot be reached; its end is reported when it comes");
        }
    }

    pub(in crate::slot) fn exit(&self) {
        let message = wire::message(Type::Exit, 0, b"");
        let mut state = lock(&self.shared.state);
        self.shared
            .write(&mut state, [message.into(), Bytes::new()]);
    }

    pub(in crate::slot) fn kill(&self) {
        let mut state = lock(&self.shared.state);
        // Once, before the first kill: a dead process has no status to read.
        if !state.killed {
            self.shared.look_at_peak(&mut state);
        }
        self.shared.kill(&mut state);
    }

    pub(in crate::slot) fn running(&self) -> Option<Running> {
        let state = lock(&self.shared.state);
        if state.sent.is_empty() {
            return None;
        }
        let cell = progress::read(&self.shared.cell, Instant::now());
        state.sent.running(cell)
    }

    pub(in crate::slot) fn tail(&self, frame: u64) -> Vec<String> {
        let state = lock(&self.shared.state);
        if state.tail.frame() == Some(frame) {
            state.tail.lines()
        } else {
            Vec::new()
        }
    }

    pub(in crate::slot) fn peak_rss(&self) -> Option<u64> {
        self.shared.look_at_peak(&mut lock(&self.shared.state))
    }

    pub(in crate::slot) fn resident(&self) -> Option<u64> {
        // Under the lock: after the reaping the id may be another process's.
        let state = lock(&self.shared.state);
        let alive = !state.ended;
        let usage = alive.then(|| memory::usage(self.shared.pid.as_raw_nonzero().get()));
        usage.flatten().map(|usage| usage.resident)
    }

    pub(in crate::slot) fn pid(&self) -> Option<u32> {
        let ended = lock(&self.shared.state).ended;
        let pid = u32::try_from(self.shared.pid.as_raw_nonzero().get()).ok();
        pid.filter(|_| !ended)
    }
}
