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
//! A task may run more than once (a lost worker, a lost acknowledgement); it ends, and its future resolves, exactly
//! once.
//!
//! # Events
//!
//! podpool reports its work as [`tracing`] events. They go to the subscriber that was set where the executor was built,
//! else to the program's; a thread for this alone passes them on, so the subscriber may block. Only `register_callsite`
//! is called on any thread, as for every subscriber, and must not wait.
//!
//! Events with the target `podpool::notice` are [`Notices`]: one line for each change that the user should see. Without
//! a subscriber they are on standard error.
//!
//! A program that has a [`log`] logger and no subscriber gets notices as records, and other events too where some crate
//! switches on tracing's feature `log`. Those reach the logger on podpool's own threads, so such a logger must not wait
//! for a task. A logger that writes to standard output does, while the program holds the lock of standard output and
//! waits for a future.

mod broker;
mod client;
mod deadline;
mod error;
mod fleet;
mod lock;
mod master;
mod report;
mod variables;
mod worker;

pub mod prelude;
#[cfg(unix)]
pub mod testing;

#[doc(hidden)]
pub mod __private;

pub use podpool_core as core;
pub use podpool_core::id::{Attempt, RunId, RunName, TaskId};
pub use podpool_core::init::{Role, is_initialised, role};
pub use podpool_core::metrics;
pub use podpool_core::outcome::{Cause, Exit, Failure};
pub use podpool_core::task::{Call, TaskContext};
pub use podpool_core::worker::{OutputLine, OutputSink};
pub use podpool_core::{permanent, test_slots};
pub use podpool_macros::{main, task};

#[cfg(feature = "payload")]
pub use self::broker::payload;
#[cfg(feature = "pubsub")]
pub use self::broker::pubsub;
pub use self::client::blocking;
pub use self::client::builder::{Backend, Builder, Isolation, PubSubOptions};
pub use self::client::executor::PodPoolExecutor;
pub use self::client::future::{Cancel, TaskFuture, TaskHandle};
pub use self::client::gather::{Gather, GatherAll, gather};
#[cfg(feature = "kubernetes")]
pub use self::client::gc;
pub use self::client::map::{KeyedMap, Map};
pub use self::client::wait::{
    AsCompleted, AsCompletedWithin, ReturnWhen, Wait, as_completed, wait,
};
pub use self::error::{
    AttemptReport, BuildError, NotDone, ShutdownError, TaskError, TaskErrorKind, Unfinished,
};
#[cfg(feature = "kubernetes")]
#[doc(hidden)]
pub use self::fleet::kubernetes;
#[cfg(feature = "kubernetes")]
pub use self::fleet::kubernetes::spec::PullPolicy;
pub use self::master::cell::TaskState;
pub use self::master::command::{CancelOutcome, ShutdownBehavior};
#[doc(hidden)]
pub use self::master::settings::QueueDecorator;
pub use self::report::notices::Notices;
pub use self::worker::roles::{init, init_with};
