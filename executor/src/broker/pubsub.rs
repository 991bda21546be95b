//! Google Cloud Pub/Sub as the queue: connections, queues, names, and what an administrator does with them.
//!
//! Messages travel by unary gRPC calls on generated stubs: `Publish`, `Pull`, `ModifyAckDeadline`, `Acknowledge`.
//! The official client publishes through an unbounded channel and answers for whole batches, and its subscriber
//! fetches ahead and hides lost acknowledgements; podpool promises a bound and an answer for each message. The
//! official client administers, and the official credentials sign every call.

mod admin;
mod chunks;
#[cfg(feature = "kubernetes")]
pub(crate) mod connect;
mod connection;
#[cfg(feature = "kubernetes")]
pub(crate) mod control_queues;
mod error;
#[cfg(feature = "kubernetes")]
pub(crate) mod guard;
mod io;
mod labels;
mod names;
mod owner;
mod queue;
mod reach;
mod settings;
mod signs;
mod stub;
#[cfg(feature = "kubernetes")]
pub(crate) mod sweep;

/// What [`ConnectionBuilder::credentials`] takes, and how it is made.
#[doc(no_inline)]
pub use google_cloud_auth::credentials;

pub use self::admin::{Admin, Collected, Fitness, Which};
#[cfg(feature = "kubernetes")]
pub(crate) use self::admin::{Labelled, Made, Making, RESULTS_LEASE};
pub use self::connection::{Connection, ConnectionBuilder};
pub use self::error::{AdminError, ConnectError};
pub use self::labels::RunLabels;
#[cfg(feature = "kubernetes")]
pub(crate) use self::names::spoken;
pub use self::names::{ControlNames, GivenNames, InvalidNames, QueueNames, RunNames};
pub use self::owner::{Owner, Ownership};
#[cfg(feature = "kubernetes")]
pub(crate) use self::queue::check_lease;
pub use self::queue::{InvalidLease, PubSubQueue};
#[cfg(feature = "kubernetes")]
pub(crate) use self::settings::EMULATOR;
pub use self::signs::Signs;
