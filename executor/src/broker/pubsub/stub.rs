//! The channel: the four calls that move messages, and requests for those of administration, signed and bounded in time.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::publisher_client::PublisherClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::subscriber_client::SubscriberClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    AcknowledgeRequest, GetTopicRequest, ModifyAckDeadlineRequest, PublishRequest, PubsubMessage,
    PullRequest, ReceivedMessage,
};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::error::{NO_TOKEN, Refusal};
use super::io::IoThread;

/// Pub/Sub routes a call to its topic or subscription by this header.
// <https://google.aip.dev/client/4222>
const ROUTE: &str = "x-goog-request-params";
/// How long a publish may take: 10 MB over a slow line.
// That is 1.3 Mbit/s. A publish that ends by this time may be stored all the same; its repetition is a second delivery,
// which receivers recognise by batch numbers and attempts.
const PUBLISH: Duration = Duration::from_secs(60);
/// How long an answer to leases may take: less than a third of the default lease, so that a renewal can be repeated.
// A renewal begins after 20 s of 60 s at the latest, so two of them fit before the lease ends. At double one would.
const ANSWER: Duration = Duration::from_secs(15);

/// A topic or subscription: its full name, and the header that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) path: String,
    route: Option<MetadataValue<Ascii>>,
}

impl Resource {
    pub(super) fn topic(path: String) -> Self {
        Self::routed("topic", path)
    }

    pub(super) fn subscription(path: String) -> Self {
        Self::routed("subscription", path)
    }

    /// A name that a call has in the field `kind` of its request.
    pub(super) fn routed(kind: &str, path: String) -> Self {
        // `%` first: it is what the other two replacements insert. Names have letters, digits and `-_.~+%` besides,
        // none of which needs an encoding.
        let encoded = path
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace('+', "%2B");
        Self {
            // Without a header the call reaches Pub/Sub all the same, which refuses a bad name with an exact reason.
            route: format!("{kind}={encoded}").parse().ok(),
            path,
        }
    }
}

/// One channel, and the credentials that sign its calls.
#[derive(Clone, Debug)]
pub(super) struct Stub {
    publisher: PublisherClient<Channel>,
    subscriber: SubscriberClient<Channel>,
    credentials: Option<Credentials>,
    /// The channel exists as long as its thread.
    _io: IoThread,
}

impl Stub {
    pub(super) fn new(channel: Channel, credentials: Option<Credentials>, io: IoThread) -> Self {
        Self {
            publisher: PublisherClient::new(channel.clone()),
            // tonic's limit is 4 MiB. An answer that is not read stays leased and is delivered again, as large as
            // before, so it must always be read. `take` bounds it by the number of messages.
            subscriber: SubscriberClient::new(channel).max_decoding_message_size(usize::MAX),
            credentials,
            _io: io,
        }
    }

    /// Stores messages; all of them, or none.
    pub(super) async fn publish(
        &self,
        topic: &Resource,
        messages: Vec<PubsubMessage>,
    ) -> Result<(), Refusal> {
        let sent = messages.len();
        let request = PublishRequest {
            topic: topic.path.clone(),
            messages,
        };
        let request = self.request(topic, request, PUBLISH).await?;
        let stored = self.publisher.clone().publish(request).await?;
        let named = stored.into_inner().message_ids.len();
        if named == sent {
            return Ok(());
        }
        Err(Refusal {
            code: Code::Internal,
            message: format!("of {sent} messages {named} were confirmed"),
        })
    }

    /// Leases messages, for the subscription's own deadline.
    pub(super) async fn pull(
        &self,
        subscription: &Resource,
        max_messages: i32,
        patience: Duration,
    ) -> Result<Vec<ReceivedMessage>, Refusal> {
        let request = PullRequest {
            subscription: subscription.path.clone(),
            max_messages,
            ..PullRequest::default()
        };
        let request = self.request(subscription, request, patience).await?;
        let taken = self.subscriber.clone().pull(request).await?;
        Ok(taken.into_inner().received_messages)
    }

    /// Lets leases end so many seconds from now; 0 gives the messages back.
    pub(super) async fn modify(
        &self,
        subscription: &Resource,
        ack_ids: Vec<String>,
        seconds: i32,
    ) -> Result<(), Refusal> {
        let request = ModifyAckDeadlineRequest {
            subscription: subscription.path.clone(),
            ack_ids,
            ack_deadline_seconds: seconds,
        };
        let request = self.request(subscription, request, ANSWER).await?;
        self.subscriber.clone().modify_ack_deadline(request).await?;
        Ok(())
    }

    /// Removes messages for good.
    pub(super) async fn acknowledge(
        &self,
        subscription: &Resource,
        ack_ids: Vec<String>,
    ) -> Result<(), Refusal> {
        let request = AcknowledgeRequest {
            subscription: subscription.path.clone(),
            ack_ids,
        };
        let request = self.request(subscription, request, ANSWER).await?;
        self.subscriber.clone().acknowledge(request).await?;
        Ok(())
    }

    /// Reads a topic, whether or not it exists: the answer identifies the service.
    pub(super) async fn knock(&self, topic: &Resource, patience: Duration) -> Result<(), Status> {
        let request = GetTopicRequest {
            topic: topic.path.clone(),
        };
        let request = self.request(topic, request, patience).await;
        let request = request.map_err(|refusal| Status::new(refusal.code, refusal.message))?;
        self.publisher.clone().get_topic(request).await.map(drop)
    }

    /// For the calls of administration.
    pub(super) fn publisher(&self) -> PublisherClient<Channel> {
        self.publisher.clone()
    }

    /// For the calls of administration.
    pub(super) fn subscriber(&self) -> SubscriberClient<Channel> {
        self.subscriber.clone()
    }

    /// A request with its route, its signature and its time limit.
    pub(super) async fn request<T>(
        &self,
        resource: &Resource,
        message: T,
        patience: Duration,
    ) -> Result<Request<T>, Refusal> {
        let mut request = Request::new(message);
        if let Some(credentials) = &self.credentials {
            let token = credentials.headers(http::Extensions::new());
            let headers = timeout(patience.min(ANSWER), token);
            let headers = headers.await.map_err(|_| late_token())?;
            let headers = headers.map_err(|error| Refusal::from(&error))?;
            // Without an entity tag in the extensions the answer is always `New`. The assignment replaces all metadata,
            // so the route is inserted after it.
            if let CacheableResource::New { data, .. } = headers {
                *request.metadata_mut() = MetadataMap::from_headers(data);
            }
        }
        if let Some(route) = &resource.route {
            request.metadata_mut().insert(ROUTE, route.clone());
        }
        // Sets the header `grpc-timeout`, which the service obeys, and which tonic's channel enforces on this side too.
        request.set_timeout(patience);
        Ok(request)
    }
}

/// Not [`Code::DeadlineExceeded`], which a pull reads as an empty queue: this pull was never sent.
fn late_token() -> Refusal {
    Refusal {
        code: Code::Unavailable,
        message: format!("{NO_TOKEN} in time: the metadata or token server does not answer"),
    }
}
