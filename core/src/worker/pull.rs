//! The loop's calls to its queues: pulls, and acknowledgements that are tried again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::queue::{Delivery, LeaseId, Queue, QueueError};

/// How long one pull waits for a batch at most.
const WAIT: Duration = Duration::from_secs(30);
/// The same at a service. A pull that is given up stays open there, and what it is given then is leased to no worker: so a
/// worker that leaves waits for its last one.
const REMOTE_WAIT: Duration = Duration::from_secs(5);
/// Within this the last pull is answered: services take up to two seconds more than the call allows, and new leases may
/// need a call of their own.
pub(super) const LAST_PULL: Duration = Duration::from_secs(REMOTE_WAIT.as_secs() + 4);
/// How long an answer may take beyond that, and that to an acknowledgement or a release.
// Without a bound a call that is never answered would hold up a worker that leaves: `is_over` waits for all answers.
const ANSWER: Duration = Duration::from_secs(60);
/// Delay before a failed acknowledgement is tried again.
// Three tries within 1.2 s pass a short fault. After a longer one the batch is delivered again, and `Stored` keeps its
// tasks from running again.
const AGAIN: Duration = Duration::from_millis(200);

/// A pull under way: when it was sent, and its answer.
pub(super) type Pull = BoxFuture<'static, (Instant, Result<Vec<Delivery>, QueueError>)>;

/// A pull of tasks.
pub(super) fn pull(queue: Arc<dyn Queue>, most: usize) -> Pull {
    let wait = if queue.limits().remote {
        REMOTE_WAIT
    } else {
        WAIT
    };
    pull_for(queue, most, wait)
}

// A pull of control is sent again as soon as one is answered, so that a change of the run's state comes within one
// round trip.
/// A pull of control.
pub(super) fn listen(queue: Arc<dyn Queue>, most: usize) -> Pull {
    pull_for(queue, most, WAIT)
}

fn pull_for(queue: Arc<dyn Queue>, most: usize, wait: Duration) -> Pull {
    Box::pin(async move {
        // Before the call: the lease of what it brings is counted from here, see `Leases::hold`.
        let sent = Instant::now();
        // An empty pull is news too: the master republishes by it, in leases.
        let wait = wait.min(queue.limits().lease);
        let answer = timeout(wait + ANSWER, queue.take(most, wait)).await;
        let answer = answer.unwrap_or_else(|_| {
            Err(QueueError::Unavailable {
                queue: format!("{queue:?}"),
                reason: format!("no answer to a pull within {:?}", wait + ANSWER),
            })
        });
        (sent, answer)
    })
}

/// The same as a pull, after a while.
pub(super) fn later(pull: Pull, delay: Duration) -> Pull {
    Box::pin(async move {
        sleep(delay).await;
        pull.await
    })
}

/// The answer of a pull, if one is under way.
pub(super) async fn pulled(
    pull: &mut Option<Pull>,
) -> (Instant, Result<Vec<Delivery>, QueueError>) {
    match pull {
        Some(pull) => pull.await,
        // Never ready, so that the branch of the `select!` needs no condition of its own.
        None => std::future::pending().await,
    }
}

/// Acknowledges, again where the queue had a passing fault. A lost lease needs nothing: the batch comes again, and the
/// master passes its results over. A queue that does not answer is not called again either.
pub(super) async fn acknowledge(queue: Arc<dyn Queue>, mut leases: Vec<LeaseId>) {
    for delay in [AGAIN, AGAIN * 5, AGAIN * 25] {
        let Ok(answers) = timeout(ANSWER, queue.ack(&leases)).await else {
            break;
        };
        for (lease, _) in leases.iter().zip(&answers).filter(|(_, a)| a.is_ok()) {
            debug!(%lease, "acknowledged");
        }
        let failed =
            |answer: &Result<(), QueueError>| answer.as_ref().is_err_and(QueueError::is_transient);
        leases = leases
            .into_iter()
            .zip(answers)
            .filter(|(_, a)| failed(a))
            .map(|(l, _)| l)
            .collect();
        if leases.is_empty() {
            return;
        }
        sleep(delay).await;
    }
    warn!(
        batches = leases.len(),
        "batches could not be acknowledged; they will be delivered again"
    );
}

/// Releases. What fails is made good by the leases' end.
pub(super) async fn release(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    // Both errors are dropped, the timeout's and those of single leases: the messages come back when the leases end.
    timeout(ANSWER, queue.release(&leases)).await.ok();
}

/// Acknowledges what changes nothing when it is delivered again.
pub(super) async fn acknowledge_once(queue: Arc<dyn Queue>, leases: Vec<LeaseId>) {
    timeout(ANSWER, queue.ack(&leases)).await.ok();
}
