//! Options of a pool, and the types of their values.
//!
//! What counts everywhere is a method of [`Builder`](crate::Builder). What counts in one place is in that place's struct:
//! [`LocalOptions`] for this machine, [`KubernetesOptions`] for pods, [`PubSubOptions`] for their queue. Each struct exists
//! with and without its Cargo feature, so a program that sets all of them compiles either way, and `PODPOOL_BACKEND`
//! alone selects where it runs.

pub use podpool_core::worker::OutputLine;

pub use crate::broker::given_names::{ControlNames, GivenNames};
pub use crate::client::options::{Isolation, KubernetesOptions, LocalOptions, PubSubOptions};
pub use crate::fleet::worker_spec::PullPolicy;
pub use crate::report::notices::Notices;
