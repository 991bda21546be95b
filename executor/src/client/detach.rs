//! Leaving a run that goes on without this process.

use podpool_core::id::RunId;
use tokio::sync::oneshot;

use crate::client::executor::PodPoolExecutor;
use crate::error::DetachError;
use crate::master::command::Command;
use crate::master::mailbox::Closed;

impl PodPoolExecutor {
    /// Leaves the run, which goes on without this process: publishes every task that waits, sees to it that workers run
    /// or start, and ends the executor. Returns the run's id when all of that is done. Submissions end with this call;
    /// the futures of tasks that have not ended resolve to [`ShutDown`](crate::TaskErrorKind::ShutDown). A run without
    /// unended tasks ends as by [`shutdown`](Self::shutdown).
    ///
    /// The workers take task after task and keep the results in the queue of results: for as long as Pub/Sub keeps
    /// messages (31 days; where a service allows no more, 7), and no longer than the run's deadline. A later master, by
    /// [`attach`](crate::Builder::attach) or the same program with the same run, takes them in and does the rest: tasks
    /// whose attempt failed are tried again by it alone. A worker that finds no more task leaves after
    /// [`idle_timeout`](crate::options::KubernetesOptions::idle_timeout).
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # #[podpool::task] fn clean(day: u64) -> usize { day as usize }
    /// # async fn leave() -> Result<(), Box<dyn std::error::Error>> {
    /// let builder = PodPoolExecutor::builder().backend(podpool::Backend::Kubernetes);
    /// let pool = builder.ledger("ledger").run("year-2013").build().await?;
    /// for day in 0..365 {
    ///     drop(pool.submit(clean(day)));
    /// }
    /// println!("{} goes on", pool.detach().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DetachError`]: the workers are on this machine, the run has no ledger, or no worker runs or starts.
    pub async fn detach(&self) -> Result<RunId, DetachError> {
        let handle = self.handle();
        let run = handle.run.clone();
        if !handle.outlives {
            return Err(DetachError::Local(run));
        }
        if handle.ledger.is_none() {
            return Err(DetachError::NoLedger(run));
        }
        // Closed before the command, as by a shutdown.
        handle.mailbox.close(Closed::ShutDown);
        let (done, left) = oneshot::channel();
        handle.mailbox.command(Command::Detach { done });
        let outcome = match left.await {
            Ok(outcome) => outcome,
            Err(_) => handle.mailbox.how_it_ended(),
        };
        handle.mailbox.callbacks().idle().await;
        handle.written.wait().await;
        outcome?;
        Ok(run)
    }
}
