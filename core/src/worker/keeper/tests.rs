//! Tests of the thread that renews leases.

use std::cell::Cell;

use rustix::io::Errno;

use super::*;
use crate::queue::QueueLimits;
use crate::queue::memory::MemoryQueue;

thread_local! {
    /// How many of the next threads the system refuses, and why.
    static REFUSED: Cell<(u32, Errno)> = const { Cell::new((0, Errno::AGAIN)) };
}

pub(super) fn refuse() -> io::Result<()> {
    let (left, why) = REFUSED.get();
    if left > 0 {
        REFUSED.set((left - 1, why));
        return Err(why.into());
    }
    Ok(())
}

async fn started(refused: u32, why: Errno) -> (io::Result<Keeper>, Duration) {
    let limits = QueueLimits::new(1, Duration::from_secs(60));
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new("tasks", limits));
    let (news, _heard) = mpsc::unbounded_channel();
    REFUSED.set((refused, why));
    let began = Instant::now();
    let keeper = Keeper::start_patiently(&queue, &news).await;
    REFUSED.set((0, why));
    (keeper, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_refused_for_a_moment_starts_later() {
    let (keeper, took) = started(3, Errno::AGAIN).await;
    keeper.expect("the fourth is not refused");
    assert_eq!(took, FIRST_PAUSE * (1 + 2 + 4));
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_refused_for_long_is_an_error_with_a_bound() {
    let (keeper, took) = started(u32::MAX, Errno::AGAIN).await;
    assert!(is_shortage(&keeper.expect_err("no thread")));
    assert!(
        (START_WITHIN..START_WITHIN + LAST_PAUSE).contains(&took),
        "{took:?}"
    );
    let (keeper, took) = started(1, Errno::PERM).await;
    keeper.expect_err("another try would be refused too");
    assert_eq!(took, Duration::ZERO);
}
