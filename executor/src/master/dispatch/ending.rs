//! How a dispatcher ends: the pool breaks, another master or run takes over, or it was shut down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::stream::StreamExt;
use podpool_core::envelope::Printed;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::WorkerId;
use podpool_core::instant::after;
use podpool_core::panics::panic_text;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use crate::error::ShutdownError;
use crate::master::mailbox::Closed;

use super::RunningDispatch;
use super::results::PULL_MOST;

/// How long the results of workers that have ended are pulled at most, and the silence that ends it. A message that
/// comes later stays in a subscription that outlives the run, and the next run takes it for a sign that this one runs.
// All workers have ended: what is left is on its way through the service. At double a run with a queue that does not
// answer ends that much later; at half more runs leave a message behind.
const LAST_RESULTS: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(1);
/// How long the last control message of a master that leaves its run may take.
const LAST_CONTROL: Duration = Duration::from_secs(2);
/// How long workers are waited for whose executor has failed.
// Twelve times the default grace of slots, 5 s: time to end slots, and to remove a run from a cluster.
const STOP: Duration = Duration::from_secs(60);

impl RunningDispatch {
    /// The loop panicked: every future gets the reason, the workers receive the order to stop, and the thread ends. The
    /// state may be half changed; futures that it cannot settle any more are settled by its drop. Shutdowns are
    /// answered by the mailbox's end.
    pub(super) async fn fail(mut self, reason: &str) {
        error!(reason, "the executor ends");
        // First, and outside of what may panic again: later callers must be refused with this reason in any case.
        self.inbox.close(Closed::Broken(reason.into()));
        let settled = catch_unwind(AssertUnwindSafe(|| {
            // The loop reads no more answers of the ledger.
            self.give_up_held(reason);
            self.state.break_pool(Instant::now(), reason);
            self.carry_out();
            self.observe(Instant::now());
            self.wakers.wake();
        }));
        if let Err(again) = settled {
            let reason = panic_text(again);
            error!(reason, "and not every task could be settled");
        }
        // A fleet that has ended by itself needs no orders. Not by an effect: the state may have panicked before it
        // left one.
        self.fleet.orders.send(FleetOrder::Stop).ok();
        let gone = async {
            while let Some(event) = self.fleet.events.recv().await {
                if matches!(event, FleetEvent::Ended { .. }) {
                    break;
                }
            }
        };
        let waits = !self.state.life().has_no_fleet();
        if waits && timeout(STOP, gone).await.is_err() {
            warn!("the workers had not ended within {STOP:?}");
        }
    }

    fn answer_shutdowns(&mut self, outcome: &Result<(), ShutdownError>) {
        for done in self.done.drain(..) {
            // The caller may have gone.
            done.send(outcome.clone()).ok();
        }
    }

    /// The workers are gone: takes their last messages, and leaves no pull open. A service would answer such a pull
    /// with a message of the next run, whose lease no process would hold.
    async fn take_last_results(&mut self) {
        let end = after(Instant::now(), LAST_RESULTS);
        // The pull under way is not dropped: a service keeps it open. An empty message ends it, and comes back with it.
        self.answer_pull().await;
        if !self.take_pull(LAST_RESULTS).await {
            return;
        }
        let queue = self.queues.results.clone();
        // Pulls of their own with a short wait. The pull that `on_pulled` makes is never polled, so that its call never
        // begins.
        while Instant::now() < end
            && self.state.takes_last_results()
            && let Ok(Ok(said)) = timeout(LAST_RESULTS, queue.take(PULL_MOST, QUIET)).await
            && !said.is_empty()
        {
            self.on_pulled(Instant::now(), Ok(said));
        }
    }

    /// Takes the answer to the pull that is under way, if it comes in time. The next pull is not sent by that.
    async fn take_pull(&mut self, time: Duration) -> bool {
        match timeout(time, &mut self.pull).await {
            Ok(answer) => {
                self.on_pulled(Instant::now(), answer);
                true
            }
            Err(_) => false,
        }
    }

    /// Puts a message without content, so that the pull which is under way is answered now.
    async fn answer_pull(&mut self) {
        let settings = self.state.settings();
        let nothing = Printed {
            run: settings.run.clone(),
            worker: WorkerId(0),
            epoch: settings.epoch,
            tasks: Vec::new(),
            lines: Vec::new(),
            left_out: 0,
            through: 0,
        };
        let said = self
            .queues
            .results
            .put(vec![nothing.message(&settings.mac_key)]);
        // The right to publish there may be missing. Then the pull is answered when its time is over.
        timeout(LAST_RESULTS, said).await.ok();
    }

    /// Ends the run, and answers the callers that wait for the shutdown.
    pub(super) async fn finish(mut self) {
        if self.state.takes_last_results() {
            self.take_last_results().await;
        } else if self.state.life().is_left() {
            // Its messages are the other master's: `answer` gives them back, instead of leaving them leased until their
            // leases end.
            self.take_pull(QUIET).await;
        }
        let (late_results, dropped) = self.state.left_out();
        let replays = self.state.replays();
        let overflow = self.state.revoked_overflow().tasks;
        debug!(
            late_results,
            replays, dropped, overflow, "the executor ends"
        );
        self.carry_out();
        if self.state.life().is_detached() {
            // The last control message: workers work without it too.
            let sent = async {
                while !self.control.is_empty() {
                    self.control.next().await;
                }
            };
            timeout(LAST_CONTROL, sent).await.ok();
        }
        self.observe(Instant::now());
        self.wakers.wake();
        // First: another master that has the run needs its payloads.
        self.release_ledger().await;
        let mut outcome = self.state.life().outcome();
        // After the last results, whose payloads may still be read, and never where another master needs them.
        if !self.state.life().is_left() {
            let cleaned = self.payloads.clean().await;
            outcome = outcome.and(cleaned);
        }
        // Before the answers: a caller whose shutdown has returned must find that the executor has ended.
        self.inbox.end(outcome.clone());
        self.observed.hub.end();
        self.answer_shutdowns(&outcome);
        // Shutdowns that came meanwhile are answered too, then the mailbox closes for good. One call suffices: the
        // mailbox has been closed by the first shutdown and was emptied there, so that only commands can be in it.
        self.drain();
        self.carry_out();
        self.wakers.wake();
        self.answer_shutdowns(&outcome);
        // Last, because each may take a minute: no caller waits for acknowledgements, but a result without one would
        // come to the next run.
        while self.acks.next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
