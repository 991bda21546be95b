//! How a dispatcher ends: the pool breaks, another master or run takes over, or it was shut down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::stream::StreamExt;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::instant::after;
use podpool_core::panics::panic_text;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use crate::error::ShutdownError;
use crate::mailbox::Closed;

use super::RunningDispatch;

/// How long the results of workers that have ended are pulled at most, and the silence that ends it. A message that
/// comes later stays in a subscription that outlives the run, and the next run takes it for a sign that this one lives.
/// A busy machine is allowed for.
const HEAR_OUT: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(2);
/// How long workers are waited for whose executor has failed.
const STOP: Duration = Duration::from_secs(60);

impl RunningDispatch {
    /// Another master has taken the run: this one stops, and leaves everything to it.
    pub(super) fn supersede(&mut self, epoch: u64) {
        if self.superseded.is_none() {
            self.superseded = Some(epoch);
            self.order(FleetOrder::Abandon);
            self.ending = true;
            let reason = superseded(self.epoch, epoch);
            self.inbox.close(Closed::Broken(reason.clone().into()));
            self.state.break_pool(&reason);
        }
    }

    /// An older run has the names that an administrator gave: this one ends.
    pub(super) fn give_way(&mut self, by: RunId) {
        if self.older.is_none() {
            let reason = ShutdownError::NamesInUse { by: by.clone() }.to_string();
            self.older = Some(by);
            self.break_pool(&reason);
        }
    }

    /// Every pending future says why, and nothing is left running for nobody.
    pub(super) fn break_pool(&mut self, reason: &str) {
        self.inbox.close(Closed::Broken(reason.into()));
        self.state.break_pool(reason);
    }

    /// The loop panicked: every future says so, the workers are told to stop, and the thread ends. The state may be half
    /// changed; what it cannot settle any more is settled by its drop. Shutdowns are answered by the mailbox's end.
    pub(super) async fn fail(mut self, reason: &str) {
        error!(reason, "the executor ends");
        self.inbox.close(Closed::Broken(reason.into()));
        let settled = catch_unwind(AssertUnwindSafe(|| {
            self.state.break_pool(reason);
            self.state.wake();
        }));
        if let Err(again) = settled {
            let reason = panic_text(again);
            error!(reason, "and not every task could be told");
        }
        self.order(FleetOrder::Stop);
        let gone = async {
            while let Some(event) = self.fleet.events.recv().await {
                if matches!(event, FleetEvent::Ended { .. }) {
                    break;
                }
            }
        };
        if !self.fleet_ended && timeout(STOP, gone).await.is_err() {
            warn!("the workers had not ended within {STOP:?}");
        }
    }

    pub(super) fn answer_shutdowns(&mut self, outcome: &Result<(), ShutdownError>) {
        for done in self.done.drain(..) {
            // Whoever waited may have gone.
            done.send(outcome.clone()).ok();
        }
    }

    pub(super) fn outcome(&self) -> Result<(), ShutdownError> {
        if let Some(epoch) = self.superseded {
            return Err(ShutdownError::Superseded { epoch });
        }
        if let Some(by) = self.older.clone() {
            return Err(ShutdownError::NamesInUse { by });
        }
        if let Some(reason) = self.state.broken().map(ToOwned::to_owned) {
            return Err(ShutdownError::Broken { reason });
        }
        match self.leftovers.as_slice() {
            [] => Ok(()),
            what => Err(ShutdownError::Leftover {
                what: what.join("; "),
            }),
        }
    }

    /// Whether what is still said at the end is listened to. What another run may be there to hear is left to it.
    pub(super) const fn hears_out(&self) -> bool {
        self.results_outlive && self.superseded.is_none() && self.older.is_none()
    }

    /// The workers are gone: takes what they said last.
    pub(super) async fn hear_out(&mut self) {
        let end = after(Instant::now(), HEAR_OUT);
        while Instant::now() < end
            && let Ok(Ok(said)) = timeout(QUIET, &mut self.pull).await
        {
            let quiet = said.is_empty();
            self.on_pulled(Instant::now(), Ok(said));
            if quiet {
                break;
            }
        }
    }

    /// Tells those who wait for the shutdown.
    pub(super) async fn finish(mut self) {
        if self.hears_out() {
            self.hear_out().await;
        }
        debug!(
            late_results = self.state.late_results(),
            dropped = self.dropped,
            "the executor ends"
        );
        self.state.wake();
        let mut outcome = self.outcome();
        if self.superseded.is_none() {
            // The other master needs them.
            let cleaned = self.payloads.clean().await;
            outcome = outcome.and(cleaned);
        }
        self.inbox.end();
        self.answer_shutdowns(&outcome);
        // Shutdowns that came meanwhile are answered too, then the mailbox closes for good.
        self.drain();
        self.answer_shutdowns(&outcome);
        while self.acks.next().await.is_some() {}
    }
}

/// Why a master stops that another one followed.
pub(super) fn superseded(own: u64, epoch: u64) -> String {
    format!(
        "superseded: another master has taken this run over (its epoch is {epoch}, this one's {own}); its tasks go on there"
    )
}
