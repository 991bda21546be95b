//! What the code that `#[task]` and `#[main]` write needs. Not for people: it may change in any release.

use std::future::Future;

pub use podpool_core::__private::*;

/// Waits, when it is dropped, for what a program leaves behind: runs on a cluster, 60 s at the longest, then what tasks
/// printed and what podpool has to say, 2 s at the longest. Made by `#[main]` before the program's own statements, so
/// that it goes after all that they hold.
#[derive(Debug)]
pub struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        #[cfg(feature = "kubernetes")]
        crate::farewell::end();
        crate::reporting::wait_everywhere();
    }
}

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
