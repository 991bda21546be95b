//! A queue whose batches seem to come from a master with other types: the fingerprint of one task is changed.

use std::sync::Arc;

use bytes::Bytes;
use podpool_core::envelope::{MacKey, Message};
use podpool_core::queue::Queue;

use crate::tap::Tap;

/// Changes the fingerprints of the task of this name on the way into a queue of batches.
#[must_use]
pub fn reshaped(queue: Arc<dyn Queue>, task: &'static str) -> Tap {
    Tap::new(queue).changing(move |message| reshape(message, task))
}

fn reshape(message: Bytes, task: &str) -> Bytes {
    match Message::read(message.clone(), &MacKey::Absent) {
        Ok(Message::Batch(mut batch, entries)) => {
            for task_type in &mut batch.task_types {
                if &*task_type.name == task {
                    task_type.fingerprint.0[0] ^= 1;
                }
            }
            batch.message(&entries, &MacKey::Absent)
        }
        _ => message,
    }
}
