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

/// How often the run's own topics and subscriptions are checked without a reason; five calls.
// A deletion that no call reports costs half of this on average. With the listing of control subscriptions that is 12
// calls a minute for each run; at half it would be 24, of a quota that all runs of a project share.
const LOOK: Duration = Duration::from_secs(30);

/// Checks that a run's topics and subscriptions exist, and makes missing ones again.
#[async_trait]
pub(crate) trait Repairs: Send + Sync {
    /// Whether the run made its names itself.
    fn are_own(&self) -> bool;

    /// Whether there are workers, or soon will be: they report every ten seconds.
    fn has_workers(&self) -> bool;

    /// Checks them, and makes vanished ones again.
    async fn repair(&self) -> Repair;
}

/// The result of one check.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Those that had vanished and exist again, in words.
    pub(crate) made: Vec<String>,
    /// All exist again, and their messages are lost.
    pub(crate) lost: bool,
    /// Why the check is incomplete.
    pub(crate) failed: Option<Failed>,
}

/// Why a check is incomplete.
#[derive(Debug)]
pub(crate) enum Failed {
    /// One could not be read.
    Look(AdminError),
    /// One is missing, and could not be made.
    Make(AdminError),
}

/// Watches the queues of one run.
pub(crate) struct Guard {
    queues: Arc<dyn Repairs>,
    signs: Signs,
    pace: Pace,
    own: Owner,
    /// Other runs that were met on an administrator's names.
    met: mpsc::UnboundedReceiver<Owner>,
    /// Younger runs that a notice has named.
    named: Vec<RunId>,
    /// The failure that a notice has named, until a check succeeds.
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

    /// Watches until it is stopped. A repair that has begun is finished first, so that its results can be deleted.
    /// Returns whether other runs were met.
    pub(crate) async fn watch(mut self, stopped: CancellationToken) -> bool {
        let mut met = false;
        let own = self.queues.are_own();
        let began = Instant::now();
        loop {
            // Read again in each round: cohorts come and go, and each message moves the end of the permitted silence.
            let workers = self.queues.has_workers();
            let heard = workers.then(|| self.signs.heard().unwrap_or(began));
            let now = Instant::now();
            let due = self.pace.due(now, heard);
            // Outside of the `select!`: a stop in the midst of a repair would drop calls that the service may carry
            // out, and the removal that follows would miss their results.
            if own && due <= now && !stopped.is_cancelled() {
                self.look().await;
                continue;
            }
            tokio::select! {
                // The stop first: an administrator's names may yield messages of other runs without end. Those come
                // second, because they may end the run. The order of the others does not matter: each only leads to the
                // next round.
                biased;
                () = stopped.cancelled() => return met,
                // On own names no sender exists: `recv` gives `None`, which disables the branch for this round.
                Some(other) = self.met.recv() => {
                    met = true;
                    self.meet(&other);
                }
                vanished = self.signs.vanished(), if own => {
                    debug!(?vanished, "a call found something gone");
                    self.pace.ask(Instant::now());
                }
                // Their silence counts from now on, and ends before the next check by schedule: `due` must be computed
                // again.
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
        // Once all exist again, and not for each: dispatch publishes everything again, and a topic without its
        // subscription would drop those messages.
        if repair.lost {
            self.tell(BrokerEvent::Restored);
        }
        self.say(repair.failed);
    }

    /// Emits a notice about a failure once, until it is another one or over.
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

    /// Of two runs that meet, the younger ends.
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
        // The dispatcher may have ended before; then no receiver needs the event.
        self.events.send(event).ok();
    }
}

#[cfg(test)]
mod tests;
