//! Payloads that are too large for messages: they lie in an object store, and messages refer to them.
//!
//! A payload over [`OVER`] bytes is stored as `<prefix>/podpool/<run>/<hash>`, once however often it is sent, and
//! is kept until the run ends. [`queue`] cuts messages and puts them together again, so that neither dispatch nor
//! workers know of it; slots get neither the store nor its credentials.

mod error;
mod open;
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
pub const OVER: usize = 96 * 1024;

/// Hashing this many bytes takes long enough to keep a loop from its other work.
const LONG_HASH: usize = 256 * 1024;

/// Time that one transfer may take beside its bytes.
const TRANSFER: Duration = Duration::from_secs(60);

/// Bytes for each second that a transfer gets: below this a store counts as not answering.
const SLOWEST: u64 = 1 << 20;

/// How long a transfer of so many bytes may take.
fn patience(bytes: usize) -> Duration {
    TRANSFER + Duration::from_secs(bytes as u64 / SLOWEST)
}

type Hash = [u8; 32];

/// The hash of a payload; a long one is made beside the loop.
async fn hash(payload: Bytes) -> Hash {
    let now = |payload: &Bytes| *blake3::hash(payload).as_bytes();
    if payload.len() < LONG_HASH {
        return now(&payload);
    }
    let beside = payload.clone();
    // A runtime that shuts down starts nothing beside it any more.
    match tokio::task::spawn_blocking(move || now(&beside)).await {
        Ok(hash) => hash,
        Err(_) => now(&payload),
    }
}

/// A hash in hexadecimal: the last part of an object's name.
fn name(hash: &Hash) -> String {
    blake3::Hash::from_bytes(*hash).to_hex().to_string()
}
