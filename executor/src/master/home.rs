//! The place of an executor: a thread with a runtime of its own, and the mailbox by which handles reach it.

use std::future::Future;
use std::sync::Arc;
use std::thread;

use podpool_core::registry::Registry;
use podpool_core::unstarted::Unstarted;

use crate::deadline::start_thread;
use crate::error::BuildError;
use crate::error::start::failed;
use crate::master::handle::Handle;
use crate::master::mailbox::{Inbox, Mailbox};
use crate::master::observed::Observed;
use crate::master::settings::RunSettings;
use crate::report::reporting::Reporting;

/// The place of an executor that has not started.
pub(crate) struct Home {
    inbox: Inbox,
    handle: Handle,
    runtime: Unstarted,
    reporting: Reporting,
}

impl Home {
    /// Prepares the place of a run's executor with so many slots.
    pub(crate) fn prepare(settings: &RunSettings, slots: usize) -> Result<Self, BuildError> {
        let reporting = settings.reporting.clone();
        // First: a future may wait with a timeout as soon as one exists, and every refusal of the system is an error of
        // `build()`.
        start_thread().map_err(failed("start the thread of the timeouts"))?;
        let (mailbox, inbox) = Mailbox::starting_at(settings.first_task);
        let tasks = Registry::global().map_or(0, Registry::len);
        let handle = Handle {
            mailbox,
            observed: Arc::new(Observed::new(tasks)),
            run: settings.run.clone(),
            name: settings.name.clone(),
            slots,
            ledger: settings.ledger.clone(),
            outlives: settings.outlives,
            written: reporting.written(),
        };
        let runtime = reporting
            .runtime()
            .map_err(failed("start the executor's runtime"))?;
        Ok(Self {
            inbox,
            handle,
            runtime: Unstarted::new(runtime),
            reporting,
        })
    }

    /// The sending end of its mailbox.
    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        self.handle.mailbox.clone()
    }

    /// Starts the thread, which ends with `life`. Clients of services run on its runtime too: the caller's may be busy
    /// or absent.
    pub(crate) fn start<F>(
        self,
        life: impl FnOnce(Inbox, Arc<Observed>) -> F + Send + 'static,
    ) -> Result<Handle, BuildError>
    where
        F: Future<Output = ()>,
    {
        let Self {
            inbox,
            handle,
            runtime,
            reporting,
        } = self;
        let observed = handle.observed.clone();
        thread::Builder::new()
            .name("podpool".to_owned())
            .spawn(move || {
                // `life` is called here and not before: its future need not be `Send`, and its timers need this
                // runtime.
                reporting.within(|| runtime.block_on(life(inbox, observed)));
            })
            .map_err(failed("start the executor's thread"))?;
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use podpool_core::id::{RunId, TaskId};
    use podpool_core::slot::OutputLimits;
    use std::time::Duration;

    use crate::master::limits::Limits;
    use crate::report::notices::Notices;
    use crate::worker::settings::WorkerSettings;

    use super::*;

    #[tokio::test]
    async fn a_home_that_is_not_started_is_dropped_within_a_runtime() {
        let settings = RunSettings {
            run: RunId::random(),
            name: None,
            retries: None,
            limits: Limits::default(),
            lease: None,
            broker_timeout: None,
            signals: false,
            reporting: Reporting::begin(Notices::Off, None, None).unwrap(),
            decorator: None,
            worker: WorkerSettings {
                slots: 1,
                max_tasks_per_slot: None,
                memory: None,
                output: OutputLimits::default(),
                grace: Duration::ZERO,
                start_timeout: Duration::MAX,
                initializer: None,
                shared_memory: None,
            },
            memory: None,
            first_task: TaskId(0),
            ledger: None,
            outlives: false,
        };
        drop(Home::prepare(&settings, 1).unwrap());
    }
}
