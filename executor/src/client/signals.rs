//! Signals to the master. Ctrl-C: the first cancels tasks that have not begun, the second ends everything; each pool
//! counts its own. SIGTERM, of a master whose workers are elsewhere: the first ends everything, so that the run is
//! removed before the program exits.
//!
//! A thread for each signal receives it for all pools of the program. If no pool exists, or every pool has taken its
//! last step, the signal has the effect that it has without this library: the action of the program's own handler, else
//! the default action. A handler of the program is called beside podpool's if it was installed before, or later by
//! tokio or signal-hook. Whether a later one is for the same signal can only be guessed: so the fifth Ctrl-C, or the
//! second SIGTERM, that no pool answers within 10 s of the one before has its default action then, also while a pool
//! still removes its objects from a cluster.
//!
//! On systems without Unix signals nothing is installed.

#[cfg(unix)]
mod disposition;
#[cfg(unix)]
mod listener;
#[cfg(unix)]
mod steps;

use std::io;
use std::sync::Arc;

use crate::master::mailbox::Mailbox;

/// Passes Ctrl-C to this pool while it exists.
pub(crate) fn watch(mailbox: &Arc<Mailbox>) -> io::Result<()> {
    #[cfg(unix)]
    listener::INTERRUPT.watch(mailbox)?;
    #[cfg(not(unix))]
    let _ = mailbox;
    Ok(())
}

/// Passes SIGTERM to this pool while it exists. A local pool needs no such step: slots end with their master.
pub(crate) fn watch_termination(mailbox: &Arc<Mailbox>) -> io::Result<()> {
    #[cfg(unix)]
    listener::TERMINATE.watch(mailbox)?;
    #[cfg(not(unix))]
    let _ = mailbox;
    Ok(())
}

/// The first signal that ended a pool of this program.
pub(crate) fn interrupted() -> Option<u8> {
    #[cfg(unix)]
    return listener::first();
    #[cfg(not(unix))]
    return None;
}
