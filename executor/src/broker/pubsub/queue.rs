//! One topic and one subscription as podpool's queue.

mod sort;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{PubsubMessage, ReceivedMessage};
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use tokio::time::sleep;
use tonic::Code;
use tracing::warn;

use super::chunks;
use super::connection::Connection;
use super::error::{Refusal, Role};
use super::names::{QueueNames, spoken, subscription_path, topic_path};
use super::owner::{Owner, Ownership};
use super::signs::Signs;
use super::stub::{Resource, Stub};

/// Most bytes that Pub/Sub takes in one request, less the frame of a message: topic, attributes, lengths.
// 10 MB, and not MiB. <https://cloud.google.com/pubsub/quotas>
pub(super) const MESSAGE_BYTES: usize = 10_000_000 - 1_000;
/// Most messages that one pull requests.
const PULL_MOST: usize = 1_000;
/// A pull gets more time than its caller waits: an answer that arrives after the caller has left stays leased. The
/// emulator answers 0.9 s before the end of that time, the service at any moment.
// 1 s for a pull without a wait, and 0.9 s for the emulator's early answer. At half, such a pull would have no time at
// all on the emulator; at double, each pull of an empty queue would take two more seconds beyond its caller's wait.
const PULL_MARGIN: Duration = Duration::from_millis(1_900);
/// Longest pull.
// A caller may wait without end. A connection that the keepalive does not find dead is left after 10 minutes at the
// latest.
const PULL_LONGEST: Duration = Duration::from_secs(600);
/// Requests of one call that are under way at once.
// Four requests of 2 MiB fill 8 MiB: 80 MB/s over a way of 100 ms. More would only hold more memory.
const AT_ONCE: usize = 4;
/// Leases that Pub/Sub can give, in seconds.
// <https://cloud.google.com/pubsub/docs/lease-management>
pub(super) const LEASES: std::ops::RangeInclusive<u64> = 10..=600;
/// An empty message needs an attribute, or Pub/Sub refuses it.
// Dispatch publishes empty messages to end a pull under way, so they must be accepted.
const EMPTY: (&str, &str) = ("podpool", "empty");

/// A topic and a subscription as one queue.
///
/// Messages may be delivered again while they are leased, in any order, and an answer to a lease that is lost is
/// accepted without an error: Pub/Sub promises no more. A call is tried once; after [`QueueError::Unavailable`] it may
/// be made again. May be used from any tokio runtime with time, and from several.
pub struct PubSubQueue {
    stub: Stub,
    topic: Option<Resource>,
    subscription: Option<Resource>,
    limits: QueueLimits,
    lease_seconds: i32,
    /// The subscription's own ack deadline is the lease, so a pulled message needs no renewal.
    leased_as_taken: bool,
    /// Where names are an administrator's, messages name the run that they belong to.
    ownership: Option<Ownership>,
    /// Where names are podpool's own, vanished ones are reported here, and made again.
    signs: Option<Signs>,
}

/// A lease that Pub/Sub cannot give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid lease {0:?} for pub/sub: use whole seconds from 10 to 600")]
pub struct InvalidLease(Duration);

impl PubSubQueue {
    /// A queue whose messages are leased for `lease`: 10 to 600 whole seconds. `ack_deadline` is the subscription's
    /// own; where it is unknown or another one, leases are renewed right after they are taken, at a call more.
    ///
    /// # Errors
    /// [`InvalidLease`].
    pub fn new(
        connection: &Connection,
        names: &QueueNames,
        lease: Duration,
        ack_deadline: Option<Duration>,
    ) -> Result<Self, InvalidLease> {
        let project = connection.project();
        let topic = names.topic.as_ref();
        let subscription = names.subscription.as_ref();
        Ok(Self {
            stub: connection.stub().clone(),
            topic: topic.map(|name| Resource::topic(topic_path(project, name))),
            subscription: subscription
                .map(|name| Resource::subscription(subscription_path(project, name))),
            limits: QueueLimits::remote(MESSAGE_BYTES, lease),
            lease_seconds: lease_seconds(lease)?,
            leased_as_taken: ack_deadline == Some(lease),
            ownership: None,
            signs: None,
        })
    }

    /// The names are podpool's own, and the run's master makes deleted ones again. A name that a call finds gone, or
    /// that a worker [reports](Self::report_vanished), appears in `signs`; the call's error is
    /// [`QueueError::Vanished`].
    #[must_use]
    pub fn repaired(mut self, signs: Signs) -> Self {
        self.signs = Some(signs);
        self
    }

    /// Marks messages with the run, and does not read messages with another run's mark: for names that an administrator
    /// made, which another run may use or have used. Messages of an older run are given back at once, and no clone of
    /// this ownership takes another message: its run must end. Messages of a younger run stay leased until that run
    /// ends.
    #[must_use]
    pub fn owned(mut self, ownership: Ownership) -> Self {
        self.ownership = Some(ownership);
        self
    }

    fn subscription(&self) -> Result<&Resource, QueueError> {
        self.subscription.as_ref().ok_or_else(|| QueueError::Gone {
            queue: format!("the subscription of {self:?}"),
            reason: "this queue is only put to".to_owned(),
        })
    }

    const fn signs(&self) -> Option<&Signs> {
        self.signs.as_ref()
    }

    /// One request, for a part of a call.
    async fn send(&self, call: Call<'_>, range: Range<usize>) -> Result<(), Refusal> {
        match call {
            Call::Publish(topic, bodies) => {
                let owner = self.ownership.as_ref().map(Ownership::own);
                let messages = bodies[range].iter().map(|body| message(body, owner));
                let messages = messages.collect();
                self.stub.publish(topic, messages).await
            }
            Call::Ack(subscription, leases) => {
                let ids = names(&leases[range]);
                self.stub.acknowledge(subscription, ids).await
            }
            Call::Lease(subscription, leases, seconds) => {
                let ids = names(&leases[range]);
                self.stub.modify(subscription, ids, seconds).await
            }
        }
    }

    /// A call in as many requests as it needs. Returns the refused ranges.
    async fn send_all(
        &self,
        call: Call<'_>,
        ranges: Vec<Range<usize>>,
    ) -> Vec<(Range<usize>, Refusal)> {
        let send = |range| self.send(call, range).boxed();
        if let [range] = &ranges[..] {
            return halving(range.clone(), send).await;
        }
        let requests = ranges.into_iter().map(|range| halving(range, send).boxed());
        // Unordered: each refusal has its range, and Pub/Sub keeps no order between messages without an ordering key.
        stream::iter(requests)
            .buffer_unordered(AT_ONCE)
            .concat()
            .await
    }

    /// Answers leases.
    async fn answer(&self, leases: &[LeaseId], answer: Answer) -> Vec<Result<(), QueueError>> {
        // Success is the default, and only refusals are written over it. For an ack it means that the request was
        // accepted: without exactly-once delivery Pub/Sub accepts the name of an ended lease too, and may deliver that
        // message again.
        let mut answers = vec![Ok(()); leases.len()];
        if leases.is_empty() {
            return answers;
        }
        let subscription = match self.subscription() {
            Ok(subscription) => subscription,
            Err(error) => return vec![Err(error); leases.len()],
        };
        let call = match answer {
            Answer::Ack => Call::Ack(subscription, leases),
            Answer::Lease(seconds) => Call::Lease(subscription, leases, seconds),
        };
        let ranges = chunks::leases(leases.iter().map(|lease| lease.as_str().len()));
        for (range, refusal) in self.send_all(call, ranges).await {
            for at in range {
                answers[at] = Err(lease_error(
                    &refusal,
                    subscription,
                    &leases[at],
                    self.signs(),
                ));
            }
        }
        answers
    }

    /// Gives new leases their length, where the subscription has another. A lease that cannot be renewed now is
    /// renewed by its holder, or lost like any other.
    // Before the messages are returned: the holder counts the lease from its call of `take`. A subscription of 10 s
    // would otherwise deliver the messages of a 60 s lease again before their first renewal, after 10 to 20 s.
    async fn settle(&self, taken: &[Delivery]) {
        let leases: Vec<_> = taken
            .iter()
            .map(|delivery| delivery.lease.clone())
            .collect();
        let answers = self
            .answer(&leases, Answer::Lease(self.lease_seconds))
            .await;
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            warn!(%error, "new leases may be shorter than they should be");
        }
    }
}

/// An answer to a lease.
#[derive(Clone, Copy)]
enum Answer {
    /// The message is removed.
    Ack,
    /// So many seconds from now; 0 gives the message back.
    Lease(i32),
}

/// One call of the queue, as Pub/Sub receives it.
#[derive(Clone, Copy)]
enum Call<'a> {
    Publish(&'a Resource, &'a [Bytes]),
    Ack(&'a Resource, &'a [LeaseId]),
    Lease(&'a Resource, &'a [LeaseId], i32),
}

#[async_trait]
impl Queue for PubSubQueue {
    async fn put(&self, bodies: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        let Some(topic) = &self.topic else {
            let error = QueueError::Gone {
                queue: format!("the topic of {self:?}"),
                reason: "this queue is only taken from".to_owned(),
            };
            return vec![Err(error); bodies.len()];
        };
        // A message that is too large is in no range, so its answer from `fits` stands.
        let mut answers: Vec<_> = bodies
            .iter()
            .map(|body| fits(body.len(), MESSAGE_BYTES, topic))
            .collect();
        let ranges = chunks::messages(bodies.iter().map(Bytes::len), MESSAGE_BYTES);
        let call = Call::Publish(topic, &bodies);
        for (range, refusal) in self.send_all(call, ranges).await {
            for at in range {
                answers[at] = Err(publish_error(
                    &refusal,
                    topic,
                    bodies[at].len(),
                    self.signs(),
                ));
            }
        }
        answers
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let subscription = self.subscription()?;
        let Ok(max @ 1..) = i32::try_from(max.min(PULL_MOST)) else {
            return Ok(Vec::new());
        };
        // An older run uses these names: each further pull would only take its messages away for a moment. The wait
        // stands for a pull of an empty queue, so that loops keep their pace until the master ends the run.
        if self.ownership.as_ref().is_some_and(Ownership::gives_way) {
            sleep(wait).await;
            return Ok(Vec::new());
        }
        let patience = wait.saturating_add(PULL_MARGIN).min(PULL_LONGEST);
        let pulled = self.stub.pull(subscription, max, patience);
        let pulled = match self.signs() {
            None => pulled.await,
            // A pull on a deleted subscription may hang until its end, although the subscription was made again by
            // then. Not biased: leases of a deleted subscription cannot be acknowledged, so it does not matter which
            // branch wins.
            Some(signs) => tokio::select! {
                pulled = pulled => pulled,
                () = signs.renewed(&subscription.path) => Ok(Vec::new()),
            },
        };
        let taken = match pulled {
            Ok(taken) => taken,
            // No message came in time, by the service's clock or by this one. Messages that the service leased to a
            // late answer are delivered again after their lease.
            Err(refusal) if refusal.code == Code::DeadlineExceeded => Vec::new(),
            Err(refusal) => {
                return Err(refused(
                    &refusal,
                    subscription,
                    Role::Subscriber,
                    self.signs(),
                ));
            }
        };
        if let Some(signs) = self.signs().filter(|_| !taken.is_empty()) {
            signs.hear();
        }
        // Before the leases are lengthened: other runs' messages are given back, and must not be held for a whole
        // lease.
        let taken = self.sorted(subscription, taken).await;
        let taken: Vec<_> = taken.into_iter().map(delivery).collect();
        if !self.leased_as_taken && !taken.is_empty() {
            self.settle(&taken).await;
        }
        Ok(taken)
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, Answer::Lease(self.lease_seconds)).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, Answer::Ack).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.answer(leases, Answer::Lease(0)).await
    }

    fn limits(&self) -> QueueLimits {
        self.limits
    }
}

impl fmt::Debug for PubSubQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |resource: &Option<Resource>| resource.as_ref().map(|it| it.path.clone());
        f.debug_struct("PubSubQueue")
            .field("topic", &path(&self.topic))
            .field("subscription", &path(&self.subscription))
            .finish_non_exhaustive()
    }
}

/// Whether Pub/Sub can lease messages for so long.
///
/// # Errors
/// [`InvalidLease`], which names the leases that it can give.
pub(crate) fn check_lease(lease: Duration) -> Result<(), InvalidLease> {
    lease_seconds(lease).map(drop)
}

fn lease_seconds(lease: Duration) -> Result<i32, InvalidLease> {
    let seconds = lease.as_secs();
    if !LEASES.contains(&seconds) || lease.subsec_nanos() != 0 {
        return Err(InvalidLease(lease));
    }
    i32::try_from(seconds).map_err(|_| InvalidLease(lease))
}

/// Sends a range. Where one item of many may be the cause of a refusal, its halves are sent, down to a single item.
/// Returns the refused ranges.
// Safe to repeat because a refused request stores, or answers, none of its items. One bad item among n costs about
// 2 log2(n) more requests: 20 for the largest request of 1,000. If all are bad it is 2n.
async fn halving<'a>(
    range: Range<usize>,
    send: impl Fn(Range<usize>) -> BoxFuture<'a, Result<(), Refusal>>,
) -> Vec<(Range<usize>, Refusal)> {
    let mut refused = Vec::new();
    let mut waiting = vec![range];
    while let Some(range) = waiting.pop() {
        match send(range.clone()).await {
            Ok(()) => {}
            Err(refusal) if refusal.may_be_one_of_many() && range.len() > 1 => {
                let middle = range.start + range.len() / 2;
                // The second half below the first on the stack: items go out in their order.
                waiting.push(middle..range.end);
                waiting.push(range.start..middle);
            }
            Err(refusal) => refused.push((range, refusal)),
        }
    }
    refused
}

fn names(leases: &[LeaseId]) -> Vec<String> {
    let name = |lease: &LeaseId| lease.as_str().to_owned();
    leases.iter().map(name).collect()
}

fn message(body: &Bytes, owner: Option<&Owner>) -> PubsubMessage {
    let mut message = PubsubMessage {
        data: body.clone(),
        ..PubsubMessage::default()
    };
    if body.is_empty() {
        let (key, value) = EMPTY;
        message.attributes.insert(key.to_owned(), value.to_owned());
    }
    if let Some(owner) = owner {
        owner.write(&mut message.attributes);
    }
    message
}

fn delivery(received: ReceivedMessage) -> Delivery {
    Delivery {
        lease: LeaseId::new(received.ack_id),
        body: received.message.unwrap_or_default().data,
    }
}

fn fits(size: usize, limit: usize, topic: &Resource) -> Result<(), QueueError> {
    if size <= limit {
        return Ok(());
    }
    Err(QueueError::TooLarge {
        size,
        limit,
        queue: spoken(&topic.path),
    })
}

/// A refused call, as an error for its caller. A vanished name of podpool's own is noted in `signs`.
fn refused(refusal: &Refusal, at: &Resource, role: Role, signs: Option<&Signs>) -> QueueError {
    match signs {
        Some(signs) if refusal.code == Code::NotFound => {
            signs.tell(&at.path);
            refusal.vanished(&at.path)
        }
        _ => refusal.clone().into_queue_error(&at.path, role),
    }
}

fn publish_error(
    refusal: &Refusal,
    topic: &Resource,
    size: usize,
    signs: Option<&Signs>,
) -> QueueError {
    if refusal.is_about_size() {
        return QueueError::TooLarge {
            size,
            // The refusal does not name the limit; it is below the size of this message.
            limit: size.saturating_sub(1).min(MESSAGE_BYTES),
            queue: spoken(&topic.path),
        };
    }
    refused(refusal, topic, Role::Publisher, signs)
}

/// A refused answer to a lease, as an error for its holder. Subscriptions with exactly-once delivery refuse the name of
/// a lease that has ended; `halving` has narrowed such a refusal down to that lease.
fn lease_error(
    refusal: &Refusal,
    subscription: &Resource,
    lease: &LeaseId,
    signs: Option<&Signs>,
) -> QueueError {
    if refusal.may_be_one_of_many() {
        return QueueError::LeaseLost(lease.clone());
    }
    refused(refusal, subscription, Role::Subscriber, signs)
}

#[cfg(test)]
mod tests;
