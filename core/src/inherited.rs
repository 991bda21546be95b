//! The tracing dispatcher of a thread, for the threads that it starts.
//!
//! The executor's thread has a dispatcher of its own, which never blocks. A thread that works for it must have the same
//! one: a subscriber that waits would otherwise hold up the renewal of leases, or what speaks to the queue.

use tracing::Dispatch;
use tracing::dispatcher::{get_default, set_default, with_default};
use tracing::subscriber::NoSubscriber;

/// What the current thread's events go to.
#[derive(Clone, Debug)]
pub struct Inherited(Option<Dispatch>);

impl Inherited {
    /// Takes it from the current thread. Where there is none yet, a subscriber that is set for the whole program later
    /// is used.
    #[must_use]
    pub fn from_here() -> Self {
        Self(get_default(|here| {
            (!here.is::<NoSubscriber>()).then(|| here.clone())
        }))
    }

    /// Runs the life of another thread with it.
    pub fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(dispatch) => with_default(dispatch, life),
            None => life(),
        }
    }

    /// Sets it for the rest of the current thread's life: for those that a runtime starts.
    pub fn keep(&self) {
        if let Some(dispatch) = &self.0 {
            // It goes with the thread.
            std::mem::forget(set_default(dispatch));
        }
    }
}
