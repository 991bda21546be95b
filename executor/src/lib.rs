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
//! once. Rust 1.91 or newer; a program may be of edition 2021 or 2024, and needs no other crate for the above.
//!
//! | I want to … | |
//! |---|---|
//! | write a task: types, retries, time-outs, where it runs | [`task`](macro@task) |
//! | make many calls | [`map`](PodPoolExecutor::map), [`map_keyed`](PodPoolExecutor::map_keyed), [`as_completed`], [`wait`], [`gather`] |
//! | test | [Testing](#testing) |
//! | show progress | [`stats`](PodPoolExecutor::stats), [`events`](PodPoolExecutor::events) |
//! | end on Ctrl-C | [`Builder::signals`] |
//! | act on errors | [`TaskError`], [`TaskErrorKind`] |
//! | limit retries | [`task`](macro@task#retries), [`Builder::retries`], [`permanent`](fn@permanent) |
//! | call tasks by name, with JSON | [`json`] |
//! | limit memory, or share it | [the table of options](options#memory) |
//! | run in pods | [`Builder::backend`], [`KubernetesOptions`](options::KubernetesOptions) |
//! | know what is missing before a run starts | [`Builder::doctor`] |
//! | write a program without `async` | [`blocking`] |
//! | take what tasks print | [`Builder::output`] |
//! | read notices, tracing, log | [`Notices`](options::Notices) |
//! | translate Python's `concurrent.futures` | [`from_thread_pool_executor`] |
//!
//! # Testing
//!
//! A test of a task's body needs no pool. `run_here` runs the body in the test:
//!
//! ```no_run
//! # use podpool::prelude::*;
//! # #[podpool::task] fn square(n: u64) -> u64 { n * n }
//! #[tokio::test]
//! async fn seven_squared() {
//!     assert_eq!(square(7).run_here().await.unwrap(), 49);
//! }
//! ```
//!
//! Its [`TaskContext`] has the key of the call, the first attempt, and `here` as worker and node; [`Call::run_here`]
//! lists the rest. A test with a pool needs [`test_slots!`] once in its program, outside of any function. This adds a
//! test `podpool_slots`, which the slots run:
//!
//! ```no_run
//! # use podpool::prelude::*;
//! # #[podpool::task] fn square(n: u64) -> u64 { n * n }
//! podpool::test_slots!();
//!
//! #[test]
//! fn a_pool_squares() {
//!     let pool = PodPoolExecutor::builder().max_workers(1).build_blocking().unwrap();
//!     assert_eq!(pool.submit(square(7)).result().unwrap(), 49);
//!     pool.shutdown().unwrap();
//! }
//! ```
//!
//! With [`Isolation::InProcess`](options::Isolation::InProcess) slots are threads of the test, and `test_slots!` is not
//! needed.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `kubernetes` | workers as pods of a Kubernetes cluster, with Pub/Sub as their queue |
//! | `pubsub` | Google Cloud Pub/Sub alone, for programs that administer its topics |
//! | `ledger` | a directory that remembers runs; it compiles SQLite |
//! | `payload` | a directory for arguments and results that no message carries |
//! | `payload-gcs`, `payload-s3`, `payload-azure` | the same in a cloud's object store, and outputs that are committed there |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod broker;
mod client;
mod deadline;
mod fleet;
mod lock;
mod master;
mod named_run;
mod process;
mod report;
mod variables;
mod worker;

pub mod doctor;
pub mod error;
pub mod events;
pub mod future;
pub mod json;
#[cfg(feature = "ledger")]
pub mod ledger;
pub mod options;
pub mod prelude;
pub mod stats;
#[cfg(unix)]
pub mod testing;

#[doc = include_str!("../docs/from-thread-pool-executor.md")]
pub mod from_thread_pool_executor {}

#[doc(hidden)]
pub mod __private;

pub use podpool_core::commit::Committed;
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
#[cfg(feature = "kubernetes")]
pub use self::fleet::kubernetes::manifest;
pub use self::master::cell::TaskState;
pub use self::master::command::{CancelOutcome, ShutdownBehavior};
pub use self::worker::roles::{init, init_with};
