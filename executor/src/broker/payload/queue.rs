//! The queue that sends large payloads through a store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{join, join_all, try_join_all};
use podpool_core::envelope::reference::{Extraction, Part};
use podpool_core::envelope::{MacKey, Message, Reference};
use podpool_core::instant::after;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::error::Fault;
use super::{OVER, PayloadStore, hash};

/// Largest message: the largest length of an entry, less the heads around it.
const MESSAGE_BYTES: usize = u32::MAX as usize - 64 * 1024;

/// Bytes of payloads that one `take` fetches; a single message may have more.
// As many bytes as dispatch has out on a cluster, so one worker can hold that much at most, beside what its slots hold.
const IN_FLIGHT: u64 = 256 << 20;

/// How long a store may fail before its message is left to the next taker.
// About ten tries. The lease is renewed meanwhile, so this bounds only how long one worker keeps a message from others.
const INSIST: Duration = Duration::from_secs(30);
/// Delay before a fetch is repeated; doubled each time up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a `put` waits for uploads at least, and at most. Uploads go on after that; the caller has other messages
/// to send, such as heartbeats, and puts the message again.
// A sixth of the lease, within these bounds. A publisher makes one call at a time, and a worker that sends no message
// for a lease counts as missed: heartbeats are due each third of it, so a `put` must end well within that.
const WAIT_LEAST: Duration = Duration::from_secs(1);
const WAIT_MOST: Duration = Duration::from_secs(10);

/// A queue whose messages may be larger than the one inside carries: payloads over [`OVER`] bytes go to a
/// [`PayloadStore`], and an authenticated [`Reference`] travels in their place.
///
/// A message whose payloads are missing or damaged is delivered too: results with a failure for each task whose output
/// is lost, anything else as the reference that it travelled as, with its [`problem`](Reference::problem). Fetches from
/// a store that fails are repeated for 30 s; then the message is released.
#[derive(Debug)]
pub struct PayloadQueue {
    inner: Arc<dyn Queue>,
    store: PayloadStore,
    mac_key: MacKey,
}

/// A delivery whose message must be assembled first, or not.
enum Job {
    Plain(Bytes),
    Fetch(Reference, Bytes),
}

impl PayloadQueue {
    /// Wraps a queue; `mac_key` is that of its messages.
    #[must_use]
    pub fn new(inner: Arc<dyn Queue>, store: PayloadStore, mac_key: MacKey) -> Self {
        Self {
            inner,
            store,
            mac_key,
        }
    }

    /// Stores the payloads of a message and makes the reference to it.
    async fn store(&self, message: Bytes, cut: Extraction) -> Result<Bytes, QueueError> {
        if message.len() > MESSAGE_BYTES {
            return Err(self.too_large(message.len()));
        }
        let payloads: Vec<_> = cut
            .regions
            .iter()
            .map(|at| message.slice(at.clone()))
            .collect();
        let hashes = join_all(payloads.iter().cloned().map(hash)).await;
        let uploads = hashes.iter().zip(payloads);
        let uploads = try_join_all(uploads.map(|(hash, payload)| self.store.put(*hash, payload)));
        let wait = (self.inner.limits().lease / 6).clamp(WAIT_LEAST, WAIT_MOST);
        // Dropping the wait drops no upload: each runs in a task of its own, and the next `put` of this message joins
        // it.
        let stored = timeout(wait, uploads).await.unwrap_or_else(|_| {
            let reason = format!("{} bytes are still on their way", message.len());
            Err(Fault::Passing(reason))
        });
        // The reference is published only when all payloads are stored: a receiver would take a missing one for lost.
        stored.map_err(|fault| fault.into_queue_error(self.store.name()))?;
        let (reference, shell) = cut
            .close(&message, self.store.run().clone(), &hashes)
            .map_err(|_| self.too_large(message.len()))?;
        Ok(reference.message(&shell, &self.mac_key))
    }

    fn too_large(&self, size: usize) -> QueueError {
        QueueError::TooLarge {
            size,
            limit: MESSAGE_BYTES,
            queue: format!("payload store {}", self.store.name()),
        }
    }

    fn job(&self, body: Bytes) -> Job {
        // The MAC before the fetch: a forged reference must not make this process read objects. A reference of another
        // run has another folder, and one with a problem was looked for already.
        if Reference::is(&body)
            && let Ok(Message::Reference(reference, shell)) =
                Message::read(body.clone(), &self.mac_key)
            && reference.run == *self.store.run()
            && reference.problem.is_none()
        {
            return Job::Fetch(reference, shell);
        }
        // Its reader reports what is wrong with it.
        Job::Plain(body)
    }

    /// Assembles the messages of some deliveries, and renews their leases meanwhile.
    async fn resolve(&self, taken: Vec<Delivery>) -> Result<Vec<Delivery>, QueueError> {
        let (mut jobs, mut leases, mut later) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for Delivery { lease, body } in taken {
            let job = self.job(body);
            if let Job::Fetch(reference, _) = &job {
                let more = reference.payload_bytes();
                // The first reference always: a message above the bound would never be taken otherwise.
                if bytes > 0 && bytes + more > IN_FLIGHT {
                    later.push(lease);
                    continue;
                }
                bytes += more;
            }
            jobs.push(job);
            leases.push(lease);
        }
        // Given back before the fetches, so that other takers have those messages meanwhile.
        self.release_quietly(&later).await;
        let work = join_all(jobs.into_iter().map(|job| self.carry_out(job)));
        // The caller gets these leases only with the messages, so its own keeper does not renew them yet. Not biased:
        // only one branch can end.
        let messages = tokio::select! {
            messages = work => messages,
            never = self.hold(&leases) => match never {},
        };
        let (mut deliveries, mut failed, mut refusal) = (Vec::new(), Vec::new(), None);
        for (lease, message) in leases.into_iter().zip(messages) {
            match message {
                Ok(body) => deliveries.push(Delivery { lease, body }),
                Err(error) => {
                    refusal = Some(error);
                    failed.push(lease);
                }
            }
        }
        let Some(error) = refusal else {
            return Ok(deliveries);
        };
        warn!(
            %error,
            messages = failed.len(),
            "payloads could not be fetched; their messages are given back and will be delivered again"
        );
        self.release_quietly(&failed).await;
        if deliveries.is_empty() {
            // An empty answer would mean an empty queue; the error makes the caller pause and report.
            return Err(error);
        }
        Ok(deliveries)
    }

    /// Renews leases every third of their time.
    async fn hold(&self, leases: &[LeaseId]) -> Infallible {
        let pause = self.inner.limits().lease / 3;
        loop {
            sleep(pause).await;
            // Errors are dropped: the receiver of the delivery detects a lost lease at its own next renewal.
            self.inner.extend(leases).await;
        }
    }

    async fn release_quietly(&self, leases: &[LeaseId]) {
        if !leases.is_empty() {
            // Errors are dropped: a message that is not released is delivered again when its lease ends.
            self.inner.release(leases).await;
        }
    }

    async fn carry_out(&self, job: Job) -> Result<Bytes, QueueError> {
        let (reference, shell) = match job {
            Job::Plain(body) => return Ok(body),
            Job::Fetch(reference, shell) => (reference, shell),
        };
        let fetched = join_all(reference.parts.iter().map(|part| self.fetch(part))).await;
        let mut found = Vec::with_capacity(fetched.len());
        for (fetched, part) in fetched.into_iter().zip(&reference.parts) {
            found.push(match fetched {
                Ok(payload) => Ok(payload),
                Err(Fault::Missing) => Err(format!("{} is missing", self.store.object(part))),
                Err(Fault::Damaged(how)) => {
                    Err(format!("{} is damaged: {how}", self.store.object(part)))
                }
                Err(fault) => return Err(fault.into_queue_error(self.store.name())),
            });
        }
        Ok(self.put_together(reference, &shell, &found))
    }

    /// The whole message, or the rest of it where payloads are lost.
    fn put_together(
        &self,
        mut reference: Reference,
        shell: &[u8],
        found: &[Result<Bytes, String>],
    ) -> Bytes {
        let problem = match found.iter().find_map(|found| found.as_ref().err()) {
            Some(problem) => problem.clone(),
            None => {
                let payloads: Vec<_> = found.iter().flatten().cloned().collect();
                match reference.assemble(shell, &payloads) {
                    Ok(message) => return message,
                    Err(error) => error.to_string(),
                }
            }
        };
        warn!(problem, run = %reference.run, "a payload is lost; its task is told");
        // Results are split: a lost output fails its own task. Of a batch no part can run without its arguments, so the
        // reference itself goes on, with the problem, and the worker rejects its tasks.
        if let Some(results) = reference.without_lost(shell, found, &self.mac_key) {
            return results;
        }
        reference.problem = Some(problem);
        reference.message(shell, &self.mac_key)
    }

    /// Fetches a payload, again while the store fails.
    // `Missing` and `Damaged` are final: an object is stored before its reference is published, and its bytes are
    // checked against its name. A denial is repeated, because a new identity may take some seconds to be valid
    // everywhere.
    async fn fetch(&self, part: &Part) -> Result<Bytes, Fault> {
        let until = after(Instant::now(), INSIST);
        let mut delay = FIRST;
        loop {
            let fault = match self.store.get(part).await {
                Err(fault @ (Fault::Passing(_) | Fault::Denied(_))) => fault,
                other => return other,
            };
            if after(Instant::now(), delay) >= until {
                return Err(fault);
            }
            sleep(delay).await;
            delay = LONGEST.min(delay * 2);
        }
    }
}

#[async_trait]
impl Queue for PayloadQueue {
    async fn put(&self, bodies: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let carried = self.inner.limits().message_bytes;
        // The common case: no message can hold a payload that must be cut, so none is parsed.
        if bodies
            .iter()
            .all(|message| message.len() <= OVER.min(carried))
        {
            return self.inner.put(bodies).await;
        }
        let mut answers: Vec<_> = bodies.iter().map(|_| Ok(())).collect();
        let (mut light, mut heavy) = (Vec::new(), Vec::new());
        for (at, message) in bodies.into_iter().enumerate() {
            match Extraction::of(&message, &self.mac_key, OVER, carried) {
                None => light.push((at, message)),
                Some(cut) => heavy.push(async move { (at, self.store(message, cut).await) }),
            }
        }
        // Messages without an upload do not wait for those with one. Nothing was begun before this line: the futures in
        // `heavy` are polled here first.
        let (light, heavy) = join(put_some(self.inner.as_ref(), light), join_all(heavy)).await;
        let mut stored = Vec::with_capacity(heavy.len());
        for (at, message) in heavy {
            match message {
                Ok(message) => stored.push((at, message)),
                Err(error) => answers[at] = Err(error),
            }
        }
        let heavy = put_some(self.inner.as_ref(), stored).await;
        for (at, answer) in light.into_iter().chain(heavy) {
            answers[at] = answer;
        }
        answers
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let taken = self.inner.take(max, wait).await?;
        if taken.iter().any(|delivery| Reference::is(&delivery.body)) {
            return self.resolve(taken).await;
        }
        Ok(taken)
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        let mut limits = self.inner.limits();
        limits.message_bytes = MESSAGE_BYTES;
        limits
    }
}

/// Stores messages that stand at these places of a call; the answers name the places.
async fn put_some(
    queue: &dyn Queue,
    messages: Vec<(usize, Bytes)>,
) -> Vec<(usize, Result<(), QueueError>)> {
    if messages.is_empty() {
        return Vec::new();
    }
    let (places, bodies): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
    places.into_iter().zip(queue.put(bodies).await).collect()
}
