//! What a worker's program knows of the tasks that batches name.

use podpool_core::envelope::TaskType;
use podpool_core::outcome::{Cause, Failure};
use podpool_core::registry::Registry;
use podpool_core::worker::frame::TaskTypeInfo;
use podpool_core::worker::state::Lookup;

/// The tasks of this program.
#[derive(Debug)]
pub(crate) struct KnownTasks;

impl Lookup for KnownTasks {
    fn look_up(&self, task_type: &TaskType) -> Result<TaskTypeInfo, Failure> {
        let rejected = |reason: String| Failure {
            retryable: false,
            ..Failure::new(Cause::Rejected, reason)
        };
        let registry = Registry::global().map_err(|error| rejected(error.to_string()))?;
        let spec = registry
            .find(&task_type.name)
            .map_err(|error| rejected(error.to_string()))?;
        let fingerprint = spec
            .fingerprint()
            .map_err(|error| rejected(error.to_string()))?;
        if fingerprint != task_type.fingerprint {
            return Err(rejected(format!(
                "task {} has another shape in the worker than in the master; build both from the same source",
                spec.name
            )));
        }
        Ok(TaskTypeInfo {
            index: spec.index.get().copied().unwrap_or(u32::MAX),
            timeout: spec.options.timeout,
            finish_on_lost_lease: spec.options.finish_on_lost_lease,
            memory: spec.options.memory,
        })
    }
}
