//! Types and contracts of podpool: what a task is, what messages carry, and the loop that a worker runs.
//!
//! Users depend on `podpool`, which re-exports what they name. This crate is for back-ends and workers.

mod blocks;
pub mod broker;
pub mod cancellation;
pub mod codec;
pub mod commit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod envelope;
pub mod error;
pub mod fleet;
#[doc(hidden)]
pub mod forked;
#[cfg(test)]
mod fuzz;
pub mod id;
pub mod inherited;
pub mod init;
pub mod instant;
pub mod json;
pub mod key;
pub mod ledger;
#[doc(hidden)]
pub mod lock;
pub mod metrics;
pub mod notice;
pub mod outcome;
pub mod panics;
pub mod permanent;
pub mod place;
pub mod queue;
pub mod registry;
pub mod retry;
mod role;
pub mod shape;
pub mod signature;
#[doc(hidden)]
pub mod size;
pub mod slot;
pub mod task;
#[doc(hidden)]
pub mod thrown;
#[doc(hidden)]
pub mod unstarted;
pub mod wall;
pub mod worker;

#[doc(hidden)]
pub mod __private;

pub use permanent::permanent;
