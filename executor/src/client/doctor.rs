//! The conduct of a preflight: its checks run on a thread of their own, so that the caller's runtime may be busy or
//! absent, and one that hangs keeps nobody.

pub(crate) mod ledger;
pub(crate) mod local;
pub(crate) mod payload;

use std::thread;

use podpool_core::inherited::Inherited;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::doctor::{Line, Report};

/// The check whether there is a thread for all others.
const MACHINE: &str = "local.threads";

/// Makes the checks, and returns what they have seen.
pub(crate) async fn conduct<F>(checks: impl FnOnce() -> F + Send + 'static) -> Report
where
    F: Future<Output = Vec<Line>>,
{
    let (done, seen) = oneshot::channel();
    // The caller may hold a lock that its subscriber waits for.
    let events = Inherited::from_here();
    let beside = events.clone();
    let look = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || beside.keep())
            .build();
        match runtime {
            Ok(runtime) => {
                let lines = runtime.block_on(checks());
                // A check that was given up may still wait for a disk.
                runtime.shutdown_background();
                lines
            }
            Err(error) => refused(&error),
        }
    };
    let started = thread::Builder::new()
        .name("podpool-doctor".to_owned())
        // The receiver is dropped if the caller's future is.
        .spawn(move || done.send(events.within(look)).ok());
    let lines = match started {
        Ok(_) => seen.await.unwrap_or_else(|_| {
            let reason = "the thread of the checks panicked";
            vec![Line::fail(MACHINE, reason, None)]
        }),
        Err(error) => refused(&error),
    };
    Report::new(lines)
}

fn refused(error: &std::io::Error) -> Vec<Line> {
    let seen = format!("no thread can be started for the checks: {error}");
    let fix = "raise the limit on processes: ulimit -u".to_owned();
    vec![Line::fail(MACHINE, seen, fix)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_need_no_runtime_of_the_caller() {
        let report = pollster::block_on(conduct(|| async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            vec![Line::pass(MACHINE, "here")]
        }));
        assert_eq!(report.lines.len(), 1);
    }

    #[test]
    fn a_check_that_panics_is_a_failure() {
        let report = pollster::block_on(conduct(|| async { panic!("by this test") }));
        assert!(!report.is_ok());
    }
}
