//! Ctrl-C: the first cancels what has not begun, the second ends everything.
//!
//! One thread hears for all executors of the program. When none lives, or both words were said, Ctrl-C does what it
//! does in any program.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

use crate::mailbox::{Command, Mailbox, ShutdownBehavior};

/// Exit code of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// The executors that are told.
static EXECUTORS: Mutex<Vec<Weak<Mailbox>>> = Mutex::new(Vec::new());

/// Tells this executor of Ctrl-C for as long as it lives.
pub(crate) fn watch(mailbox: &Arc<Mailbox>) -> io::Result<()> {
    static LISTENER: OnceLock<Result<(), io::ErrorKind>> = OnceLock::new();
    let listening = LISTENER.get_or_init(|| listen().map_err(|error| error.kind()));
    (*listening)?;
    let mut executors = EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner);
    executors.retain(|executor| executor.strong_count() > 0);
    executors.push(Arc::downgrade(mailbox));
    Ok(())
}

fn listen() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("podpool-ctrl-c".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut said = 0;
                while ctrl_c().await.is_ok() {
                    said = on_ctrl_c(said);
                }
            });
        })?;
    Ok(())
}

/// Passes the word on; returns how often it was said to executors that live.
fn on_ctrl_c(said: u32) -> u32 {
    let executors = EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let living: Vec<Arc<Mailbox>> = executors
        .iter()
        .filter_map(Weak::upgrade)
        .filter(|mailbox| !mailbox.is_gone())
        .collect();
    let behavior = match said {
        _ if living.is_empty() => leave(),
        0 => ShutdownBehavior::CancelPending,
        1 => ShutdownBehavior::Abort,
        _ => leave(),
    };
    for mailbox in living {
        let (done, _) = oneshot::channel();
        mailbox.command(Command::Shutdown { behavior, done });
    }
    said + 1
}

#[expect(
    clippy::exit,
    reason = "what Ctrl-C does in a program without a handler"
)]
fn leave() -> ! {
    std::process::exit(INTERRUPTED)
}
