//! Payloads that are too large for messages: they are in an object store, and messages refer to them.
//!
//! A payload over [`OVER`] bytes is stored as `<prefix>/podpool/<run>/<hash>`, once however often it is sent, and
//! is kept until the run ends. `queue` cuts messages and assembles them again, so that neither dispatch nor
//! workers depend on it; slots get neither the store nor its credentials.

mod error;
mod open;
pub(super) mod output;
mod queue;
mod store;
#[cfg(test)]
mod tests;
mod uploads;

use std::time::Duration;

use bytes::Bytes;

pub use self::error::PayloadError;
pub use self::queue::PayloadQueue;
pub use self::store::{PayloadStore, Usage};

/// Payloads over this many bytes go to the store.
// An object costs a round trip and a request on each side; a message carries up to 10 MB, so 100 such payloads fit into
// one. At half, payloads that messages carry well would pay for objects; at double, a message would hold half as many
// results of that size.
pub const OVER: usize = 96 * 1024;

/// Hashing this many bytes takes long enough to delay a loop.
// At 1 GiB a second it is 0.25 ms; passing it to another thread and back takes some ten microseconds.
const LONG_HASH: usize = 256 * 1024;

/// Time that one transfer may take beside its bytes.
// More than the retries of the store's client, 15 s, and one slow answer. A transfer that is given up is tried again by
// the caller, so a longer time would only delay the report of an outage.
const TRANSFER: Duration = Duration::from_secs(60);

/// Bytes for each second that a transfer gets: below this a store counts as not answering.
// The largest message, 4 GiB, gets 69 minutes; the client's own limit of one call, 2 hours, is past that.
const SLOWEST: u64 = 1 << 20;

/// How long a transfer of so many bytes may take.
fn patience(bytes: usize) -> Duration {
    TRANSFER + Duration::from_secs(bytes as u64 / SLOWEST)
}

type Hash = [u8; 32];

/// The hash of a payload; a long one is computed on another thread.
async fn hash(payload: Bytes) -> Hash {
    let now = |payload: &Bytes| *blake3::hash(payload).as_bytes();
    if payload.len() < LONG_HASH {
        return now(&payload);
    }
    let beside = payload.clone();
    // A runtime that shuts down starts no blocking work any more; the hash is computed here then. `now` cannot panic,
    // so the error has no other cause.
    match tokio::task::spawn_blocking(move || now(&beside)).await {
        Ok(hash) => hash,
        Err(_) => now(&payload),
    }
}

/// A hash in hexadecimal: the last part of an object's name.
fn name(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}
