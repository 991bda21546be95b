//! Steps in an administrator's subscriptions before a run begins and after it has ended, because other runs use them
//! before and after it. At the end of a run, batches may be left that were published twice, or whose tasks were
//! cancelled: the next run would take them for a sign that this run still exists.

use std::time::Duration;

use podpool_core::queue::Queue;
use tokio::time::timeout;
use tracing::debug;

/// Longest duration of either step: the first delays `build()`, the second delays the shutdown.
// Three pulls of 2.9 s each (`WAIT` and the margin of a pull). At half, one slow answer would end a sweep; at double, a
// service that does not answer would delay `build()` and the shutdown by 20 s each.
const BOUND: Duration = Duration::from_secs(10);
/// How long one pull waits for a batch.
const WAIT: Duration = Duration::from_secs(1);
/// Most batches of one pull.
const MOST: usize = 1_000;

/// Detects another run, before anything is published: a queue with an owner reports the runs whose messages it meets,
/// and gives back an older run's messages at once. An empty answer is no proof: an older run may be met later.
pub(crate) async fn look(queue: &dyn Queue) {
    match timeout(BOUND, queue.take(MOST, WAIT)).await {
        Ok(Ok(own)) if own.is_empty() => {}
        Ok(Ok(own)) => {
            // These messages name no owner: their next reader judges them by their MAC. They are given back here
            // because no task of this run is published yet, so none of them can be needed now.
            let leases: Vec<_> = own.into_iter().map(|one| one.lease).collect();
            // A refused release delays those messages by their lease, and nothing else.
            timeout(BOUND, queue.release(&leases)).await.ok();
        }
        // Not an error of `build()`: the queue's other callers get the same error and report it.
        Ok(Err(error)) => debug!(%error, "whether another run is there was not seen"),
        Err(_) => debug!("whether another run is there was not seen within {BOUND:?}"),
    }
}

/// Removes the run's own messages, as far as the queue delivers them: a message that a killed worker had leased is
/// delivered too late for this.
pub(crate) async fn sweep(tasks: &dyn Queue) {
    // Bounded as a whole: a producer that still publishes would keep the loop going without end.
    let swept = timeout(BOUND, async {
        loop {
            let batches = match tasks.take(MOST, WAIT).await {
                // Pub/Sub may answer without messages although some are there. One that is left costs the next run a
                // wrong sign of this run, and no task.
                Ok(batches) if batches.is_empty() => return,
                Ok(batches) => batches,
                Err(error) => return debug!(%error, "what the run left was not looked for"),
            };
            debug!(
                batches = batches.len(),
                "removing batches that no worker needs"
            );
            let leases: Vec<_> = batches.into_iter().map(|batch| batch.lease).collect();
            // Refusals are dropped: such a message is delivered again, to this loop or to the next run.
            tasks.ack(&leases).await;
        }
    });
    if swept.await.is_err() {
        debug!("batches of the run may be left after {BOUND:?}");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use podpool_core::queue::QueueLimits;
    use podpool_core::queue::memory::MemoryQueue;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sweep_removes_every_message() {
        let queue = MemoryQueue::new("tasks", QueueLimits::new(1 << 20, Duration::from_secs(60)));
        sweep(&queue).await;
        let batches = vec![Bytes::from_static(b"batch"); MOST + 1];
        assert!(queue.put(batches).await.iter().all(Result::is_ok));
        sweep(&queue).await;
        let left = queue.take(1, Duration::from_secs(120)).await.unwrap();
        assert!(left.is_empty());
    }
}
