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
/// What Kubernetes and service managers send before they kill.
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
    state: Mutex<Registration>,
}

struct Registration {
    pools: Pools,
    unanswered: Unanswered,
    /// There as soon as the first pool listens; a handler is never taken away again.
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

    /// The thread is there before the handler. If the handler is refused, the thread reads the end of its socket and ends.
    fn listen(&'static self) -> io::Result<Registered> {
        let (arrivals, arrived) = UnixStream::pair()?;
        thread::Builder::new()
            .name(self.thread.to_owned())
            .spawn(move || self.receive(arrivals))?;
        // After the spawn: a handler without its thread would swallow the signal.
        Registered::new(self.signal, arrived)
    }

    fn receive(&self, mut arrivals: UnixStream) {
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

/// What the signal does in a program without a handler. The kernel spares the first process of a container from it;
/// there it ends a program whose user `insists`, because only our handler keeps it running.
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
