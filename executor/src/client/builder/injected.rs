//! A pool over a broker that the program brings: its workers are processes of this machine.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::Broker;

use super::run_key::fresh_key;
use super::{Builder, ledger, setting};
use crate::broker::run_payloads::asked_for;
use crate::client::join::{Elsewhere, Run};
use crate::error::BuildError;
use crate::fleet::processes::ProcessFleet;
use crate::master::handle::Handle;

/// Leftovers of a run in its broker may be deleted after so long.
const LASTS: Duration = Duration::from_secs(24 * 3_600);
/// From SIGTERM to the end of a worker: 5 s of it are the worker's own.
const TERMINATION: Duration = Duration::from_secs(15);
/// A worker whose master was killed leaves after so long without work: longer than three of the master's heartbeats.
// Control is put every 10 s. At half, one lost heartbeat would end idle workers of a living master.
const IDLE: Duration = Duration::from_secs(35);

/// A broker, and the workers over it.
#[derive(Debug)]
pub(crate) struct Injected {
    pub(crate) broker: Option<Arc<dyn Broker>>,
    /// Slots of each worker.
    pub(crate) slots: u32,
    /// The arguments with which this program becomes a worker.
    pub(crate) arguments: Vec<OsString>,
}

impl Default for Injected {
    fn default() -> Self {
        Self {
            broker: None,
            slots: 1,
            arguments: Vec::new(),
        }
    }
}

impl Builder {
    /// The settings of the module `testing`.
    pub(crate) const fn injected(&mut self) -> &mut Injected {
        &mut self.injected
    }

    pub(super) async fn start_injected(
        mut self,
        broker: Arc<dyn Broker>,
    ) -> Result<Handle, BuildError> {
        let injected = std::mem::take(&mut self.injected);
        if injected.slots == 0 {
            return Err(setting("worker_slots", 0, "a worker has one slot at least"));
        }
        let workers = self.workers(1)?;
        let name = self.run_name()?;
        let wanted = self.wanted_run()?;
        let run = self.run_id(name.as_ref());
        let payload_store = asked_for(self.payload_store.take());
        let slots = (injected.slots, self.slot_start_timeout()?);
        let run = Run {
            settings: self.into_settings(run, name, slots)?,
            broker,
            fleet: Box::new(ProcessFleet {
                max_workers: workers,
                arguments: injected.arguments,
            }),
            workers,
            payload_store,
            ledger: None,
            elsewhere: Some(Elsewhere {
                key: fresh_key()?,
                epoch: 1,
                lasts: LASTS,
                termination: TERMINATION,
                idle: IDLE,
                build: String::new(),
                same_build: false,
                outlives: false,
            }),
        };
        ledger::start(run, wanted).await
    }
}
