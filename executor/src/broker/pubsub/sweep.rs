//! What a run does in an administrator's subscriptions before it begins and after it has ended, for other runs have been
//! there and will be. At its end batches may be left that were published twice, or whose tasks were cancelled: the next
//! run would take them for a sign that this one is still there.

use std::time::Duration;

use podpool_core::queue::Queue;
use tokio::time::timeout;
use tracing::debug;

/// How long it may take: it holds up the shutdown.
const BOUND: Duration = Duration::from_secs(10);
/// How long a batch is waited for.
const WAIT: Duration = Duration::from_secs(1);
/// Batches at once.
const MOST: usize = 1_000;

/// Looks whether another run is there, before anything is published: a queue with an owner tells what it meets, and gives
/// back at once what is an older run's. Nothing met proves nothing: an older run may be met later.
pub(crate) async fn look(queue: &dyn Queue) {
    match timeout(BOUND, queue.take(MOST, WAIT)).await {
        Ok(Ok(own)) if own.is_empty() => {}
        Ok(Ok(own)) => {
            // They name no owner: their next reader judges them by their MAC.
            let leases: Vec<_> = own.into_iter().map(|one| one.lease).collect();
            timeout(BOUND, queue.release(&leases)).await.ok();
        }
        // The queue's other callers get the same error.
        Ok(Err(error)) => debug!(%error, "whether another run is there was not seen"),
        Err(_) => debug!("whether another run is there was not seen within {BOUND:?}"),
    }
}

/// Removes what is the run's own, as far as the queue gives it: what a killed worker has comes too late for that.
pub(crate) async fn sweep(tasks: &dyn Queue) {
    let swept = timeout(BOUND, async {
        loop {
            let batches = match tasks.take(MOST, WAIT).await {
                Ok(batches) if batches.is_empty() => return,
                Ok(batches) => batches,
                Err(error) => return debug!(%error, "what the run left was not looked for"),
            };
            debug!(
                batches = batches.len(),
                "removing batches that nobody needs"
            );
            let leases: Vec<_> = batches.into_iter().map(|batch| batch.lease).collect();
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
    async fn nothing_is_left_of_what_was_there() {
        let queue = MemoryQueue::new("tasks", QueueLimits::new(1 << 20, Duration::from_secs(60)));
        sweep(&queue).await;
        let batches = vec![Bytes::from_static(b"batch"); MOST + 1];
        assert!(queue.put(batches).await.iter().all(Result::is_ok));
        sweep(&queue).await;
        let left = queue.take(1, Duration::from_secs(120)).await.unwrap();
        assert!(left.is_empty());
    }
}
