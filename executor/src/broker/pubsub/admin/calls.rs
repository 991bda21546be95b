//! The administrative calls, each made again while Pub/Sub is not available.
//!
//! Every one of them may be made twice: a creation that was carried out answers `AlreadyExists` at its repetition, and
//! a deletion `NotFound`, which callers expect from other processes too.

use std::time::Duration;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::publisher_client::PublisherClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::subscriber_client::SubscriberClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    DeleteSubscriptionRequest, DeleteTopicRequest, GetSubscriptionRequest, GetTopicRequest,
    ListSubscriptionsRequest, ListTopicSubscriptionsRequest, ListTopicsRequest, SeekRequest,
    Subscription, Topic, UpdateSubscriptionRequest, UpdateTopicRequest, seek_request,
};
use podpool_core::instant::after;
use prost_types::FieldMask;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::broker::pubsub::error::Refusal;
use crate::broker::pubsub::stub::{Resource, Stub};

/// Longest time of one try of a call.
const TRY: Duration = Duration::from_secs(20);
/// Longest time of a call with all its tries.
// Three tries that get no answer. The five tries fit where the service refuses quickly.
const CALL: Duration = Duration::from_secs(60);
const TRIES: u32 = 5;
/// The pause before the second try, and the longest one; each is twice the one before.
// 0.2 s, doubled, before each of four repetitions: 3 s, and less by the jitter, so that a start does not seem to hang.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Names in one page of a listing.
const PAGE: i32 = 1_000;

/// Administration over the channel of a connection.
#[derive(Clone, Debug)]
pub(super) struct Calls(pub(super) Stub);

impl Calls {
    pub(super) async fn create_topic(&self, topic: Topic) -> Result<Topic, Refusal> {
        let to = Resource::routed("name", topic.name.clone());
        let send = |mut it: Publisher, request| async move { it.create_topic(request).await };
        self.publisher(&to, topic, send).await
    }

    pub(super) async fn get_topic(&self, path: &str) -> Result<Topic, Refusal> {
        let to = Resource::topic(path.to_owned());
        let request = GetTopicRequest {
            topic: path.to_owned(),
        };
        let send = |mut it: Publisher, request| async move { it.get_topic(request).await };
        self.publisher(&to, request, send).await
    }

    /// Changes the labels of a topic, and nothing else.
    pub(super) async fn relabel_topic(&self, topic: Topic) -> Result<Topic, Refusal> {
        let to = Resource::routed("topic.name", topic.name.clone());
        let request = UpdateTopicRequest {
            topic: Some(topic),
            update_mask: Some(only_labels()),
        };
        let send = |mut it: Publisher, request| async move { it.update_topic(request).await };
        self.publisher(&to, request, send).await
    }

    pub(super) async fn delete_topic(&self, path: &str) -> Result<(), Refusal> {
        let to = Resource::topic(path.to_owned());
        let request = DeleteTopicRequest {
            topic: path.to_owned(),
        };
        let send = |mut it: Publisher, request| async move { it.delete_topic(request).await };
        self.publisher(&to, request, send).await
    }

    /// Every topic of a project, given as `projects/P`.
    pub(super) async fn topics(&self, project: &str) -> Result<Vec<Topic>, Refusal> {
        let to = Resource::routed("project", project.to_owned());
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListTopicsRequest {
                project: project.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let send = |mut it: Publisher, request| async move { it.list_topics(request).await };
            let page = self.publisher(&to, request, send).await?;
            found.extend(page.topics);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The full names of a topic's subscriptions.
    pub(super) async fn subscriptions_of(&self, topic: &str) -> Result<Vec<String>, Refusal> {
        let to = Resource::topic(topic.to_owned());
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListTopicSubscriptionsRequest {
                topic: topic.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let send = |mut it: Publisher, request| async move {
                it.list_topic_subscriptions(request).await
            };
            let page = self.publisher(&to, request, send).await?;
            found.extend(page.subscriptions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    pub(super) async fn create_subscription(
        &self,
        subscription: Subscription,
    ) -> Result<Subscription, Refusal> {
        let to = Resource::routed("name", subscription.name.clone());
        let send =
            |mut it: Subscriber, request| async move { it.create_subscription(request).await };
        self.subscriber(&to, subscription, send).await
    }

    pub(super) async fn get_subscription(&self, path: &str) -> Result<Subscription, Refusal> {
        let to = Resource::subscription(path.to_owned());
        let request = GetSubscriptionRequest {
            subscription: path.to_owned(),
        };
        let send = |mut it: Subscriber, request| async move { it.get_subscription(request).await };
        self.subscriber(&to, request, send).await
    }

    /// Changes the labels of a subscription, and nothing else.
    pub(super) async fn relabel_subscription(
        &self,
        subscription: Subscription,
    ) -> Result<Subscription, Refusal> {
        let to = Resource::routed("subscription.name", subscription.name.clone());
        let request = UpdateSubscriptionRequest {
            subscription: Some(subscription),
            update_mask: Some(only_labels()),
        };
        let send =
            |mut it: Subscriber, request| async move { it.update_subscription(request).await };
        self.subscriber(&to, request, send).await
    }

    pub(super) async fn delete_subscription(&self, path: &str) -> Result<(), Refusal> {
        let to = Resource::subscription(path.to_owned());
        let request = DeleteSubscriptionRequest {
            subscription: path.to_owned(),
        };
        let send =
            |mut it: Subscriber, request| async move { it.delete_subscription(request).await };
        self.subscriber(&to, request, send).await
    }

    /// Every subscription of a project, given as `projects/P`.
    pub(super) async fn subscriptions(&self, project: &str) -> Result<Vec<Subscription>, Refusal> {
        let to = Resource::routed("project", project.to_owned());
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListSubscriptionsRequest {
                project: project.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let send =
                |mut it: Subscriber, request| async move { it.list_subscriptions(request).await };
            let page = self.subscriber(&to, request, send).await?;
            found.extend(page.subscriptions);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Marks every message of a subscription that was published before `time` as acknowledged.
    pub(super) async fn seek(
        &self,
        path: &str,
        time: prost_types::Timestamp,
    ) -> Result<(), Refusal> {
        let to = Resource::subscription(path.to_owned());
        let request = SeekRequest {
            subscription: path.to_owned(),
            target: Some(seek_request::Target::Time(time)),
        };
        let send = |mut it: Subscriber, request| async move { it.seek(request).await };
        self.subscriber(&to, request, send).await.map(drop)
    }

    async fn publisher<M: Clone, R, A>(
        &self,
        to: &Resource,
        message: M,
        send: impl Fn(Publisher, Request<M>) -> A,
    ) -> Result<R, Refusal>
    where
        A: Future<Output = Result<Response<R>, Status>>,
    {
        let client = || self.0.publisher();
        self.tried(to, message, |request| send(client(), request))
            .await
    }

    async fn subscriber<M: Clone, R, A>(
        &self,
        to: &Resource,
        message: M,
        send: impl Fn(Subscriber, Request<M>) -> A,
    ) -> Result<R, Refusal>
    where
        A: Future<Output = Result<Response<R>, Status>>,
    {
        let client = || self.0.subscriber();
        self.tried(to, message, |request| send(client(), request))
            .await
    }

    /// Makes a call until it is answered with something that another try would not change, or its time is over.
    async fn tried<M: Clone, R, A>(
        &self,
        to: &Resource,
        message: M,
        send: impl Fn(Request<M>) -> A,
    ) -> Result<R, Refusal>
    where
        A: Future<Output = Result<Response<R>, Status>>,
    {
        let end = after(Instant::now(), CALL);
        let mut tries = 0;
        loop {
            tries += 1;
            let left = end.saturating_duration_since(Instant::now());
            let answer = async {
                let request = self.0.request(to, message.clone(), TRY.min(left)).await?;
                Ok(send(request).await?.into_inner())
            };
            let refusal: Refusal = match answer.await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            let pause = pause(&refusal, tries, fastrand::f32());
            match pause.filter(|pause| after(Instant::now(), *pause) < end) {
                Some(pause) => sleep(pause).await,
                None => return Err(refusal.final_for_administration()),
            }
        }
    }
}

type Publisher = PublisherClient<Channel>;
type Subscriber = SubscriberClient<Channel>;

fn only_labels() -> FieldMask {
    FieldMask {
        paths: vec!["labels".to_owned()],
    }
}

/// How long to wait before another try; none where there is no other one. `draw` is random, from 0 to 1.
// `Unavailable` as Google's clients do (<https://google.aip.dev/194>); a try without an answer, and a connection that
// broke, which tonic reports as `Unknown`, because every call here may be made twice.
fn pause(refusal: &Refusal, tries: u32, draw: f32) -> Option<Duration> {
    let may_pass = matches!(
        refusal.code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown
    );
    let (first, longest) = PAUSES;
    let whole = first.saturating_mul(1 << (tries - 1).min(16)).min(longest);
    // At least half of it, so that the pauses still grow.
    (may_pass && tries < TRIES).then(|| whole.mul_f64(0.5 + 0.5 * f64::from(draw)))
}

#[cfg(test)]
mod tests;
