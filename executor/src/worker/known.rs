//! The tasks of a worker's program, looked up by the types that batches name.

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
        // Not retryable: all workers of a run have the same image, so another attempt would fail in the same way.
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
            // Set for every task in the registry; the slot rejects a number that it does not find.
            index: spec.index.get().copied().unwrap_or(u32::MAX),
            timeout: spec.options.timeout,
            finish_on_lost_lease: spec.options.finish_on_lost_lease,
            memory: spec.options.memory,
        })
    }
}
