//! Whole pools over a broker of one's own, for the tests of brokers: the workers are processes of this machine, and
//! reach the broker by nothing but the run's descriptor.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use podpool::PodPoolExecutor;
//! use podpool_core::broker::Broker;
//! use podpool_core::broker::openers::{self, Opener};
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
use std::time::Duration;

use podpool_core::broker::Broker;
use podpool_core::id::RunId;
use podpool_core::init::{Role, role};
use podpool_core::ledger::Ledger;

pub use crate::master::settings::QueueDecorator;

/// Settings of pools in tests: a broker that the program provides, and faults.
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

    /// Gives the run this id in place of a fresh one, for tests that need the id before.
    #[must_use]
    fn exact_run_id(self, id: RunId) -> Self;

    /// Wraps the queues on the master's side, each by its name: `tasks`, `results`, `control`.
    #[must_use]
    fn decorate_queues(self, decorator: QueueDecorator) -> Self;

    /// Remembers the run in this ledger, in place of a directory.
    #[must_use]
    fn remembered_in(self, ledger: Arc<dyn Ledger>) -> Self;

    /// For how long a queue may refuse everything before the pool is broken. Default: 10 minutes.
    #[must_use]
    fn broker_timeout(self, timeout: Duration) -> Self;

    /// Takes a run over from an older master, with that master's key and a higher epoch. Counts on a cluster.
    #[cfg(feature = "kubernetes")]
    #[must_use]
    fn succeed(self, run: RunId, key: [u8; 32], epoch: u64) -> Self;
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

    fn exact_run_id(mut self, id: RunId) -> Self {
        self.hooks().run_id = Some(id);
        self
    }

    fn decorate_queues(mut self, decorator: QueueDecorator) -> Self {
        self.hooks().decorator = Some(decorator);
        self
    }

    fn remembered_in(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.hooks().ledger = Some(ledger);
        self
    }

    fn broker_timeout(mut self, timeout: Duration) -> Self {
        self.hooks().broker_timeout = Some(timeout);
        self
    }

    #[cfg(feature = "kubernetes")]
    fn succeed(mut self, run: RunId, key: [u8; 32], epoch: u64) -> Self {
        self.hooks().succession = Some((run, key, epoch));
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
