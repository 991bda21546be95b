//! Tasks that print more than the sink takes. One test in this program, because the memory of the process is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use podpool_tests::faults::processes::peak_memory;
use podpool_tests::faults::tasks::{echo, print_lines, print_one_line};
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

const MIB: usize = 1 << 20;
/// The largest growth of the master's peak memory while 200 MiB go through it: the output buffer of 8 MiB and the
/// buffers of the pipes, with a margin.
const BOUND: u64 = 24 << 20;

#[tokio::test]
async fn a_hundred_mebibytes_of_output_need_little_memory_and_the_results_arrive() {
    let heard = Arc::new(AtomicUsize::new(0));
    let gaps = Arc::new(AtomicUsize::new(0));
    let (count, count_gaps) = (heard.clone(), gaps.clone());
    let builder = describe(1).output(move |line| {
        count.fetch_add(line.line.len(), Ordering::Relaxed);
        count_gaps.fetch_add(
            usize::from(line.line.contains("were left out here")),
            Ordering::Relaxed,
        );
    });
    let pool = built(builder).await;
    assert_eq!(
        within("a first task", pool.submit(echo(5)))
            .await
            .expect("a result"),
        5
    );
    // After a first task: the start of slots and threads is no part of the growth.
    let before = peak_memory();
    let lines = within("the lines", pool.submit(print_lines(100))).await;
    assert_eq!(lines.expect("a result"), 100);
    let line = within("the long line", pool.submit(print_one_line(100))).await;
    assert_eq!(line.expect("a result"), 100);
    end(pool).await;
    let grown = peak_memory() - before;
    assert!(grown < BOUND, "the master grew by {} KiB", grown >> 10);
    let heard = heard.load(Ordering::Relaxed);
    assert!(heard >= MIB, "the sink received only {heard} bytes");
    let gaps = gaps.load(Ordering::Relaxed);
    assert!(
        gaps > 0,
        "the sink received {heard} bytes, and no line marks a gap"
    );
}
