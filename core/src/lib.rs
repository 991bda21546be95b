//! Words and contracts of podpool: what a task is, what travels, and the loop that a worker runs.
//!
//! Users depend on `podpool`, which re-exports what they name. This crate is for back-ends and workers.

pub mod codec;
pub mod id;
pub mod outcome;
pub mod queue;
pub mod registry;
pub mod shape;
pub mod task;
