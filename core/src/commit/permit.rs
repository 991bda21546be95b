//! Whether an attempt may still commit.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cancellation::Cancellation;
use crate::task::TaskContext;

/// Whether an attempt may still commit: it was not cancelled, its time is not over, and a caller waits.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    cancellation: Cancellation,
    deadline: Option<Instant>,
    /// Cancelled when the future that waits for the commit is dropped.
    left: CancellationToken,
}

impl Permit {
    pub(super) fn of(context: &TaskContext) -> Self {
        Self {
            cancellation: context.cancellation.clone(),
            deadline: context.deadline,
            left: CancellationToken::new(),
        }
    }

    /// Ends the permit when the guard is dropped.
    pub(super) fn ends_with_this(&self) -> DropGuard {
        self.left.clone().drop_guard()
    }

    /// Whether the attempt may commit now.
    pub(super) fn holds(&self) -> bool {
        let late = self
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now());
        !late && !self.left.is_cancelled() && !self.cancellation.is_cancelled()
    }

    /// Resolves when the attempt may not commit any more. Needs a runtime with time.
    pub(super) async fn ended(&self) {
        let late = async {
            match self.deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.cancellation.cancelled() => {}
            () = self.left.cancelled() => {}
            () = late => {}
        }
    }
}
