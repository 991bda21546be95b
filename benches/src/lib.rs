//! The parts of the scoreboard: references to measure against, the harness, and the rows.
//!
//! Every number is taken in a process of its own, so that no case inherits another's heap, threads or warm caches,
//! and the references run in the same rounds as what is measured. Nothing here is for users of podpool.

pub mod args;
pub mod bare;
pub mod board;
pub mod case;
pub mod catalogue;
pub mod heap;
#[cfg(feature = "ledger")]
pub mod ledger;
pub mod measure;
pub mod memory;
pub mod pin;
pub mod pool;
pub mod ppe;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub mod rows;
