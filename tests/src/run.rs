//! Running a row with a limit in time; a row that hangs is named.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::bed::{Bed, Need};
use crate::limits::allow;
pub use crate::limits::{row_limit, step_limit, within};

/// Longest time until the run of a row is removed where its queues are not in memory.
const CLEAR_LIMIT: Duration = Duration::from_secs(90);

/// Runs a row on each bed that has what the row needs: all beds at once, on one thread.
///
/// # Panics
/// When the row fails on a bed, has not ended after [`row_limit`], or leaves something behind; the message names row
/// and beds.
pub fn run<R, F>(name: &'static str, beds: Vec<Bed>, needs: &[Need], row: R)
where
    R: Fn(Bed) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let beds = suitable(name, beds, needs);
    if beds.is_empty() {
        return;
    }
    let patience = beds.iter().map(Bed::patience).max().unwrap_or(1);
    allow(patience);
    let limit = row_limit()
        + if patience > 1 {
            CLEAR_LIMIT
        } else {
            Duration::ZERO
        };
    let (ended, end) = channel();
    // A thread of its own: a row that blocks its thread would also block a timeout on that thread.
    let work = move || {
        let failures = catch_unwind(AssertUnwindSafe(|| drive(name, beds, row)));
        // The receiver is gone where the limit has passed.
        ended.send(failures).ok();
    };
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        panic!("no thread for {name}: {error}");
    }
    let start = Instant::now();
    let answer = end.recv_timeout(limit);
    report(&format!("{name} took {:.2?}", start.elapsed()));
    match answer {
        Ok(Ok(failures)) => assert!(failures.is_empty(), "{}", failures.join("\n")),
        Ok(Err(panic)) => resume_unwind(panic),
        Err(RecvTimeoutError::Timeout) => {
            panic!("{name} hung: it had not ended after {limit:?}")
        }
        Err(RecvTimeoutError::Disconnected) => panic!("{name} ended without an answer"),
    }
}

/// The beds that have what a row needs. Why the others are left out is printed, once for each need.
fn suitable(name: &str, beds: Vec<Bed>, needs: &[Need]) -> Vec<Bed> {
    let mut fit = beds;
    for need in needs {
        let (with, without): (Vec<_>, Vec<_>) = fit.into_iter().partition(|bed| bed.has(*need));
        fit = with;
        if let Some(first) = without.first() {
            let others = match without.len() - 1 {
                0 => String::new(),
                others => format!(" and {others} more"),
            };
            let (first, need) = (first.name(), need.phrase());
            report(&format!(
                "{name} does not apply to {first}{others}: it needs {need}"
            ));
        }
    }
    fit
}

#[expect(
    clippy::print_stdout,
    reason = "a test's output is where people look for what was left out"
)]
fn report(line: &str) {
    println!("{line}");
}

fn drive<R, F>(name: &str, beds: Vec<Bed>, row: R) -> Vec<String>
where
    R: Fn(Bed) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for {name}: {error}"),
    };
    runtime.block_on(async {
        let runs = beds.into_iter().map(|bed| {
            // A panic on one bed must not stop the others, or the runs that the others made would stay.
            let row = AssertUnwindSafe(row(bed.clone())).catch_unwind();
            let row = tokio::time::timeout(row_limit(), row);
            async move {
                let failure = match row.await {
                    Ok(Ok(())) => None,
                    Ok(Err(panic)) => Some(words(&*panic).to_owned()),
                    Err(_) => Some("hung".to_owned()),
                };
                let left = AssertUnwindSafe(bed.clear()).catch_unwind().await;
                let left = left.unwrap_or_else(|panic| Err(words(&*panic).to_owned()));
                let failure = failure.or_else(|| left.err())?;
                Some(format!("{name} on {}: {failure}", bed.name()))
            }
        });
        join_all(runs).await.into_iter().flatten().collect()
    })
}

/// The message of a panic.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked with a value that is no text")
}
