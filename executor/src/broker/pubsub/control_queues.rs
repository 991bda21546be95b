//! The queues that are made and removed with the fleet's cohorts, and with the run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::{Cohort, CohortQueues};

use super::admin::{Admin, Collected, Made, Making};
use super::guard::{Failed, Repair, Repairs};
use super::names::{RunNames, spoken};
use super::{RunLabels, Signs};
use crate::error::start::chain;
use crate::lock::lock;

/// Makes a control subscription for each worker of a cohort, before its pods start.
#[derive(Debug)]
pub(crate) struct ControlQueues {
    admin: Admin,
    names: RunNames,
    labels: RunLabels,
    /// The objects that the run has made and may delete.
    made: Made,
    lease: Duration,
    signs: Signs,
    /// The cohorts that have subscriptions, and how many each.
    live: Mutex<BTreeMap<u32, u32>>,
    /// A topic or subscription had vanished, and not all of them are made again.
    // `Relaxed` is enough: only the guard's task reads and writes it. It outlives one repair, because a repair that
    // fails halfway must report the loss when a later one completes it.
    incomplete: AtomicBool,
}

impl ControlQueues {
    pub(crate) const fn new(
        admin: Admin,
        names: RunNames,
        labels: RunLabels,
        made: Made,
        lease: Duration,
        signs: Signs,
    ) -> Self {
        Self {
            admin,
            names,
            labels,
            made,
            lease,
            signs,
            live: Mutex::new(BTreeMap::new()),
            incomplete: AtomicBool::new(false),
        }
    }

    /// Enters into `made` what it made, also where it fails later. `lost` is set once everything exists again, however
    /// many calls that takes: only then can the lost tasks be published again.
    async fn repair_into(&self, made: &mut Vec<String>, lost: &mut bool) -> Result<(), Failed> {
        let (names, labels) = (&self.names, &self.labels);
        let vanished = self.admin.has_vanished(names).await.map_err(Failed::Look)?;
        if vanished {
            self.incomplete.store(true, Ordering::Relaxed);
        }
        let incomplete = self.incomplete.load(Ordering::Relaxed);
        if incomplete {
            let making = self.admin.make(names, labels, self.lease).await;
            self.signs.renew(&making.made);
            made.extend(making.made.iter().map(|path| spoken(path)));
            failed(making)?;
        }
        self.repair_control(made).await?;
        if incomplete {
            // A subscription that was just made may not be visible to every call at once. Without this check the master
            // would publish everything again to queues that still refuse.
            self.admin.check(names).await.map_err(Failed::Look)?;
            self.incomplete.store(false, Ordering::Relaxed);
            *lost = true;
        }
        Ok(())
    }

    /// A control subscription that vanished has lost nothing: the next control message carries the whole state.
    async fn repair_control(&self, made: &mut Vec<String>) -> Result<(), Failed> {
        // A copy, so that the lock is not held across a call. A cohort that is retired meanwhile may get its
        // subscriptions again; they have the run's labels, and the run's end deletes them.
        let live = self.live().clone();
        let missing = self.admin.missing_control(&self.names, &live).await;
        for (cohort, size) in missing.map_err(Failed::Look)? {
            let (names, labels) = (&self.names, &self.labels);
            let making = self
                .admin
                .make_control(names, labels, self.lease, cohort, size)
                .await;
            match &making.made[..] {
                [] => {}
                [path] => made.push(spoken(path)),
                // All workers of a cohort lose their subscriptions together; a line for each would add nothing.
                [first, rest @ ..] => {
                    let (first, more) = (spoken(first), rest.len());
                    made.push(format!("{first}, with {more} more of its cohort,"));
                }
            }
            failed(making)?;
        }
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u32, u32>> {
        lock(&self.live)
    }

    /// Deletes what the run made in Pub/Sub; returns what is left, a line for each.
    pub(crate) async fn delete_run(&self) -> Vec<String> {
        failures(&self.admin.delete_made(&self.names, &self.made).await)
    }
}

#[async_trait]
impl Repairs for ControlQueues {
    fn are_own(&self) -> bool {
        self.names.are_own()
    }

    fn has_workers(&self) -> bool {
        !self.live().is_empty()
    }

    async fn repair(&self) -> Repair {
        let mut repair = Repair::default();
        repair.failed = self
            .repair_into(&mut repair.made, &mut repair.lost)
            .await
            .err();
        repair
    }
}

#[async_trait]
impl CohortQueues for ControlQueues {
    async fn prepare(&self, cohort: Cohort) -> Result<(), String> {
        // A control subscription belongs to a place; the class of the worker there makes no difference to it.
        let Cohort { number, size, .. } = cohort;
        self.admin
            .create_control(&self.names, &self.labels, self.lease, number, size)
            .await
            .map_err(chain)?;
        // Only after they exist: the guard would take subscriptions that are still being made for vanished ones.
        self.live().insert(number, size);
        self.signs.expect_workers();
        Ok(())
    }

    async fn retire(&self, cohort: Cohort) -> Result<(), String> {
        let Cohort { number, size, .. } = cohort;
        // Before the deletion, or the guard would make the subscriptions again.
        self.live().remove(&number);
        let collected = self
            .admin
            .delete_made_control(&self.names, &self.made, number, size)
            .await;
        match failures(&collected) {
            left if left.is_empty() => Ok(()),
            left => Err(left.join("; ")),
        }
    }
}

fn failed(making: Making) -> Result<(), Failed> {
    making
        .failed
        .map_or(Ok(()), |error| Err(Failed::Make(error)))
}

fn failures(collected: &Collected) -> Vec<String> {
    let failed = collected.failed.iter();
    failed
        .map(|(name, error)| format!("{name}: {error}"))
        .collect()
}
