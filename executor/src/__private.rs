//! The part that code of `#[task]` and `#[main]` uses. Not for programs: it may change in any release.

use std::future::Future;
use std::process::{ExitCode, Termination};

pub use podpool_core::__private::*;

/// Runs `main`, then waits for the end of the program's runs on a cluster, 60 s at the longest, and for lines of tasks
/// and events that are not written, 2 s at the longest. Returns the exit code of the program.
pub fn run_main<T: Termination>(main: impl FnOnce() -> T) -> ExitCode {
    let ended = {
        // Declared first: it is dropped after all that `main` holds, also when that panics.
        let _leave = Leave;
        main()
    };
    exit_code(ended)
}

/// Runs an async `main` on a multi-threaded runtime, and then waits as [`run_main`] does.
///
/// # Panics
/// When the operating system refuses the threads of a runtime; nothing has run then.
#[expect(
    clippy::expect_used,
    reason = "main has nobody to tell but the terminal"
)]
pub fn run_async_main<F>(main: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output: Termination>,
{
    // The runtime is dropped within: its tasks may hold executors.
    run_main(|| {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("cannot start the threads of a runtime for main")
            .block_on(main())
    })
}

struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        // Output last: the removal of runs emits events too.
        crate::client::at_exit::end();
        crate::report::reporting::wait_everywhere();
    }
}

/// A program whose pool was ended by a signal exits as one that the signal ended, unless it failed by itself.
fn exit_code(ended: impl Termination) -> ExitCode {
    // The report first: it prints the error of a `main` that returned one, whatever the code is then.
    let code = ended.report();
    match crate::client::signals::interrupted() {
        Some(signal) if code == ExitCode::SUCCESS => ExitCode::from(128 + signal),
        _ => code,
    }
}
