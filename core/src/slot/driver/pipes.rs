//! The two pipes that a slot prints to.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::slot::output::{BEGINNING, Flood, Lines};
use crate::slot::{OutputLimits, Stream};

/// What one read takes at most: a pipe's capacity on Linux.
// 16 pages of 4 KiB: one read empties a full pipe. <https://man7.org/linux/man-pages/man7/pipe.7.html>
const READ: usize = 64 * 1024;
/// Reads that a drain does at most: what a pipe holds when it begins, where a task has made it as large as Linux lets
/// it (1 MiB). More comes only from processes that still print: a grandchild may do so without end.
const DRAIN: usize = (1 << 20) / READ;
/// A buffer past this many bytes is not kept.
// Four reads: a flood drains 1 MiB at once, and a buffer of that size for each stream of each slot would stay for ever.
const KEPT: usize = 256 * 1024;

/// One stream.
#[derive(Debug)]
struct Pipe {
    stream: Stream,
    pipe: Receiver,
    open: bool,
    lines: Lines,
    /// What was read and is not cut into lines yet.
    fresh: Vec<u8>,
    /// The open line is to be ended.
    finish: bool,
    /// The slot's loop is reached: tasks print.
    begun: bool,
}

/// Both streams of a slot.
#[derive(Debug)]
pub(super) struct Pipes {
    pipes: [Pipe; 2],
    flood: Flood,
    /// What was left out is to be reported.
    report: bool,
    /// Wakes the driver when an update of a line is due.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Pipe {
    fn new(stream: Stream, descriptor: OwnedFd, limit: usize) -> io::Result<Self> {
        Ok(Self {
            stream,
            pipe: Receiver::from_owned_fd(descriptor)?,
            open: true,
            lines: Lines::new(limit, Instant::now()),
            fresh: Vec::new(),
            finish: false,
            begun: false,
        })
    }

    /// Reads once, whatever the runtime has registered. False when there is nothing now.
    fn read(&mut self) -> bool {
        if !self.open {
            return false;
        }
        self.fresh.reserve(READ);
        let room = rustix::buffer::spare_capacity(&mut self.fresh);
        // Past the runtime, whose readiness may lag behind: a wrong "ready" that this leaves is corrected by the next
        // poll, which finds nothing and waits.
        match rustix::io::read(&self.pipe, room) {
            Ok(read) => {
                self.open = read > 0;
                self.open
            }
            Err(Errno::INTR) => true,
            Err(error) => {
                // Any other error counts as the end of the stream: a broken pipe must not make the driver spin.
                self.open = error == Errno::AGAIN;
                false
            }
        }
    }

    /// Reads once when the runtime has registered that there is something.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.open {
            return Poll::Pending;
        }
        self.fresh.reserve(READ);
        let read = std::pin::pin!(self.pipe.read_buf(&mut self.fresh));
        match ready!(read.poll(cx)) {
            Ok(read) if read > 0 => Poll::Ready(()),
            // Nothing will ever wake the task for this pipe again, which is right.
            Ok(_) | Err(_) => {
                self.open = false;
                Poll::Pending
            }
        }
    }

    /// Cuts what was read into lines; each comes with whether a task may have printed it, and whether it will be written
    /// over.
    fn cut(&mut self, now: Instant, mut line: impl FnMut(&[u8], bool, bool)) {
        let begun = &mut self.begun;
        let mut sort = |bytes: &[u8], update: bool| {
            if !*begun && bytes == BEGINNING.as_bytes() {
                *begun = true;
            } else {
                line(bytes, *begun, update);
            }
        };
        self.lines.feed(&self.fresh, now, &mut sort);
        if self.finish {
            self.lines.finish(&mut sort);
            self.finish = false;
        }
        if self.fresh.capacity() > KEPT {
            self.fresh = Vec::new();
        } else {
            self.fresh.clear();
        }
    }
}

impl Pipes {
    pub(super) fn new(stdout: OwnedFd, stderr: OwnedFd, limits: OutputLimits) -> io::Result<Self> {
        Ok(Self {
            pipes: [
                Pipe::new(Stream::Stdout, stdout, limits.line)?,
                Pipe::new(Stream::Stderr, stderr, limits.line)?,
            ],
            flood: Flood::new(limits.rate, Instant::now()),
            report: false,
            alarm: None,
        })
    }

    /// Reads once from whichever has something; ready when there is something to publish.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let [stdout, stderr] = &mut self.pipes;
        // Both are polled, so that both wake the task.
        match (stdout.poll_read(cx), stderr.poll_read(cx)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Ready when an update of a line is due.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.pipes.iter().filter_map(|pipe| pipe.lines.due()).min();
        let Some(due) = due else {
            self.alarm = None;
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() != due {
            // The same timer again: an update that is written over moves its time, and a new timer each time would cost
            // an allocation.
            alarm.as_mut().reset(due);
        }
        ready!(alarm.as_mut().poll(cx));
        self.alarm = None;
        Poll::Ready(())
    }

    /// Reads what is there now, whatever the runtime has registered of it.
    pub(super) fn drain(&mut self) {
        for pipe in &mut self.pipes {
            // Bounded, since this runs inside one turn of the driver, with results waiting behind it.
            for _ in 0..DRAIN {
                if !pipe.read() {
                    break;
                }
            }
        }
    }

    /// Whether the slot's loop was reached.
    pub(super) fn begun(&self) -> bool {
        self.pipes.iter().any(|pipe| pipe.begun)
    }

    /// Ends the lines that are open and reports what was left out: the frame that printed them has ended.
    pub(super) fn finish_lines(&mut self) {
        for pipe in &mut self.pipes {
            pipe.finish = true;
        }
        self.report = true;
    }

    /// Gives the lines that were read since the last call.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        mut give: impl FnMut(Stream, Cow<'_, str>, LineClass),
    ) {
        let Self {
            pipes,
            flood,
            report,
            ..
        } = self;
        flood.refill(now);
        for pipe in pipes {
            let stream = pipe.stream;
            pipe.cut(now, |line, begun, update| {
                if !begun {
                    give(stream, String::from_utf8_lossy(line), LineClass::Before);
                    return;
                }
                if flood.recovered() {
                    report_left_out(flood, &mut give);
                }
                let class = if flood.admit(line.len()) {
                    if update {
                        LineClass::Update
                    } else {
                        LineClass::Passed
                    }
                } else {
                    LineClass::LeftOut
                };
                give(stream, String::from_utf8_lossy(line), class);
            });
        }
        if std::mem::take(report) {
            report_left_out(flood, &mut give);
        }
    }
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineClass {
    /// It is passed on.
    Passed,
    /// It is passed on, and will be written over.
    Update,
    /// There are too many.
    LeftOut,
    /// It was printed before the slot's loop was reached.
    Before,
    /// No task printed it: it reports how many were left out.
    Ours,
}

fn report_left_out(flood: &mut Flood, give: &mut impl FnMut(Stream, Cow<'_, str>, LineClass)) {
    if let Some(report) = flood.report() {
        give(Stream::Stderr, report.into(), LineClass::Ours);
    }
}
