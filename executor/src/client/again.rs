//! Tasks that a run remembers, submitted again.

use std::thread;

use podpool_core::json::Json;
use podpool_core::ledger::LedgerError;
use tokio::sync::oneshot;

use crate::client::executor::PodPoolExecutor;
use crate::client::future::TaskFuture;
use crate::master::again::{Reprocess, Select, find};

impl PodPoolExecutor {
    /// Submits every task of the run again that failed, in this start of the run or an earlier one: as a new task, with the
    /// arguments and options of the failed one. The futures give results as JSON; a task's own future has resolved.
    ///
    /// ```no_run
    /// # use podpool::prelude::*;
    /// # async fn again(pool: PodPoolExecutor) -> Result<(), Box<dyn std::error::Error>> {
    /// for future in pool.retry_failed().await? {
    ///     let key = future.key();
    ///     println!("{key:?}: {:?}", future.await);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Tasks of which this program has another version, or none, are left out with a notice.
    ///
    /// # Errors
    /// [`LedgerError`]: the run has no [ledger](crate::Builder::ledger), or the ledger cannot be read.
    pub async fn retry_failed(&self) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        self.submit_again(Select::Failed).await
    }

    /// Computes tasks of the run again whether they have results or not, each as a new task that takes the place of the
    /// earlier one; the earlier one stays in the ledger as its history. Their bodies run although `skip_if` or an output
    /// would skip them. A task that has not ended is joined.
    ///
    /// # Errors
    /// As [`retry_failed`](Self::retry_failed).
    pub async fn reprocess(&self, which: Reprocess) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        self.submit_again(Select::These(which)).await
    }

    /// Submits every task again that an earlier master of the run left unended, without its program calling it. Calls of
    /// such tasks that come meanwhile join them.
    ///
    /// # Errors
    /// As [`retry_failed`](Self::retry_failed).
    pub async fn resume(&self) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        self.submit_again(Select::Unended).await
    }

    async fn submit_again(&self, select: Select) -> Result<Vec<TaskFuture<Json>>, LedgerError> {
        let handle = self.handle();
        let run = handle.run.clone();
        let ledger = handle.ledger.clone();
        let ledger = ledger.ok_or_else(|| LedgerError::NoLedger(run.clone()))?;
        let (tell, told) = oneshot::channel();
        // Calls of a ledger block.
        let look = move || {
            let found = ledger
                .read(&run)
                .and_then(|mut run| find(&mut *run, &select));
            // The caller may have gone.
            tell.send(found).ok();
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| LedgerError::Failed {
            what: "read the run".to_owned(),
            transient: true,
            source,
        };
        thread::Builder::new()
            .name("podpool-ledger-read".to_owned())
            .spawn(look)
            .map_err(|error| failed(error.into()))?;
        let found = told
            .await
            .map_err(|_| failed("its thread ended".into()))??;
        let submit = |parts| TaskFuture::submit_parts(&handle.mailbox, parts);
        Ok(found.into_iter().map(submit).collect())
    }
}
