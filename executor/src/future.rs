//! The types that `map`, `as_completed`, `wait`, `gather` and `cancel` return, and `TaskContext::cancellation`. Programs
//! seldom name them.

pub use podpool_core::cancellation::Cancellation;

pub use crate::client::future::Cancel;
pub use crate::client::gather::{Gather, GatherAll};
pub use crate::client::map::{Inputs, KeyedMap, Map};
pub use crate::client::wait::{AsCompleted, AsCompletedWithin, Wait};
