//! A broker made of files: each run is a directory, each queue of a run a directory in it, each message a file.
//!
//! The broker shows that podpool's trait for brokers suffices: podpool names nothing of this broker, its workers are
//! processes, and these find the run by the run's descriptor alone. The broker is meant for one machine, whose clock
//! all processes share.

mod broker;
mod files;
mod opener;
mod queue;
mod run;
mod silence;

use std::path::PathBuf;
use std::sync::Arc;

use podpool_core::broker::openers;

pub use self::broker::DirectoryBroker;
pub use self::opener::{DirectoryOpener, TAG};
pub use self::queue::DirectoryQueue;

/// The arguments with which a test program becomes a worker: the program runs the test `podpool_worker` alone, which
/// calls [`serve_worker`].
pub const WORKER_ARGUMENTS: [&str; 4] = [
    "podpool_worker",
    "--exact",
    "--nocapture",
    "--test-threads=1",
];

/// Where the test programs of this machine keep their runs. No two runs have one id, so programs may run side by side.
#[must_use]
pub fn root() -> PathBuf {
    std::env::temp_dir().join("podpool-tests-directory")
}

/// Serves as a worker over this broker, where this process was started as a worker. Returns at once elsewhere.
pub fn serve_worker() {
    openers::register(TAG, Arc::new(DirectoryOpener));
    podpool::testing::serve_worker();
}
