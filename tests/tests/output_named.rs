//! The task of a printed line: a line names the task that has printed it, or no task.

use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use podpool::options::OutputLine;
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

/// Prints its number, sleeps, and fails if the number ends with 7.
#[podpool::task]
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a task that prints and takes its time is what the test is about"
)]
fn says(n: u64, micros: u64) -> Result<u64, String> {
    println!("number {n}");
    sleep(Duration::from_micros(micros));
    match n % 10 {
        7 => Err(format!("{n} ends with 7")),
        _ => Ok(n),
    }
}

/// Lines, each with the number of the task that the line names.
type Lines = Arc<Mutex<Vec<(Option<u64>, String)>>>;

fn sink(lines: &Lines) -> impl Fn(OutputLine<'_>) + Send + Sync + 'static + use<> {
    let lines = lines.clone();
    move |line: OutputLine<'_>| {
        let task = line.task.map(|(task, _)| task.0);
        let mut lines = lines.lock().expect("a lock");
        lines.push((task, line.line.to_owned()));
    }
}

/// Runs 200 tasks of so many microseconds, with keys or without. Returns how many lines named their task; the others
/// named none.
async fn named(micros: u64, keys: bool) -> usize {
    let lines = Lines::default();
    let pool = built(describe(2).output(sink(&lines))).await;
    let call = |n| match keys {
        true => says(n, micros).key(format!("key {n}")),
        false => says(n, micros),
    };
    let futures: Vec<_> = (0..200).map(|n| pool.submit(call(n))).collect();
    for (n, future) in (0..).zip(futures) {
        let Err(error) = within("a task", future).await else {
            continue;
        };
        for line in &error.attempts()[0].output {
            assert_eq!(line, &format!("number {n}"), "{micros} us: {error}");
        }
    }
    end(pool).await;
    let lines = lines.lock().expect("a lock");
    assert_eq!(lines.len(), 200);
    let told = lines
        .iter()
        .filter_map(|(task, line)| Some(((*task)?, line)));
    let told = told.inspect(|(task, line)| {
        assert_eq!(**line, format!("number {task}"), "{micros} us");
    });
    told.count()
}

#[tokio::test]
async fn a_line_is_of_the_task_that_is_named_with_it() {
    for micros in [0, 100, 1_000, 2_000] {
        named(micros, false).await;
        let named = named(micros, true).await;
        assert!(named >= 150, "{micros} us: only {named} of 200 lines");
    }
    for micros in [5_000, 8_000, 12_000] {
        let named = named(micros, false).await;
        assert!(named >= 150, "{micros} us: only {named} of 200 lines");
    }
}
