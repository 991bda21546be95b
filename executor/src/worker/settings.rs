//! How a worker runs tasks, and the worker made of it: the same on a laptop and in a pod.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::envelope::{MacKey, TaskType};
use podpool_core::id::{RunId, WorkerId};
use podpool_core::registry::Registry;
use podpool_core::slot::{Launch, OutputLimits, Program, Setup};
use podpool_core::task::Place;
use podpool_core::worker::{Conduct, OutputSink, Queues, Settings, Worker};
use serde::{Deserialize, Serialize};

use super::known::KnownTasks;

/// How a worker runs tasks. It travels to pods as a part of the run's descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerSettings {
    pub(crate) slots: u32,
    /// Executions after which a slot's process is replaced.
    pub(crate) max_tasks_per_slot: Option<u64>,
    /// Bytes of memory of each slot.
    pub(crate) memory: Option<u64>,
    /// Limits of the lines that tasks print.
    #[serde(default)]
    pub(crate) output: OutputLimits,
    /// From a cancelled token to the kill of a slot.
    pub(crate) grace: Duration,
    /// From the start of a slot until it must be ready.
    pub(crate) start_timeout: Duration,
    /// The initializer's task and its encoded arguments.
    pub(crate) initializer: Option<(String, Vec<u8>)>,
    /// Bytes that its running tasks share by what they declare.
    #[serde(skip)]
    pub(crate) shared_memory: Option<u64>,
}

/// The place of a worker, its run, and its description of itself.
pub(crate) struct Site {
    pub(crate) run: RunId,
    /// Its name and its node's, for people.
    pub(crate) worker: Arc<str>,
    pub(crate) node: Arc<str>,
    pub(crate) program: Program,
    pub(crate) mac_key: MacKey,
    pub(crate) queues: Queues,
    pub(crate) output: OutputSink,
    pub(crate) class: ClassId,
    pub(crate) build: String,
    pub(crate) conduct: Conduct,
    /// The task types of its master; none where it ends with that master.
    pub(crate) types: Option<Vec<TaskType>>,
}

impl WorkerSettings {
    /// A worker at this site.
    ///
    /// # Errors
    /// A sentence, where this program does not have the initializer's task.
    pub(crate) fn worker(&self, site: Site) -> Result<Worker, String> {
        let Site {
            run,
            worker,
            node,
            program,
            mac_key,
            queues,
            output,
            class,
            build,
            conduct,
            types,
        } = site;
        let place = Place {
            run: run.clone(),
            worker,
            node,
        };
        Ok(Worker {
            settings: Settings {
                run,
                worker: WorkerId::random(),
                mac_key,
                slots: self.slots,
                max_tasks_per_slot: self.max_tasks_per_slot,
                grace: self.grace,
                start_timeout: self.start_timeout,
                message_bytes: queues.results.limits().message_bytes,
                shared_memory: self.shared_memory,
                types,
            },
            launch: Launch {
                program,
                env: Vec::new(),
                setup: Setup {
                    place,
                    initializer: self.initializer()?,
                    memory_limit: self.memory,
                },
                output: self.output,
            },
            queues,
            lookup: Arc::new(KnownTasks),
            output,
            class,
            build,
            conduct,
        })
    }

    /// The initializer, by its index in this program.
    // The settings travel with its name, because the master's index may be another one in the worker's program.
    fn initializer(&self) -> Result<Option<(u32, Bytes)>, String> {
        let Some((name, arguments)) = &self.initializer else {
            return Ok(None);
        };
        let registry = Registry::global().map_err(|error| error.to_string())?;
        let spec = registry.find(name).map_err(|error| error.to_string())?;
        let index = spec.index.get().copied().unwrap_or(u32::MAX);
        Ok(Some((index, arguments.clone().into())))
    }
}
