//! A look at a project that changes nothing.

use super::{Admin, told};
use crate::broker::pubsub::error::{AdminError, Refusal};
use crate::broker::pubsub::names::{subscription_path, topic_path};

/// A name that podpool never makes.
const PROBE: &str = "podpool-probe";

impl Admin {
    /// Lists a topic and a subscription, and reads one of each that need not exist.
    ///
    /// # Errors
    /// [`AdminError`] for the first that is refused.
    pub(crate) async fn look(&self) -> Result<(), AdminError> {
        let project = format!("projects/{}", self.project);
        let what = || format!("topics and subscriptions of project {}", self.project);
        let refused = |error: google_cloud_pubsub::Error| {
            Refusal::from(error).into_admin_error("list", what())
        };
        let topics = self.topics.list_topics().set_project(&project);
        topics.set_page_size(1).send().await.map_err(refused)?;
        let subscriptions = self.subscriptions.list_subscriptions();
        let subscriptions = subscriptions.set_project(&project).set_page_size(1);
        subscriptions.send().await.map_err(refused)?;
        let topic = topic_path(&self.project, PROBE);
        let read = self.topics.get_topic().set_topic(&topic).send().await;
        missing_or_there(read.map(drop).map_err(|error| told("read", &topic, error)))?;
        let path = subscription_path(&self.project, PROBE);
        let read = self.read_subscription(&path).await;
        missing_or_there(read.map(drop))
    }
}

fn missing_or_there(read: Result<(), AdminError>) -> Result<(), AdminError> {
    match read {
        Err(AdminError::Missing { .. }) => Ok(()),
        read => read,
    }
}
