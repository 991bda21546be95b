//! Lines of a task are written before its end is reported, and carry the task's key.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::sleep;
use std::time::{Duration, Instant};

use podpool::TaskErrorKind;
use podpool::options::{Notices, OutputLine};
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

/// Prints its number and panics.
#[podpool::task]
#[expect(
    clippy::print_stdout,
    clippy::panic,
    reason = "a task that prints and panics is what the test is about"
)]
fn panics(n: u64) -> u64 {
    println!("number {n}");
    panic!("no luck with {n}");
}

/// Runs until the task is cancelled.
#[podpool::task]
async fn waits() -> u64 {
    std::future::pending().await
}

/// Everything that was reported, in order.
type Told = Arc<Mutex<Vec<String>>>;

fn tell(told: &Told, what: String) {
    told.lock().expect("a lock").push(what);
}

/// A sink that is slow with the first line of each attempt.
#[expect(
    clippy::disallowed_methods,
    reason = "a sink that takes its time is what the test is about"
)]
fn slow(told: &Told) -> impl Fn(OutputLine<'_>) + Send + Sync + 'static + use<> {
    let told = told.clone();
    move |line: OutputLine<'_>| {
        if line.line.starts_with("number") {
            sleep(Duration::from_millis(20));
        }
        let key = line.key.unwrap_or("no key");
        tell(&told, format!("{key}: {}", line.line));
    }
}

#[tokio::test]
async fn the_lines_of_a_panic_come_before_its_notice_and_its_error() {
    let told = Told::default();
    let notices = told.clone();
    let notices = Notices::to(move |text| tell(&notices, format!("notice: {text}")));
    let pool = built(describe(1).output(slow(&told)).notices(notices)).await;
    let future = pool.submit(panics(7).key("a\nb").retries(1));
    let error = within("the error", future).await.expect_err("a panic");
    tell(&told, format!("error: {error}"));
    assert_eq!(error.kind(), TaskErrorKind::Panicked);
    end(pool).await;
    let told = told.lock().expect("a lock").clone();
    let kind = |text: &String| match text {
        text if text.starts_with("notice: ") => Some('n'),
        text if text.starts_with("error: ") => Some('e'),
        text if text.contains("no luck with 7") => Some('l'),
        _ => None,
    };
    let order: String = told.iter().filter_map(kind).collect();
    assert_eq!(order, "lnle", "{told:?}");
    for text in told {
        let shown = match text.strip_prefix("a\nb: ") {
            Some(_) => true,
            None => text.contains("(key \"a\\nb\")"),
        };
        assert!(shown, "{text}");
    }
}

#[tokio::test]
async fn a_sink_that_takes_nothing_is_waited_for_once() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let sink = move |_: OutputLine<'_>| {
        // Blocks until the test releases the sink.
        held.lock().expect("a lock").recv().ok();
    };
    let pool = built(describe(1).output(sink)).await;
    let began = Instant::now();
    for n in 0..30 {
        let failed = within("an error", pool.submit(panics(n))).await;
        failed.expect_err("a panic");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?} for 30 failures");
    drop(let_go);
    end(pool).await;
}

#[tokio::test]
async fn the_error_of_a_cancelled_task_has_its_key() {
    let pool = built(describe(1)).await;
    let future = pool.submit(waits().key("x".repeat(1000)));
    let name = future.task();
    within("the cancel", future.cancel()).await;
    let error = within("the error", future).await.expect_err("a cancel");
    let key = format!("(key \"{}\"…)", "x".repeat(80));
    let text = error.to_string();
    assert!(text.starts_with(&format!("task {name} #0 {key}")), "{text}");
    end(pool).await;
}
