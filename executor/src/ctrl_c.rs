//! Signals to the master. Ctrl-C: the first cancels what has not begun, the second ends everything. SIGTERM, of a
//! master whose workers are elsewhere: the first ends everything, so that the run is removed before the program goes.
//!
//! A thread for each signal hears for all executors of the program. When none lives, or all words were said, the
//! signal does what it does in any program.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::lock::lock;
use crate::mailbox::{Command, Mailbox, ShutdownBehavior};

/// Ctrl-C.
static INTERRUPT: Ear = Ear::new(
    "podpool-ctrl-c",
    SignalKind::interrupt,
    &[ShutdownBehavior::CancelPending, ShutdownBehavior::Abort],
);
/// What Kubernetes and service managers send before they kill.
#[cfg(feature = "kubernetes")]
static TERMINATE: Ear = Ear::new(
    "podpool-sigterm",
    SignalKind::terminate,
    &[ShutdownBehavior::Abort],
);

/// Tells this executor of Ctrl-C for as long as it lives.
pub(crate) fn watch(mailbox: &Arc<Mailbox>) -> io::Result<()> {
    INTERRUPT.watch(mailbox)
}

/// Tells this executor of SIGTERM for as long as it lives. On one machine nobody needs it: slots end with their
/// master.
#[cfg(feature = "kubernetes")]
pub(crate) fn watch_termination(mailbox: &Arc<Mailbox>) -> io::Result<()> {
    TERMINATE.watch(mailbox)
}

/// Who hears of a signal, and what they are told the first time, the second time and so on.
struct Ear {
    thread: &'static str,
    kind: fn() -> SignalKind,
    words: &'static [ShutdownBehavior],
    executors: Mutex<Vec<Weak<Mailbox>>>,
    listening: OnceLock<Result<(), io::ErrorKind>>,
}

impl Ear {
    const fn new(
        thread: &'static str,
        kind: fn() -> SignalKind,
        words: &'static [ShutdownBehavior],
    ) -> Self {
        Self {
            thread,
            kind,
            words,
            executors: Mutex::new(Vec::new()),
            listening: OnceLock::new(),
        }
    }

    fn watch(&'static self, mailbox: &Arc<Mailbox>) -> io::Result<()> {
        let listen = || self.listen().map_err(|error| error.kind());
        (*self.listening.get_or_init(listen))?;
        let mut executors = lock(&self.executors);
        executors.retain(|executor| executor.strong_count() > 0);
        executors.push(Arc::downgrade(mailbox));
        Ok(())
    }

    fn listen(&'static self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            signal((self.kind)())?
        };
        thread::Builder::new()
            .name(self.thread.to_owned())
            .spawn(move || runtime.block_on(self.hear(signals)))?;
        Ok(())
    }

    async fn hear(&self, mut signals: Signal) {
        let mut said = 0;
        while signals.recv().await.is_some() {
            let living = self.living();
            let word = self.words.get(said).filter(|_| !living.is_empty());
            let Some(&behavior) = word else {
                leave((self.kind)());
            };
            for mailbox in living {
                let (done, _) = oneshot::channel();
                mailbox.command(Command::Shutdown { behavior, done });
            }
            said += 1;
        }
    }

    fn living(&self) -> Vec<Arc<Mailbox>> {
        let executors = lock(&self.executors);
        let living = executors.iter().filter_map(Weak::upgrade);
        living.filter(|mailbox| !mailbox.is_gone()).collect()
    }
}

#[expect(
    clippy::exit,
    reason = "what the signal does in a program without a handler"
)]
fn leave(signal: SignalKind) -> ! {
    // What a shell says of a program that a signal ended.
    std::process::exit(128 + signal.as_raw_value())
}
