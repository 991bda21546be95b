//! Results go to the master, in messages that its queue carries.

use crate::envelope::entry::{self, result_head};
use crate::envelope::reference::rejected;
use crate::envelope::{Body, Results};

use super::super::effect::{Effect, Receipt, Topic};
use super::WorkerState;

/// Bytes that a message's prefix, header and MAC may take beside its entries.
// Prefix 8, header 91 (a run's id of 40 bytes and six numbers), MAC 32: 131 bytes at most. The rest is room for fields
// to come.
const MESSAGE_OVERHEAD: usize = 1024;

impl WorkerState {
    /// Sends results of an execution to the master, in as many messages as the queue's limit requires.
    pub(super) fn publish_results(&mut self, execution: u64, entries: Body, count: u32) {
        // The MAC, the prefix and the header come on top of the entries; a queue counts all of it.
        let most = self.settings.message_bytes.saturating_sub(MESSAGE_OVERHEAD);
        if entries.len() <= most {
            self.publish_message(execution, entries, count);
            return;
        }
        // A result that is too large is a failure.
        self.effects.push(Effect::SendLines);
        // Each part has a receipt of its own: the batch is acknowledged when the last one is stored.
        for (part, tasks) in split_results(entries.entries(), most) {
            self.publish_message(execution, part, tasks);
        }
    }

    fn publish_message(&mut self, execution: u64, entries: Body, count: u32) {
        let results = Results {
            run: self.settings.run.clone(),
            execution: self.execution_id(execution),
            epoch: self.epoch(),
            count,
            lines: self.lines,
            at: self.wall,
        };
        let message = results.close(entries, &self.settings.mac_key);
        self.publish(
            Topic::Results,
            message,
            Some(Receipt {
                execution,
                tasks: count,
            }),
        );
    }
}

/// Groups results into messages of at most `most` bytes. A result that is larger by itself becomes a failure
/// that names the setting.
fn split_results(entries: &[u8], most: usize) -> Vec<(Body, u32)> {
    let mut parts: Vec<(Body, u32)> = Vec::new();
    let mut rest = entries;
    while let Ok(Some(head)) = result_head(rest) {
        let mut entry = Body::default();
        if head.length <= most {
            entry.entries_mut().extend_from_slice(&rest[..head.length]);
        } else {
            let (size, limit) = (head.length, most);
            let reason = format!(
                "its result of {size} bytes is larger than the {limit} bytes that a message carries; give the pool a payload store (payload_store, PODPOOL_PAYLOAD_STORE), or return it by reference, as a path or a URL"
            );
            let failure = rejected(reason);
            let (task, attempt) = (head.task, head.attempt);
            entry::put_failed(entry.entries_mut(), task, attempt, head.elapsed, &failure);
        }
        match parts.last_mut() {
            // First fit into the last part only: the results keep their order, and one pass suffices.
            Some((part, count)) if part.len() + entry.len() <= most => {
                part.entries_mut().extend_from_slice(entry.entries());
                *count += 1;
            }
            _ => parts.push((entry, 1)),
        }
        rest = &rest[head.length..];
    }
    parts
}
