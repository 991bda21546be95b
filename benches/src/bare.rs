//! The reference pool: child processes that answer frames over pipes, and as little around them as a pool can have.
//!
//! Each child has a writer and a reader thread in the parent, at most `window` frames on the way, and every task has a
//! future of one mutex and one condition variable. There is no queue contract, retry, lease, capture or timeout: what
//! podpool costs over this is the price of those. It is not a straw man: frames that wait together travel in one system
//! call, and only sleeping threads are woken.

use std::collections::VecDeque;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, bail};

use frame::{PIPE_BUFFER, holds_frame, read_frame, write_frame};

pub mod cases;
mod frame;

/// Set in the environment of a child, and read by [`serve_if_child`].
const ROLE: &str = "PODPOOL_BENCHES_BARE_CHILD";

/// Becomes a child of the reference pool if the environment says so: answers every frame with its own bytes until
/// the parent closes the pipe. Returns whether it did; `main` then ends.
///
/// # Errors
/// A pipe that broke in the middle of a frame.
pub fn serve_if_child() -> anyhow::Result<bool> {
    if std::env::var_os(ROLE).is_none() {
        return Ok(false);
    }
    frame::serve().context("the reference child lost its pipe")?;
    Ok(true)
}

/// The reference pool.
#[derive(Debug)]
pub struct BarePool {
    lanes: Vec<Lane>,
    next: usize,
}

/// One child with its two threads.
#[derive(Debug)]
struct Lane {
    shared: Arc<Shared>,
    threads: [Option<JoinHandle<()>>; 2],
    child: Child,
}

/// The state that the caller and the two threads of a child share.
#[derive(Debug)]
struct Shared {
    state: Mutex<LaneState>,
    room_or_work: Condvar,
    window: usize,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: VecDeque<Job>,
    in_flight: VecDeque<Arc<Reply>>,
    writer_sleeps: bool,
    /// No more work will come, because the pool or the child has ended.
    closed: bool,
}

#[derive(Debug)]
struct Job {
    payload: Vec<u8>,
    reply: Arc<Reply>,
}

#[derive(Debug, Default)]
struct Reply {
    state: Mutex<ReplyState>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct ReplyState {
    answer: Option<Result<Vec<u8>, ChildGone>>,
    awaited: bool,
}

/// The child ended before it answered.
#[derive(Debug, Clone, Copy)]
struct ChildGone;

/// The answer to one frame, as a future that a caller blocks on.
#[derive(Debug)]
#[must_use = "an answer that is not awaited is not measured"]
pub struct BareFuture(Arc<Reply>);

impl BarePool {
    /// Starts `children` copies of `program`, each with at most `window` frames on the way.
    /// `program` must call [`serve_if_child`] first.
    ///
    /// # Errors
    /// A child that cannot be started.
    pub fn start(program: &Path, children: usize, window: usize) -> anyhow::Result<Self> {
        let lanes = (0..children)
            .map(|_| Lane::start(program, window))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { lanes, next: 0 })
    }

    /// Queues `payload` for the next child in turn. Never blocks on a pipe: the child's writer thread does.
    pub fn submit(&mut self, payload: Vec<u8>) -> BareFuture {
        let reply = Arc::new(Reply::default());
        let job = Job {
            payload,
            reply: Arc::clone(&reply),
        };
        let lane = self.next;
        // In turn and not to the idlest child: the choice would cost a lock of each child, and the frames are equal.
        self.next = (lane + 1) % self.lanes.len();
        self.lanes[lane].shared.give(job);
        BareFuture(reply)
    }
}

impl BareFuture {
    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// The child ended first.
    pub fn wait(self) -> anyhow::Result<Vec<u8>> {
        let mut state = lock(&self.0.state);
        loop {
            match state.answer.take() {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(ChildGone)) => bail!("a reference child ended before it answered"),
                None => {
                    // Only an answer that is awaited already has to wake a thread.
                    state.awaited = true;
                    state = wait(&self.0.arrived, state);
                }
            }
        }
    }
}

impl Lane {
    fn start(program: &Path, window: usize) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("cannot start a reference child from {}", program.display())
            })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("a reference child came without its pipes");
        };
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            room_or_work: Condvar::new(),
            window,
        });
        let (to, from) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = [
            Some(std::thread::spawn(move || to.write_frames(stdin))),
            Some(std::thread::spawn(move || from.read_answers(stdout))),
        ];
        Ok(Self {
            shared,
            threads,
            child,
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.close();
        for thread in &mut self.threads {
            if let Some(thread) = thread.take() {
                // A thread that panicked has broken its pipe, and the futures have failed.
                drop(thread.join());
            }
        }
        // The writer has closed the pipe, so the child ends by itself; without a wait it would stay as a zombie.
        drop(self.child.wait());
    }
}

impl Shared {
    fn give(&self, job: Job) {
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            return job.reply.resolve(Err(ChildGone));
        }
        state.waiting.push_back(job);
        self.wake_writer(state);
    }

    fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.wake_writer(state);
    }

    /// Wakes the writer if it sleeps. A wake-up is a system call even where no thread waits, hence the check.
    fn wake_writer(&self, mut state: MutexGuard<'_, LaneState>) {
        if std::mem::take(&mut state.writer_sleeps) {
            drop(state);
            self.room_or_work.notify_one();
        }
    }

    fn write_frames(&self, pipe: ChildStdin) {
        let mut pipe = BufWriter::with_capacity(PIPE_BUFFER, pipe);
        let mut payloads = Vec::with_capacity(self.window);
        while self.next_payloads(&mut payloads) {
            let sent = payloads
                .drain(..)
                .try_for_each(|payload: Vec<u8>| write_frame(&mut pipe, &payload))
                .and_then(|()| pipe.flush());
            if sent.is_err() {
                // The reader sees the same end and resolves what is pending.
                return self.close();
            }
        }
    }

    /// Moves what the window has room for from waiting to in flight. Returns false when nothing will come any more.
    fn next_payloads(&self, payloads: &mut Vec<Vec<u8>>) -> bool {
        let mut state = lock(&self.state);
        loop {
            // All that the window has room for goes in one write, which is what makes the reference fast.
            let room = self.window - state.in_flight.len();
            let count = room.min(state.waiting.len());
            if count > 0 {
                let state = &mut *state;
                for job in state.waiting.drain(..count) {
                    state.in_flight.push_back(job.reply);
                    payloads.push(job.payload);
                }
                return true;
            }
            if state.closed && state.waiting.is_empty() {
                return false;
            }
            state.writer_sleeps = true;
            state = wait(&self.room_or_work, state);
        }
    }

    fn read_answers(&self, pipe: ChildStdout) {
        let mut pipe = BufReader::with_capacity(PIPE_BUFFER, pipe);
        let mut answers = Vec::with_capacity(self.window);
        let mut replies = Vec::with_capacity(self.window);
        while let Ok(Some(answer)) = read_frame(&mut pipe, Vec::new()) {
            answers.push(answer);
            // Answers of one read are passed on together, under one lock.
            if answers.len() < self.window && holds_frame(pipe.buffer()) {
                continue;
            }
            self.take_replies(answers.len(), &mut replies);
            for (reply, answer) in replies.drain(..).zip(answers.drain(..)) {
                reply.resolve(Ok(answer));
            }
        }
        self.abandon();
    }

    fn take_replies(&self, count: usize, replies: &mut Vec<Arc<Reply>>) {
        let mut state = lock(&self.state);
        // A child that sends more answers than it received frames is broken; its surplus answers are dropped.
        let count = count.min(state.in_flight.len());
        replies.extend(state.in_flight.drain(..count));
        // A writer that sleeps because there is no work is not woken for room in the window.
        if !state.waiting.is_empty() {
            self.wake_writer(state);
        }
    }

    /// Records that the child is gone: no frame that was queued for the child will be answered.
    fn abandon(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let in_flight = std::mem::take(&mut state.in_flight);
        // Waiting frames would never be written, because the pipe is broken.
        let waiting = std::mem::take(&mut state.waiting);
        self.wake_writer(state);
        let waiting = waiting.into_iter().map(|job| job.reply);
        for reply in in_flight.into_iter().chain(waiting) {
            reply.resolve(Err(ChildGone));
        }
    }
}

impl Reply {
    fn resolve(&self, answer: Result<Vec<u8>, ChildGone>) {
        let mut state = lock(&self.state);
        state.answer = Some(answer);
        if state.awaited {
            drop(state);
            self.arrived.notify_one();
        }
    }
}

/// The lock, past a panic too: every critical section only moves values, so no panic leaves one half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition
        .wait(guard)
        .unwrap_or_else(PoisonError::into_inner)
}
