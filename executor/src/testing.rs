//! Whole pools over a broker of one's own, for the tests of brokers: the workers are processes of this machine, and
//! reach the broker by nothing but the run's descriptor.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use podpool::PodPoolExecutor;
//! use podpool::core::broker::Broker;
//! use podpool::core::broker::openers::{self, Opener};
//! use podpool::testing::Builder as _;
//!
//! # fn parts() -> (Arc<dyn Broker>, Arc<dyn Opener>) { panic!("a broker of your own") }
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (broker, opener) = parts();
//!     openers::register("my-broker-1", opener);
//!     podpool::init();
//!     let pool = PodPoolExecutor::builder().broker(broker).max_workers(2).build().await?;
//!     Ok(pool.shutdown().await?)
//! }
//! ```
//!
//! A file of `#[test]`s has no `main` of its own. There a test that worker processes run alone calls [`serve_worker`],
//! and [`Builder::worker_arguments`] names it; slots need [`test_slots!`](crate::test_slots) as elsewhere.

use std::ffi::OsString;
use std::sync::Arc;

use podpool_core::broker::Broker;
use podpool_core::init::{Role, role};

/// Settings of a pool over a broker that the program brings.
pub trait Builder: Sized {
    /// The broker that carries the run's messages. Workers are processes of this executable, at most
    /// [`max_workers`](crate::Builder::max_workers) of them, 1 by default. It counts on this machine, and not where the
    /// back-end is a cluster. The program must have the broker's [opener](podpool_core::broker::openers) registered
    /// before [`init`](crate::init).
    #[must_use]
    fn broker(self, broker: Arc<dyn Broker>) -> Self;

    /// Slots of each worker process. Default: 1. `build()` refuses 0.
    #[must_use]
    fn worker_slots(self, slots: u32) -> Self;

    /// The arguments with which this executable becomes a worker. Default: none.
    #[must_use]
    fn worker_arguments<I>(self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>;
}

impl Builder for crate::Builder {
    fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.injected().broker = Some(broker);
        self
    }

    fn worker_slots(mut self, slots: u32) -> Self {
        self.injected().slots = slots;
        self
    }

    fn worker_arguments<I>(mut self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.injected().arguments = arguments.into_iter().map(Into::into).collect();
        self
    }
}

/// Runs as a worker, and never returns, where this process was started as one; else returns at once. For a `#[test]`
/// that worker processes run alone: [`init`](crate::init) does nothing inside a test. Register openers before.
pub fn serve_worker() {
    if role() == Role::Worker {
        crate::worker::pod::live();
    }
}
