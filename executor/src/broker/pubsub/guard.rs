//! Detects deleted or shared topics and subscriptions of a run: they vanish, or another run uses them.

mod pace;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use podpool_core::broker::BrokerEvent;
use podpool_core::id::RunId;
use podpool_core::notice;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::pace::Pace;
use super::{AdminError, Owner, Signs};

/// How often the run's own topics and subscriptions are looked at where nothing is amiss; five calls.
const LOOK: Duration = Duration::from_secs(30);

/// Who looks whether a run's topics and subscriptions are there, and makes what is not.
#[async_trait]
pub(crate) trait Repairs: Send + Sync {
    /// Whether the run made its names itself.
    fn are_own(&self) -> bool;

    /// Whether there are workers, or soon will be: they report every ten seconds.
    fn has_workers(&self) -> bool;

    /// Looks, and makes again what vanished.
    async fn repair(&self) -> Repair;
}

/// What a look found and did.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// What had vanished and is there again, in words.
    pub(crate) made: Vec<String>,
    /// Everything is there again, and what was in it is lost.
    pub(crate) lost: bool,
    /// Why not everything is known to be there.
    pub(crate) failed: Option<Failed>,
}

/// Why not everything is known to be there.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It could not be looked at.
    Look(AdminError),
    /// Something is missing, and could not be made.
    Make(AdminError),
}

/// Looks after the queues of one run.
pub(crate) struct Guard {
    queues: Arc<dyn Repairs>,
    signs: Signs,
    pace: Pace,
    own: Owner,
    /// Other runs that were met on an administrator's names.
    met: mpsc::UnboundedReceiver<Owner>,
    /// Younger runs that a notice named.
    named: Vec<RunId>,
    /// The trouble that a notice named, until it is over.
    trouble: Option<String>,
    events: mpsc::UnboundedSender<BrokerEvent>,
}

impl Guard {
    pub(crate) fn new(
        queues: Arc<dyn Repairs>,
        signs: Signs,
        lease: Duration,
        (own, met): (Owner, mpsc::UnboundedReceiver<Owner>),
        events: mpsc::UnboundedSender<BrokerEvent>,
    ) -> Self {
        Self {
            queues,
            signs,
            pace: Pace::new(Instant::now(), LOOK.min(lease)),
            own,
            met,
            named: Vec::new(),
            trouble: None,
            events,
        }
    }

    /// Watches until it is stopped. What it has begun to make is made whole before, so that it can be deleted whole.
    /// Returns whether other runs were met.
    pub(crate) async fn watch(mut self, stopped: CancellationToken) -> bool {
        let mut met = false;
        let own = self.queues.are_own();
        let began = Instant::now();
        loop {
            let workers = self.queues.has_workers();
            let heard = workers.then(|| self.signs.heard().unwrap_or(began));
            let now = Instant::now();
            let due = self.pace.due(now, heard);
            if own && due <= now && !stopped.is_cancelled() {
                self.look().await;
                continue;
            }
            tokio::select! {
                biased;
                () = stopped.cancelled() => return met,
                Some(other) = self.met.recv() => {
                    met = true;
                    self.meet(&other);
                }
                vanished = self.signs.vanished(), if own => {
                    debug!(?vanished, "a call found something gone");
                    self.pace.ask(Instant::now());
                }
                // Their silence counts from now on, which is before the next look by schedule.
                () = self.signs.workers_expected(), if own => {}
                () = sleep_until(due), if own => {}
            }
        }
    }

    async fn look(&mut self) {
        let repair = self.queues.repair().await;
        let failed = repair.failed.is_some();
        self.pace
            .looked(Instant::now(), !repair.made.is_empty(), failed);
        for what in &repair.made {
            notice::trouble(format_args!(
                "{what} was deleted while the run uses it; podpool made it again, and publishes again what may be lost"
            ));
        }
        if repair.lost {
            self.tell(BrokerEvent::Restored);
        }
        self.say(repair.failed);
    }

    /// Trouble is said once until it is another or over.
    fn say(&mut self, failed: Option<Failed>) {
        match failed {
            Some(Failed::Make(error)) => {
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    notice::trouble(format_args!(
                        "something of the run's topics and subscriptions was deleted and is not made again yet: {trouble}; podpool goes on trying"
                    ));
                    self.trouble = Some(trouble);
                }
            }
            // The queues' callers get the same error, and try again.
            Some(Failed::Look(error)) => {
                debug!(%error, "the run's topics and subscriptions could not be looked at");
            }
            None if self.trouble.take().is_some() => {
                notice::relief(format_args!(
                    "the run's topics and subscriptions are all there again"
                ));
            }
            None => {}
        }
    }

    /// The younger of two runs ends.
    fn meet(&mut self, other: &Owner) {
        let by = other.run().clone();
        if *other < self.own {
            self.tell(BrokerEvent::NamesInUse { by });
        } else if !self.named.contains(&by) {
            notice::trouble(format_args!(
                "run {by} is younger and uses the same topics and subscriptions; it will end, and this run goes on"
            ));
            self.named.push(by);
        }
    }

    fn tell(&self, event: BrokerEvent) {
        // The dispatcher may have ended before.
        self.events.send(event).ok();
    }
}

#[cfg(test)]
mod tests;
