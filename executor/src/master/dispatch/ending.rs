//! How a dispatcher ends: the pool breaks, another master or run takes over, or it was shut down.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::stream::StreamExt;
use podpool_core::envelope::Printed;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::{RunId, WorkerId};
use podpool_core::instant::after;
use podpool_core::notice;
use podpool_core::panics::panic_text;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, warn};

use crate::error::ShutdownError;
use crate::master::mailbox::Closed;

use super::RunningDispatch;
use super::results::PULL_MOST;

/// How long the results of workers that have ended are pulled at most, and the silence that ends it. A message that
/// comes later stays in a subscription that outlives the run, and the next run takes it for a sign that this one lives.
const HEAR_OUT: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(1);
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
        // What failed before has its own reason.
        self.judge_all_failures(Instant::now());
        // Where workers are elsewhere their removal takes its time, and a program may show the reason only after it.
        if self.printed.is_some() && self.state.broken().is_none() {
            notice::trouble(broken(reason, self.state.unfinished()));
        }
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

    /// The workers are gone: takes what they said last, and leaves no pull open. A service would give such a pull what the
    /// next run says, and lease it to nobody.
    async fn hear_out(&mut self) {
        let end = after(Instant::now(), HEAR_OUT);
        self.answer_pull().await;
        if !self.take_pull(HEAR_OUT).await {
            return;
        }
        let queue = self.queues.results.clone();
        while Instant::now() < end
            && self.hears_out()
            && let Ok(Ok(said)) = timeout(HEAR_OUT, queue.take(PULL_MOST, QUIET)).await
            && !said.is_empty()
        {
            self.on_pulled(Instant::now(), Ok(said));
        }
    }

    /// Takes the answer to the pull that is under way, if it comes in time. The next one is not sent by that.
    async fn take_pull(&mut self, time: Duration) -> bool {
        match timeout(time, &mut self.pull).await {
            Ok(answer) => {
                self.on_pulled(Instant::now(), answer);
                true
            }
            Err(_) => false,
        }
    }

    /// Says something that means nothing, so that the pull which is under way is answered now.
    async fn answer_pull(&mut self) {
        let nothing = Printed {
            run: self.state.run().clone(),
            worker: WorkerId(0),
            epoch: self.epoch,
            tasks: Vec::new(),
            lines: Vec::new(),
            left_out: 0,
            through: 0,
        };
        let said = self
            .queues
            .results
            .put(vec![nothing.message(&self.mac_key)]);
        // The right to publish there may be missing. Then the pull is answered when its time is over.
        timeout(HEAR_OUT, said).await.ok();
    }

    /// Tells those who wait for the shutdown.
    pub(super) async fn finish(mut self) {
        if self.hears_out() {
            self.hear_out().await;
        } else if self.superseded.is_some() {
            // What it brings is the other master's.
            self.take_pull(QUIET).await;
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

/// What a person is told when the pool breaks.
fn broken(reason: &str, unfinished: usize) -> String {
    match unfinished {
        0 => format!("the pool is broken: {reason}"),
        1 => format!("the pool is broken, and 1 task ends with it: {reason}"),
        tasks => format!("the pool is broken, and {tasks} tasks end with it: {reason}"),
    }
}

/// Why a master stops that another one followed.
pub(super) fn superseded(own: u64, epoch: u64) -> String {
    format!(
        "superseded: another master has taken this run over (its epoch is {epoch}, this one's {own}); its tasks go on there"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use podpool_core::queue::memory::MemoryQueue;
    use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
    use podpool_core::worker::Queues;
    use tokio::sync::oneshot;

    use super::super::fake::idle;
    use super::*;
    use crate::master::command::{Command, ShutdownBehavior};

    /// A pull that is given up stays open, as at a service.
    #[derive(Debug)]
    struct Lingering(Arc<MemoryQueue>);

    #[async_trait]
    impl Queue for Lingering {
        async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
            self.0.put(messages).await
        }

        async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
            let queue = self.0.clone();
            let answer = tokio::spawn(async move { queue.take(max, wait).await });
            answer.await.unwrap()
        }

        async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.extend(leases).await
        }

        async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.ack(leases).await
        }

        async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
            self.0.release(leases).await
        }

        fn limits(&self) -> QueueLimits {
            self.0.limits()
        }
    }

    /// How many messages the next run finds of its own two and this run's one, and how long the end took.
    async fn next_run(results_outlive: bool) -> (usize, Duration) {
        let results = Arc::new(MemoryQueue::local("results"));
        let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
        let (mailbox, fleet, _orders, mut dispatch) = idle(Queues {
            tasks: queue("tasks"),
            results: Arc::new(Lingering(results.clone())),
            control: queue("control"),
        });
        dispatch.results_outlive = results_outlive;
        let began = Instant::now();
        let (done, ended) = oneshot::channel();
        let behavior = ShutdownBehavior::WaitForTasks;
        mailbox.command(Command::Shutdown { behavior, done });
        let leftovers = Vec::new();
        fleet.send(FleetEvent::Ended { leftovers }).unwrap();
        dispatch.run().await;
        assert_eq!(ended.await.unwrap(), Ok(()));
        let took = began.elapsed();
        let word = || vec![Bytes::from_static(b"of the next run")];
        for _ in 0..2 {
            results.put(word()).await;
            tokio::task::yield_now().await;
        }
        let found = results.take(10, Duration::ZERO).await.unwrap();
        (found.len(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_leaves_no_pull_open_on_names_that_outlive_it() {
        let (found, took) = next_run(true).await;
        assert_eq!(found, 2, "nothing of this run, and all of the next");
        assert!(took <= 2 * QUIET, "{took:?}");
        // On names of its own they go with the run, and nobody waits.
        let (_, took) = next_run(false).await;
        assert_eq!(took, Duration::ZERO);
    }
}
