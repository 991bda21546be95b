//! Results that came without their payloads, as a whole: it is unknown which of their tasks are done.

use std::time::Duration;

use podpool_core::envelope::Reference;
use podpool_core::envelope::reference::{Content, rejected};
use tokio::time::Instant;

use super::super::failed::Failed;
use super::{MasterState, Times};

/// Why the results cannot be had, where this program has no store.
const NO_STORE: &str =
    "they lie in a payload store and this program has none; set PODPOOL_PAYLOAD_STORE";

impl MasterState {
    /// Fails each task of a message of results whose payloads are lost.
    pub(crate) fn on_lost_results(&mut self, now: Instant, lost: &Reference) {
        let Content::Results(execution) = lost.of else {
            return;
        };
        let problem = lost.problem.as_deref().unwrap_or(NO_STORE);
        for run in &lost.tasks {
            // By `on_failed`, so that a message that is delivered twice, or whose tasks have newer attempts, changes
            // nothing.
            for task in run.tasks() {
                let failed = Failed {
                    times: Times::default(),
                    task,
                    attempt: run.attempt,
                    execution,
                    elapsed: Duration::ZERO,
                    failure: rejected(format!("its result is lost: {problem}; submit it again")),
                };
                self.on_failed(now, &failed);
            }
        }
    }
}
