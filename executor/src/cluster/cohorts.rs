//! The queues that come and go with the fleet's cohorts, and with the run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tracing::warn;

use crate::kubernetes::fleet::Cohorts;
use crate::pubsub::{Admin, AdminError, Collected, Made, RunLabels, RunNames};

/// Makes a control subscription for each worker of a cohort, before its pods start.
#[derive(Debug)]
pub(super) struct ControlQueues {
    admin: Admin,
    names: RunNames,
    labels: RunLabels,
    /// What is the run's to delete.
    made: Made,
    lease: Duration,
    /// The cohorts that have subscriptions, and how many each.
    live: Mutex<BTreeMap<u32, u32>>,
    /// Something had vanished, and not all of it is made again.
    incomplete: AtomicBool,
}

impl ControlQueues {
    pub(super) const fn new(
        admin: Admin,
        names: RunNames,
        labels: RunLabels,
        made: Made,
        lease: Duration,
    ) -> Self {
        Self {
            admin,
            names,
            labels,
            made,
            lease,
            live: Mutex::new(BTreeMap::new()),
            incomplete: AtomicBool::new(false),
        }
    }

    /// Whether the run made its names itself.
    pub(super) const fn are_own(&self) -> bool {
        self.names.are_own()
    }

    /// Makes again what vanished. True when tasks or results may have been lost by it, once everything is there again,
    /// however many calls that takes.
    pub(super) async fn restore(&self) -> Result<bool, AdminError> {
        let (names, labels) = (&self.names, &self.labels);
        let vanished = self.admin.has_vanished(names).await?;
        if vanished {
            self.incomplete.store(true, Ordering::Relaxed);
        }
        let incomplete = self.incomplete.load(Ordering::Relaxed);
        if incomplete {
            self.admin.create(names, labels, self.lease).await?;
        }
        self.restore_control().await?;
        if incomplete {
            self.admin.check(names).await?;
            self.incomplete.store(false, Ordering::Relaxed);
        }
        Ok(incomplete)
    }

    /// Control subscriptions that vanished lost nothing: the next heartbeat brings the whole state.
    async fn restore_control(&self) -> Result<(), AdminError> {
        let live = self.live().clone();
        let missing = self.admin.missing_control(&self.names, &live).await?;
        for (cohort, size) in missing {
            warn!(
                cohort,
                "control subscriptions had vanished and are made again"
            );
            self.admin
                .create_control(&self.names, &self.labels, self.lease, cohort, size)
                .await?;
        }
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u32, u32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what the run made in Pub/Sub; says what is left.
    pub(super) async fn delete_run(&self) -> Vec<String> {
        told(&self.admin.delete_made(&self.names, &self.made).await)
    }
}

#[async_trait]
impl Cohorts for ControlQueues {
    async fn prepare(&self, cohort: u32, size: u32) -> Result<(), String> {
        self.admin
            .create_control(&self.names, &self.labels, self.lease, cohort, size)
            .await
            .map_err(super::chain)?;
        self.live().insert(cohort, size);
        Ok(())
    }

    async fn retire(&self, cohort: u32, size: u32) -> Result<(), String> {
        self.live().remove(&cohort);
        let collected = self
            .admin
            .delete_control(&self.names, &self.labels.run, cohort, size)
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
