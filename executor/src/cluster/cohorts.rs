//! The queues that come and go with the fleet's cohorts, and with the run.

use std::time::Duration;

use async_trait::async_trait;
use podpool_core::id::RunId;

use crate::kubernetes::fleet::Cohorts;
use crate::pubsub::{Admin, Collected, RunLabels, RunNames};

/// Makes a control subscription for each worker of a cohort, before its pods start.
#[derive(Debug)]
pub(super) struct ControlQueues {
    admin: Admin,
    names: RunNames,
    labels: RunLabels,
    run: RunId,
    lease: Duration,
}

impl ControlQueues {
    pub(super) const fn new(
        admin: Admin,
        names: RunNames,
        labels: RunLabels,
        run: RunId,
        lease: Duration,
    ) -> Self {
        Self {
            admin,
            names,
            labels,
            run,
            lease,
        }
    }

    /// Deletes what the run made in Pub/Sub; says what is left.
    pub(super) async fn delete_run(&self) -> Vec<String> {
        told(&self.admin.delete_run(&self.names, &self.run).await)
    }
}

#[async_trait]
impl Cohorts for ControlQueues {
    async fn prepare(&self, cohort: u32, size: u32) -> Result<(), String> {
        self.admin
            .create_control(&self.names, &self.labels, self.lease, cohort, size)
            .await
            .map_err(super::chain)
    }

    async fn retire(&self, cohort: u32, size: u32) -> Result<(), String> {
        let collected = self.admin.delete_control(&self.names, cohort, size).await;
        match told(&collected) {
            left if left.is_empty() => Ok(()),
            left => Err(left.join("; ")),
        }
    }
}

fn told(collected: &Collected) -> Vec<String> {
    let failed = collected.failed.iter();
    failed
        .map(|(name, error)| format!("{name}: {error}"))
        .collect()
}
