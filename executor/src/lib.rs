//! podpool: a batch fan-out executor. `ThreadPoolExecutor`, whose threads are pods, or child processes on a laptop.
//!
//! ```no_run
//! use podpool::prelude::*;
//!
//! #[podpool::task(retries = 2)]
//! async fn square(n: u64) -> u64 {
//!     n * n
//! }
//!
//! #[podpool::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = PodPoolExecutor::builder().build().await?;
//!     let future = pool.submit(square(7));
//!     assert_eq!(future.await?, 49);
//!     let mut squares = pool.map(0..1_000, square);
//!     while let Some(square) = squares.next().await {
//!         println!("{}", square?);
//!     }
//!     Ok(pool.shutdown().await?)
//! }
//! ```
//!
//! Who knows Python's `concurrent.futures` finds its calls in [`from_thread_pool_executor`]. Programs without
//! `async` use [`blocking`].
//!
//! A task may run more than once (a lost worker, a lost acknowledgement); it ends, and its future resolves, exactly
//! once.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `kubernetes` | workers as pods of a Kubernetes cluster, with Pub/Sub as their queue |
//! | `pubsub` | Google Cloud Pub/Sub alone, for programs that administer its topics |
//! | `payload` | a directory for arguments and results that no message carries |
//! | `payload-gcs`, `payload-s3`, `payload-azure` | the same in a cloud's object store |
//!
//! # Events
//!
//! podpool reports its work as [`tracing`] events. They go to the subscriber that was set where the executor was built,
//! else to the program's; a thread for this alone passes them on, so the subscriber may block. Only `register_callsite`
//! is called on any thread, as for every subscriber, and must not wait.
//!
//! Events with the target `podpool::notice` are [`Notices`](options::Notices): one line for each change that the user should see. Without
//! a subscriber they are on standard error.
//!
//! A program that has a [`log`] logger and no subscriber gets notices as records, and other events too where some crate
//! switches on tracing's feature `log`. Those reach the logger on podpool's own threads, so such a logger must not wait
//! for a task. A logger that writes to standard output does, while the program holds the lock of standard output and
//! waits for a future.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod broker;
mod client;
mod deadline;
mod fleet;
mod lock;
mod master;
mod report;
mod variables;
mod worker;

pub mod error;
pub mod events;
pub mod future;
pub mod json;
pub mod options;
pub mod prelude;
pub mod stats;
#[cfg(unix)]
pub mod testing;

#[doc = include_str!("../docs/from-thread-pool-executor.md")]
pub mod from_thread_pool_executor {}

#[doc(hidden)]
pub mod __private;

pub use podpool_core::id::{Attempt, RunId, RunName, TaskId};
pub use podpool_core::init::{Role, is_initialised, role};
pub use podpool_core::metrics;
pub use podpool_core::task::{Call, TaskContext};
pub use podpool_core::{permanent, test_slots};
pub use podpool_macros::{main, task};

#[cfg(feature = "payload")]
pub use self::broker::payload;
#[cfg(feature = "pubsub")]
pub use self::broker::pubsub;
pub use self::client::blocking;
pub use self::client::builder::{Backend, Builder};
pub use self::client::executor::PodPoolExecutor;
pub use self::client::future::{TaskFuture, TaskHandle};
pub use self::client::gather::gather;
#[cfg(feature = "kubernetes")]
pub use self::client::gc;
pub use self::client::wait::{ReturnWhen, as_completed, wait};
pub use self::error::{TaskError, TaskErrorKind};
#[cfg(feature = "kubernetes")]
#[doc(hidden)]
pub use self::fleet::kubernetes;
pub use self::master::cell::TaskState;
pub use self::master::command::{CancelOutcome, ShutdownBehavior};
pub use self::worker::roles::{init, init_with};
