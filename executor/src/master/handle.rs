//! What all handles of one executor share.

use std::sync::Arc;

use podpool_core::id::{RunId, RunName};
use podpool_core::ledger::Ledger;
use tokio::sync::oneshot;

use super::command::{Command, ShutdownBehavior};
use super::mailbox::{Closed, Mailbox};
use super::observed::Observed;
use crate::report::reporting::Written;

/// What all clones share; dropping it stops the executor.
pub(crate) struct Handle {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) observed: Arc<Observed>,
    pub(crate) run: RunId,
    pub(crate) name: Option<RunName>,
    pub(crate) slots: usize,
    /// Where the run is remembered; none where it is not.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    /// Whether workers go on when their master has ended.
    pub(crate) outlives: bool,
    pub(crate) written: Written,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Closed before the command, so that no task is accepted in between and then aborted.
        self.mailbox.close(Closed::ShutDown);
        // No caller waits for it: a drop must not block. The executor ends its tasks, and its fleet, by itself.
        let (done, _) = oneshot::channel();
        self.mailbox.command(Command::Shutdown {
            behavior: ShutdownBehavior::Abort,
            done,
        });
    }
}
