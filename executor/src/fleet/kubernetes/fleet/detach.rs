//! The end of a master whose workers go on: the workers that are wanted are started first.

use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::job::job_name;
use super::Work;
use super::end::OPENING;

/// How long the workers that are wanted may take to be there or to start, beyond the pauses between cohorts.
// Twice the longest request, which is repeated, after the first list of Jobs.
const STARTED: Duration = Duration::from_secs(60);

impl Work {
    /// Waits for the cohort that is being opened: its Job would stay suspended, or its pods without their Secret.
    pub(super) async fn complete_opening(&mut self) {
        if let Some(opening) = self.opening.take() {
            // A request that is not answered in time may be carried out later; the next master removes that Job.
            timeout(OPENING, opening).await.ok();
        }
    }

    /// The Jobs outlive the Job or pod in which this master runs. Returns those that do not.
    async fn let_go(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        if self.opener.cluster().owner().is_none() {
            return left;
        }
        for cohort in self.state.going() {
            if let Err(error) = self.opener.give(cohort, None).await {
                let name = job_name(&self.opener.fleet.run, cohort);
                left.push(format!(
                    "Job {name} ends when this master's Job is deleted: {error}"
                ));
            }
        }
        left
    }

    /// Opens what is missing, and waits for the answer. Returns why no worker is there, if so.
    pub(super) async fn detach(&mut self) -> Vec<String> {
        let end = after(Instant::now(), STARTED);
        loop {
            self.perform();
            if self.opening.is_none() && self.state.has_supply() {
                return self.let_go().await;
            }
            if Instant::now() >= end || self.state.is_broken() {
                self.complete_opening().await;
                let reason = self.state.why_short();
                return vec![format!(
                    "no worker runs or starts, so the run waits for its next master: {reason}"
                )];
            }
            let tick = self.state.deadline(Instant::now()).unwrap_or(end).min(end);
            let work = async {
                tokio::select! {
                    opened = super::opened(&mut self.opening) => Woken::Opened(opened),
                    event = self.watches.next() => Woken::Cluster(event),
                }
            };
            match timeout_at(tick, work).await {
                Ok(Woken::Opened(opened)) => self.on_opened(opened),
                Ok(Woken::Cluster(event)) => self.apply(event),
                Err(_) => self.state.on_tick(Instant::now()),
            }
        }
    }
}

/// What woke the loop.
#[expect(
    clippy::large_enum_variant,
    reason = "it exists for one turn of the loop"
)]
enum Woken {
    Opened((u32, Result<super::Opened, super::OpenError>)),
    Cluster(super::watch::ClusterEvent),
}
