//! The queues that come and go with the fleet's cohorts, and with the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::id::RunId;

use crate::kubernetes::fleet::Cohorts;
use crate::pubsub::{Admin, AdminError, Collected, RunLabels, RunNames};

/// Makes a control subscription for each worker of a cohort, before its pods start.
#[derive(Debug)]
pub(super) struct ControlQueues {
    admin: Admin,
    names: RunNames,
    labels: RunLabels,
    run: RunId,
    lease: Duration,
    /// The cohorts that have subscriptions, and how many each.
    live: Mutex<BTreeMap<u32, u32>>,
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
            live: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether the run made its names itself.
    pub(super) const fn are_own(&self) -> bool {
        self.names.are_own()
    }

    /// Makes again what vanished; true if something had.
    pub(super) async fn restore(&self) -> Result<bool, AdminError> {
        let (names, labels) = (&self.names, &self.labels);
        if !self.admin.restore(names, labels, self.lease).await? {
            return Ok(false);
        }
        let live = self.live().clone();
        for (cohort, size) in live {
            self.admin
                .create_control(names, labels, self.lease, cohort, size)
                .await?;
        }
        Ok(true)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u32, u32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what the run made in Pub/Sub; says what is left.
    pub(super) async fn delete_run(&self) -> Vec<String> {
        told(&self.admin.delete_run(&self.names, &self.run).await)
    }
}

#[async_trait]
impl Cohorts for ControlQueues {
    async fn prepare(&self, cohort: u32, size: u32) -> Result<(), String> {
        self.live().insert(cohort, size);
        self.admin
            .create_control(&self.names, &self.labels, self.lease, cohort, size)
            .await
            .map_err(super::chain)
    }

    async fn retire(&self, cohort: u32, size: u32) -> Result<(), String> {
        self.live().remove(&cohort);
        let collected = self
            .admin
            .delete_control(&self.names, &self.run, cohort, size)
            .await;
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
