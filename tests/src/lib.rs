//! The executor's suite: what every back-end promises, written once and made into tests for each of them.
//!
//! A row is an async function over a [`Bed`](bed::Bed), which states how to build the pool and what the back-end can
//! do. [`executor_suite!`] turns the rows into tests. A row that needs what a bed lacks prints so and passes.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

pub mod address;
#[cfg(feature = "kubernetes")]
pub mod api;
pub mod bed;
pub mod block;
pub mod directory;
pub mod faults;
pub mod gate;
pub mod journal;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod limits;
#[cfg(feature = "kubernetes")]
pub mod masters;
pub mod meeting;
pub mod news;
#[cfg(feature = "pubsub")]
pub mod outage;
#[cfg(feature = "kubernetes")]
pub mod pods;
#[cfg(feature = "pubsub")]
pub mod pubsub;
pub mod refusing;
#[cfg(feature = "image")]
pub mod registry;
pub mod run;
pub mod scratch;
pub mod seeds;
pub mod story;
pub mod suite;
pub mod tap;
pub mod tasks;
