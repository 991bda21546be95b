//! What is left of a run on the emulator, found by lists alone: nothing is removed.

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::publisher_client::PublisherClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::subscriber_client::SubscriberClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    ListSubscriptionsRequest, ListTopicsRequest,
};
use podpool::RunId;
use podpool::pubsub::Connection;
use tonic::transport::{Channel, Endpoint};

/// The most entries of one page of a list.
const PAGE: i32 = 1_000;

/// The names of a run's topics and subscriptions, in the project that connections have by default.
///
/// # Panics
/// When the emulator does not answer.
pub async fn left(run: &RunId) -> Vec<String> {
    let connection = Connection::builder().open().unwrap();
    let project = format!("projects/{}", connection.project());
    let endpoint = Endpoint::from_shared(connection.endpoint().to_owned());
    let channel = endpoint.unwrap().connect().await.unwrap();
    let mut names = topics(&channel, &project).await;
    names.extend(subscriptions(&channel, &project).await);
    let part = format!("-{run}-");
    names.retain(|name| name.contains(&part));
    names
}

async fn topics(channel: &Channel, project: &str) -> Vec<String> {
    let mut client = PublisherClient::new(channel.clone());
    let mut request = ListTopicsRequest {
        project: project.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    let mut names = Vec::new();
    loop {
        let answer = client.list_topics(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        names.extend(answer.topics.into_iter().map(|topic| topic.name));
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            return names;
        }
    }
}

async fn subscriptions(channel: &Channel, project: &str) -> Vec<String> {
    let mut client = SubscriberClient::new(channel.clone());
    let mut request = ListSubscriptionsRequest {
        project: project.to_owned(),
        page_size: PAGE,
        ..Default::default()
    };
    let mut names = Vec::new();
    loop {
        let answer = client.list_subscriptions(request.clone()).await.unwrap();
        let answer = answer.into_inner();
        names.extend(answer.subscriptions.into_iter().map(|found| found.name));
        request.page_token = answer.next_page_token;
        if request.page_token.is_empty() {
            return names;
        }
    }
}
