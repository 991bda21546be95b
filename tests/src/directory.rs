//! A broker made of files: each run is a directory, each queue of it another, each message a file.
//!
//! It proves the seam: podpool knows nothing of it, its workers are processes, and what they know of it is the run's
//! descriptor. It is meant for one machine, whose clock all processes share.

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

/// The arguments with which a test program becomes a worker: it runs the test `podpool_worker` alone, which calls
/// [`serve_worker`].
pub const WORKER_ARGUMENTS: [&str; 4] = [
    "podpool_worker",
    "--exact",
    "--nocapture",
    "--test-threads=1",
];

/// Where the test programs of this machine keep their runs. Each run has an id that nobody else has.
#[must_use]
pub fn root() -> PathBuf {
    std::env::temp_dir().join("podpool-tests-directory")
}

/// Lives as a worker over this broker, where this process was started as one.
pub fn serve_worker() {
    openers::register(TAG, Arc::new(DirectoryOpener));
    podpool::testing::serve_worker();
}
