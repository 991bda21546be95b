//! Brokers, one folder or file each, behind core's trait: this process's memory, and Pub/Sub. The store of large
//! payloads and the stores of tasks' outputs are beside them.

pub(crate) mod given_names;
pub(crate) mod local;
mod outputs;
#[cfg(feature = "payload")]
pub mod payload;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub(crate) mod run_payloads;
#[cfg(feature = "pubsub")]
pub(crate) mod silent;

/// Registers the openers of the brokers that are compiled in, for workers in other processes.
#[cfg(unix)]
pub(crate) fn register_openers() {
    #[cfg(feature = "pubsub")]
    podpool_core::broker::openers::register(pubsub::TAG, std::sync::Arc::new(pubsub::PubSubOpener));
}
