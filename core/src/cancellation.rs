//! A cancellation token that costs nothing until the task takes it.
//!
//! Most tasks never use it: a flag is enough for them, and the next task can have the flag again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Whether a task was cancelled, to be passed to a thread or a future that the task started. Clones share it, and it may
/// outlive the body.
// A flag, and a token once a task waits for it.
#[derive(Clone, Debug)]
pub struct Cancellation(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancelled: AtomicBool,
    token: OnceLock<CancellationToken>,
}

// Created lazily: most tasks are never cancelled and never take the token, which costs an allocation.
impl Cancellation {
    /// Of a task that was not cancelled.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        if let Some(token) = self.0.token.get() {
            token.cancel();
        }
    }

    /// Whether the task was cancelled. After a grace it is stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Resolves when the task is cancelled.
    pub async fn cancelled(&self) {
        self.token().cancelled().await;
    }

    /// The token, made by the first caller. Whichever comes second, the token or the cancel, sees the other.
    fn token(&self) -> &CancellationToken {
        let token = self.0.token.get_or_init(CancellationToken::new);
        if self.is_cancelled() {
            token.cancel();
        }
        token
    }

    /// Makes this a fresh one: the same memory again, unless a clone was kept or it was used.
    pub(crate) fn renew(&mut self) {
        // `get_mut` gives the memory only where no clone is left, so no other thread can cancel it meanwhile.
        let unused = Arc::get_mut(&mut self.0)
            .is_some_and(|inner| !*inner.cancelled.get_mut() && inner.token.get().is_none());
        if !unused {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_cancelled_whenever_it_was_taken() {
        let early = Cancellation::new();
        let token = early.token().clone();
        assert!(!token.is_cancelled());
        early.cancel();
        assert!(token.is_cancelled() && early.is_cancelled());
        let late = Cancellation::new();
        late.cancel();
        assert!(late.token().is_cancelled());
    }

    #[test]
    fn what_a_task_kept_is_never_given_to_the_next() {
        let mut cancellation = Cancellation::new();
        let kept = cancellation.clone();
        cancellation.renew();
        cancellation.cancel();
        assert!(!kept.is_cancelled());
        cancellation.renew();
        assert!(!cancellation.is_cancelled());
        let token = cancellation.token().clone();
        cancellation.renew();
        cancellation.cancel();
        assert!(!token.is_cancelled());
    }
}
