//! What carries messages: Pub/Sub, and the store of large payloads beside it.

#[cfg(feature = "payload")]
pub mod payload;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub(crate) mod run_payloads;
#[cfg(feature = "kubernetes")]
pub(crate) mod silent;
