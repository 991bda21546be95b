//! Options by the place that they are for. Each struct exists with and without its feature, so that a program that sets
//! all of them compiles either way.

mod kubernetes;
mod local;
mod pubsub;

pub use self::kubernetes::KubernetesOptions;
pub use self::local::{Isolation, LocalOptions};
pub use self::pubsub::PubSubOptions;
