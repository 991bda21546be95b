//! Sorting of pulled messages: the reader's own, another run's, or a report of a worker to its master.

use std::collections::HashMap;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{PubsubMessage, ReceivedMessage};
use podpool_core::queue::QueueError;
use tracing::debug;

use super::super::owner::{Owner, Standing};
use super::super::signs;
use super::super::stub::Resource;
use super::{PubSubQueue, publish_error};

impl PubSubQueue {
    /// Puts a report to the master: another run was met. Without an owner this does nothing, for no other run is met.
    ///
    /// # Errors
    /// As [`put`](podpool_core::queue::Queue::put).
    pub async fn report(&self, met: &Owner) -> Result<(), QueueError> {
        match &self.ownership {
            Some(ownership) => self.put_report(ownership.word(met)).await,
            None => Ok(()),
        }
    }

    /// Puts a report to the master: the topic or subscription of this full name is not there.
    ///
    /// # Errors
    /// As [`put`](podpool_core::queue::Queue::put).
    pub async fn report_vanished(&self, path: &str) -> Result<(), QueueError> {
        self.put_report(signs::report(path)).await
    }

    async fn put_report(&self, attributes: HashMap<String, String>) -> Result<(), QueueError> {
        let Some(topic) = &self.topic else {
            return Ok(());
        };
        let report = PubsubMessage {
            attributes,
            ..PubsubMessage::default()
        };
        let sent = self.stub.publish(topic, vec![report]).await;
        sent.map_err(|refusal| publish_error(&refusal, topic, 0, self.signs()))
    }

    /// Returns this run's messages. Of the others, reports are removed once they are noted. An older run's messages are
    /// given back at once, for its own takers. A younger run's messages stay leased until that run ends: given back,
    /// they would be taken here again.
    pub(super) async fn sorted(
        &self,
        subscription: &Resource,
        mut taken: Vec<ReceivedMessage>,
    ) -> Vec<ReceivedMessage> {
        if self.ownership.is_none() && self.signs.is_none() {
            return taken;
        }
        let (mut done, mut back) = (Vec::new(), Vec::new());
        taken.retain(|one| match self.standing(one) {
            Standing::Own => true,
            Standing::Older => {
                back.push(one.ack_id.clone());
                met(subscription, one);
                false
            }
            Standing::Younger => {
                met(subscription, one);
                false
            }
            Standing::Report => {
                done.push(one.ack_id.clone());
                false
            }
        });
        if !back.is_empty() {
            // A refusal is dropped: such a message is delivered again when its lease ends.
            self.stub.modify(subscription, back, 0).await.ok();
        }
        if !done.is_empty() {
            // A refusal is dropped: a report that stays is delivered again, and is noted again.
            self.stub.acknowledge(subscription, done).await.ok();
        }
        taken
    }

    fn standing(&self, one: &ReceivedMessage) -> Standing {
        // Without a message, which the service does not send, the reader gets an empty body and rejects it.
        let Some(attributes) = one.message.as_ref().map(|message| &message.attributes) else {
            return Standing::Own;
        };
        // Reports of vanished names first. `signs` and `ownership` exclude each other: names are podpool's or given.
        if let Some(signs) = &self.signs
            && let Some(path) = signs::reported(attributes)
        {
            signs.tell(path);
            return Standing::Report;
        }
        match &self.ownership {
            Some(ownership) => ownership.judge(attributes),
            None => Standing::Own,
        }
    }
}

fn met(subscription: &Resource, one: &ReceivedMessage) {
    if let Some(message) = &one.message {
        let published = message.publish_time.map(|at| at.seconds);
        let (id, bytes) = (&message.message_id, message.data.len());
        debug!(%subscription.path, id, published, bytes, attempt = one.delivery_attempt, "a message of another run was met");
    }
}
