//! A dispatcher over given queues, with a fleet that a test controls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::envelope::MacKey;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use podpool_core::worker::Queues;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Dispatch, FleetHandle, MasterQueues, Settings};
use crate::broker::run_payloads::Payloads;
use crate::master::limits::Limits;
use crate::master::mailbox::Mailbox;
use crate::master::observed::Observed;

/// Nothing is submitted. Its mailbox, and the fleet's two ends.
pub(super) fn idle(
    queues: Queues,
) -> (
    Arc<Mailbox>,
    UnboundedSender<FleetEvent>,
    UnboundedReceiver<FleetOrder>,
    Dispatch,
) {
    let (mailbox, inbox) = Mailbox::new();
    let (orders, ordered) = unbounded_channel();
    let (fleet, events) = unbounded_channel();
    let dispatch = Dispatch {
        settings: Settings {
            run: RunId::new("test").unwrap(),
            mac_key: MacKey::Absent,
            seed: 7,
            classes: vec![ClassId::DEFAULT],
            slots: 1,
            workers: 1,
            remote: false,
            message_bytes: 1 << 20,
            batches_out: 10,
            bytes_out: 1 << 20,
            lease: Duration::from_secs(60),
            retries: None,
            limits: Limits::default(),
            epoch: 1,
            silence: None,
            build: String::new(),
            same_build: false,
            memory: None,
            elsewhere: false,
            control_pause: Duration::from_secs(1),
            results_outlive: false,
            revoked_ranges: super::MAX_RANGES,
        },
        inbox,
        queues: MasterQueues {
            tasks: BTreeMap::from([(ClassId::DEFAULT, queues.tasks)]),
            results: queues.results,
            control: queues.control,
        },
        fleet: FleetHandle { orders, events },
        broker: None,
        printed: None,
        lines: None,
        observed: Arc::new(Observed::new(0)),
        payloads: Payloads::default(),
        broker_timeout: Duration::from_secs(600),
        ledger: None,
    };
    (mailbox, fleet, ordered, dispatch)
}

/// A queue that takes what is put, and does not answer.
#[derive(Debug)]
pub(super) struct Mute;

#[async_trait]
impl Queue for Mute {
    async fn put(&self, _: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        std::future::pending().await
    }

    async fn take(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, QueueError> {
        std::future::pending().await
    }

    async fn extend(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn ack(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    async fn release(&self, _: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        Vec::new()
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::new(1 << 20, Duration::from_secs(60))
    }
}
