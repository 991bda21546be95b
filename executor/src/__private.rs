//! What the code that `#[task]` and `#[main]` write needs. Not for people: it may change in any release.

use std::future::Future;

pub use podpool_core::__private::*;

#[cfg(feature = "kubernetes")]
pub use crate::farewell::Farewell;

/// Nothing outlives a program without a cluster.
#[cfg(not(feature = "kubernetes"))]
#[derive(Debug)]
pub struct Farewell;

/// Runs an async `main` on a multi-threaded runtime, and waits until what it left on a cluster is removed.
///
/// # Panics
/// When the operating system refuses the threads of a runtime; nothing has run then.
#[expect(
    clippy::expect_used,
    reason = "main has nobody to tell but the terminal"
)]
pub fn block_on_main<F: Future>(main: F) -> F::Output {
    // Declared first: it goes after the runtime, whose tasks may hold executors.
    let _farewell = Farewell;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("cannot start the threads of a runtime for main")
        .block_on(main)
}
