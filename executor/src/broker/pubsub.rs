//! Google Cloud Pub/Sub as the queue: connections, queues, names, and their administration.
//!
//! Every call is a unary gRPC call on generated stubs: `Publish`, `Pull`, `ModifyAckDeadline` and `Acknowledge` move
//! messages, the others administer. The official client publishes through an unbounded channel and answers for whole
//! batches, and its subscriber fetches ahead and hides lost acknowledgements; podpool promises a bound and an answer for
//! each message. The official credentials sign every call.

mod admin;
mod broker;
mod chunks;
mod connect;
mod connection;
mod control_queues;
mod error;
mod guard;
mod io;
mod labels;
mod names;
mod opener;
mod owner;
mod queue;
mod reach;
mod run_queues;
mod settings;
mod signs;
mod stub;
mod sweep;
mod worker_emulator;

/// The type that [`ConnectionBuilder::credentials`] takes, and its builders.
#[doc(no_inline)]
pub use google_cloud_auth::credentials;

pub use self::admin::{Admin, Collected, Fitness, Which};
pub use self::broker::PubSubBroker;
pub use self::connection::{Connection, ConnectionBuilder};
pub use self::error::{AdminError, ConnectError};
pub use self::labels::RunLabels;
pub use self::names::{InvalidNames, QueueNames, RunNames};
pub use self::opener::{PubSubOpener, TAG};
pub use self::owner::{Owner, Ownership};
#[cfg(feature = "kubernetes")]
pub(crate) use self::queue::check_lease;
pub use self::queue::{InvalidLease, PubSubQueue};
pub use self::signs::Signs;
pub use crate::broker::given_names::{ControlNames, GivenNames};
