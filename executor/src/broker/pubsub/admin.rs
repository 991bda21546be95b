//! Making, checking and deleting topics and subscriptions.

mod collect;
mod create;
mod look;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Buffered};
use google_cloud_gax::backoff_policy::BackoffPolicy;
use google_cloud_gax::exponential_backoff::ExponentialBackoffBuilder;
use google_cloud_gax::retry_policy::{Aip194Strict, RetryPolicyExt};
use google_cloud_pubsub::client::{SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::{Subscription, Topic};
use tracing::warn;

pub use self::collect::Collected;
pub(super) use self::collect::{Labelled, Made};
pub(super) use self::create::{Making, RESULTS_LEASE};
pub use podpool_core::broker::Which;

use super::connection::Connection;
use super::error::{AdminError, Refusal};
use super::names::{RunNames, spoken, subscription_path, topic_path};

/// Longest time of one try of a call.
const TRY: Duration = Duration::from_secs(20);
/// Longest time of a call with all its tries.
// Three tries that get no answer. The five tries of the retry policy fit where the service refuses quickly.
const CALL: Duration = Duration::from_secs(60);
/// Calls under way at once: Pub/Sub allows some hundred administrative calls a second to a whole project.
// With answers after about 100 ms, 16 calls at once are 160 a second: the control subscriptions of 1,000 workers take 6
// s. At half they would take 12 s; at double one run could spend the quota of its project.
// <https://cloud.google.com/pubsub/quotas>
const AT_ONCE: usize = 16;

/// Makes, checks and deletes the topics and subscriptions of runs. Its calls need a tokio runtime with IO and time.
#[derive(Clone, Debug)]
pub struct Admin {
    topics: TopicAdmin,
    subscriptions: SubscriptionAdmin,
    project: String,
}

/// The properties of given subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitness {
    /// The tasks' subscription's own ack deadline.
    pub tasks_ack_deadline: Duration,
    /// The results' subscription's own ack deadline.
    pub results_ack_deadline: Duration,
}

impl Admin {
    /// Administration over a connection's project, address and credentials. Calls travel over HTTP connections of
    /// their own.
    ///
    /// # Errors
    /// [`AdminError`] when the clients cannot be made.
    pub async fn new(connection: &Connection) -> Result<Self, AdminError> {
        let failed = |error: google_cloud_gax::client_builder::Error| AdminError::Refused {
            action: "administer",
            what: format!("project {}", connection.project()),
            reason: super::error::chain(&error),
        };
        let topics = TopicAdmin::builder()
            .with_endpoint(connection.endpoint())
            .with_credentials(connection.credentials().clone())
            .with_retry_policy(Aip194Strict.with_time_limit(CALL).with_attempt_limit(5))
            .with_backoff_policy(backoff())
            .with_attempt_timeout(TRY);
        let subscriptions = SubscriptionAdmin::builder()
            .with_endpoint(connection.endpoint())
            .with_credentials(connection.credentials().clone())
            .with_retry_policy(Aip194Strict.with_time_limit(CALL).with_attempt_limit(5))
            .with_backoff_policy(backoff())
            .with_attempt_timeout(TRY);
        Ok(Self {
            topics: topics.build().await.map_err(failed)?,
            subscriptions: subscriptions.build().await.map_err(failed)?,
            project: connection.project().to_owned(),
        })
    }

    /// Checks that names exist and that podpool can work with them. Control subscriptions are not checked: see
    /// [`create_control`](Self::create_control).
    ///
    /// # Errors
    /// [`AdminError`] for the first that is missing, unreadable or unfit.
    pub async fn check(&self, names: &RunNames) -> Result<Fitness, AdminError> {
        let mut deadlines = [Duration::ZERO; 2];
        for (pair, deadline) in names.pairs().into_iter().zip(&mut deadlines) {
            let topic = topic_path(&self.project, &pair.topic);
            self.read_topic(&topic).await?;
            let path = subscription_path(&self.project, &pair.subscription);
            let found = self.read_subscription(&path).await?;
            fit(&found, &topic)?;
            // Pub/Sub gives 10 to 600 s. A negative number, which no service sends, becomes zero, and zero is refused
            // when the queue of results is opened with it.
            *deadline = Duration::from_secs(u64::try_from(found.ack_deadline_seconds).unwrap_or(0));
        }
        if let Some(control) = names.control_names() {
            self.read_topic(&topic_path(&self.project, &control.topic))
                .await?;
        }
        let [tasks_ack_deadline, results_ack_deadline] = deadlines;
        Ok(Fitness {
            tasks_ack_deadline,
            results_ack_deadline,
        })
    }

    async fn read_topic(&self, path: &str) -> Result<Topic, AdminError> {
        let read = self.topics.get_topic().set_topic(path).send().await;
        read.map_err(|error| told("read", path, error))
    }

    async fn read_subscription(&self, path: &str) -> Result<Subscription, AdminError> {
        let read = self.subscriptions.get_subscription();
        let read = read.set_subscription(path).send().await;
        read.map_err(|error| told("read", path, error))
    }
}

/// Makes calls, so many at once, and gives their answers in order.
// In order, and not as the answers come: callers pair answers with names by their places. A stream that is dropped
// before its end drops the calls under way; the service may carry those out all the same.
fn in_order<'a, T: Send + 'a>(
    calls: impl Iterator<Item = BoxFuture<'a, T>>,
) -> Buffered<stream::Iter<std::vec::IntoIter<BoxFuture<'a, T>>>> {
    stream::iter(calls.collect::<Vec<_>>()).buffered(AT_ONCE)
}

/// The delays between tries: five quick refusals stay within a few seconds, so that a start does not seem to hang.
// 0.2 s, doubled, before each of four repetitions: 3 s, and less with the policy's jitter.
fn backoff() -> impl BackoffPolicy {
    ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(200))
        .with_maximum_delay(Duration::from_secs(5))
        .clamp()
}

/// An answer as an error that names the topic or subscription.
fn told(action: &'static str, path: &str, error: google_cloud_pubsub::Error) -> AdminError {
    Refusal::from(error).into_admin_error(action, spoken(path))
}

/// Checks that workers can pull from a subscription.
// Only properties that lose or divert messages are refused. Others (ordering, dead letters, retries) change when
// messages come, which the queue's contract leaves open.
fn fit(found: &Subscription, topic: &str) -> Result<(), AdminError> {
    let pushes = found
        .push_config
        .as_ref()
        .is_some_and(|push| !push.push_endpoint.is_empty());
    let exports = found.bigquery_config.is_some()
        || found.bigtable_config.is_some()
        || found.cloud_storage_config.is_some();
    // The topic first: a subscription of a deleted topic has the topic `_deleted-topic_`, and every other advice would
    // be of no use for it.
    let reason = if found.topic != topic {
        Some(format!(
            "it belongs to {}, not to {}: give the topic's own subscription",
            spoken(&found.topic),
            spoken(topic)
        ))
    } else if found.detached {
        Some("it is detached from its topic: create it again".to_owned())
    } else if pushes || exports {
        Some("it delivers by itself: use a pull subscription".to_owned())
    } else if !found.filter.is_empty() {
        Some(format!(
            "its filter {:?} drops messages: use a subscription without one",
            found.filter
        ))
    } else {
        None
    };
    if let Some(reason) = reason {
        let what = spoken(&found.name);
        return Err(AdminError::Unfit { what, reason });
    }
    if found.enable_exactly_once_delivery {
        warn!(
            subscription = %found.name,
            "exactly-once delivery makes calls slower and does not keep a task from running twice"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
