//! The thread that receives one signal for all pools.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use signal_hook::consts::SIGINT;
use signal_hook::low_level::emulate_default_handler;

use crate::lock::lock;
use crate::master::command::ShutdownBehavior;
use crate::master::mailbox::Mailbox;

use super::disposition::{Others, Registered, is_ignored};
use super::steps::{Answer, Pools, Unanswered};

/// Ctrl-C.
pub(super) static INTERRUPT: Listener = Listener::new(
    "podpool-ctrl-c",
    SIGINT,
    &[ShutdownBehavior::CancelPending, ShutdownBehavior::Abort],
    5,
);
/// The signal that Kubernetes and service managers send before they kill.
// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>
pub(super) static TERMINATE: Listener = Listener::new(
    "podpool-sigterm",
    signal_hook::consts::SIGTERM,
    &[ShutdownBehavior::Abort],
    2,
);

/// The first signal that ended a pool of this program; 0 before.
static FIRST: AtomicI32 = AtomicI32::new(0);

/// The first signal that ended a pool of this program.
pub(super) fn first() -> Option<u8> {
    // Relaxed: the number is all that is read. It is written before a pool is notified, and a `main` that returns
    // because its pool has ended was woken through that pool's locks.
    u8::try_from(FIRST.load(Relaxed))
        .ok()
        .filter(|signal| *signal != 0)
}

/// Passes a signal to the pools: the first step the first time, the second step the second time, and so on.
pub(super) struct Listener {
    thread: &'static str,
    signal: i32,
    steps: &'static [ShutdownBehavior],
    /// So many signals in a row without a pool to pass them to end the program, unless it certainly has a handler of
    /// its own. A program that continues after Ctrl-C, as an interpreter does, receives it now and then; one that
    /// continues after SIGTERM receives it once more before it is killed.
    insists: usize,
    /// Taken by a thread and by `build()`, never in the handler: that only writes a byte to a socket, for few functions
    /// may be called there. <https://man7.org/linux/man-pages/man7/signal-safety.7.html>
    state: Mutex<Registration>,
}

struct Registration {
    pools: Pools,
    unanswered: Unanswered,
    /// There as soon as the first pool listens; a handler is never removed.
    registered: Option<Registered>,
}

impl Listener {
    const fn new(
        thread: &'static str,
        signal: i32,
        steps: &'static [ShutdownBehavior],
        insists: usize,
    ) -> Self {
        Self {
            thread,
            signal,
            steps,
            insists,
            state: Mutex::new(Registration {
                pools: Pools::new(),
                unanswered: Unanswered::new(),
                registered: None,
            }),
        }
    }

    /// Passes the signal to this pool while it exists. A program that ignores the signal continues to ignore it.
    pub(super) fn watch(&'static self, mailbox: &Arc<Mailbox>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.registered.is_none() {
            // `nohup`, or `&` in a script without job control, starts a program with the signal ignored; it must stay
            // ignored.
            if is_ignored(self.signal) {
                return Ok(());
            }
            state.registered = Some(self.listen()?);
        }
        state.pools.add(mailbox);
        Ok(())
    }

    /// The thread is there before the handler. If the handler is refused, the thread reads the end of its socket and
    /// ends.
    fn listen(&'static self) -> io::Result<Registered> {
        let (arrivals, arrived) = UnixStream::pair()?;
        thread::Builder::new()
            .name(self.thread.to_owned())
            .spawn(move || self.receive(arrivals))?;
        // After the spawn: a handler without its thread would swallow the signal.
        Registered::new(self.signal, arrived)
    }

    fn receive(&self, mut arrivals: UnixStream) {
        // One byte at a time: two signals that arrive together are two steps.
        let mut byte = [0];
        loop {
            match arrivals.read(&mut byte) {
                Ok(0) => return,
                Ok(_) => self.answer(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn answer(&self) {
        let mut state = lock(&self.state);
        let answer = state.pools.arrive(self.steps);
        let exhausted = match answer {
            Answer::Steps(pools) => {
                state.unanswered.clear();
                // Released first: an interrupt locks mailboxes and wakes executors, and `build()` of another pool needs
                // this lock.
                drop(state);
                let signal = self.signal;
                // Only the first one decides the exit code of the program.
                FIRST.compare_exchange(0, signal, Relaxed, Relaxed).ok();
                for (mailbox, behavior) in pools {
                    mailbox.interrupt(signal, behavior);
                }
                return;
            }
            Answer::Exhausted => true,
            Answer::NoPool => false,
        };
        // Read under the lock together with the count of the pools: two signals at once must not both count as the
        // first.
        let insists = state.unanswered.insists(Instant::now(), self.insists);
        let others = state.registered.map(|ours| ours.others());
        drop(state);
        let ends = match others {
            Some(Others::Catch) => false,
            Some(Others::Perhaps) => insists,
            Some(Others::None) | None => true,
        };
        if ends {
            act_by_default(self.signal, exhausted);
        }
    }
}

/// The default action of the signal. The kernel does not apply it to the first process of a container; there the
/// program is ended if the signal was sent again and again (`insists`), because only podpool's handler keeps it
/// running.
// <https://man7.org/linux/man-pages/man7/pid_namespaces.7.html>
#[expect(
    clippy::exit,
    reason = "what the signal does in a program without a handler"
)]
fn act_by_default(signal: i32, insists: bool) {
    if process::id() == 1 {
        if insists {
            // The exit code that a shell reports for a program that a signal ended.
            process::exit(128 + signal);
        }
        return;
    }
    // It supports both signals, and does not return for them.
    if emulate_default_handler(signal).is_err() {
        process::exit(128 + signal);
    }
}
