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
//! podpool tells what it does as [`tracing`] events. They go to the subscriber that was set where the executor was built,
//! else to the program's; a thread for this alone gives them to it, so it may block. Only whether it wants a callsite it
//! is asked on any thread (`register_callsite`), as every subscriber is, and that must not wait.
//!
//! Those with the target `podpool::notice` are [`Notices`]: one line when something changes that a person would ask for.
//! A program without a subscriber finds them on standard error.
//!
//! A program that has a [`log`] logger and no subscriber gets notices as records, and other events too where some crate switches on tracing's
//! feature `log`. Those reach the logger on podpool's own threads, so such a logger must not wait for what a task does: it
//! does if it writes to standard output while the program holds the lock of that and waits for a future.

#[cfg(feature = "kubernetes")]
mod build_id;
mod builder;
mod callbacks;
#[cfg(feature = "kubernetes")]
mod cluster;
mod deadline;
#[cfg(feature = "kubernetes")]
mod descriptor;
mod dispatch;
mod error;
mod events;
mod executor;
#[cfg(feature = "kubernetes")]
mod farewell;
mod future;
mod home;
mod known;
#[cfg(feature = "kubernetes")]
#[doc(hidden)]
pub mod kubernetes;
mod local;
mod lock;
mod mailbox;
mod map;
mod measured;
mod notices;
mod outlet;
mod output;
#[cfg(feature = "kubernetes")]
mod pod;
mod reporting;
mod roles;
mod run_payloads;
mod signals;
#[cfg(feature = "kubernetes")]
mod silent;
mod variables;
mod wait;

#[cfg(feature = "kubernetes")]
pub mod gc;
#[cfg(feature = "payload")]
pub mod payload;
pub mod prelude;
#[cfg(feature = "pubsub")]
pub mod pubsub;

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

#[doc(hidden)]
pub use self::builder::QueueDecorator;
pub use self::builder::{Backend, Builder, Isolation, PubSubOptions};
pub use self::error::{
    AttemptReport, BuildError, NotDone, ShutdownError, TaskError, TaskErrorKind, Unfinished,
};
pub use self::executor::PodPoolExecutor;
pub use self::future::{Cancel, CancelOutcome, TaskFuture, TaskHandle, TaskState};
#[cfg(feature = "kubernetes")]
pub use self::kubernetes::spec::PullPolicy;
pub use self::mailbox::ShutdownBehavior;
pub use self::map::Map;
pub use self::notices::Notices;
pub use self::roles::{init, init_with};
pub use self::wait::{AsCompleted, AsCompletedWithin, ReturnWhen, Wait, as_completed, wait};
