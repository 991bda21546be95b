//! What every [`Queue`] promises, as checks.
//!
//! [`all`] runs every check, each on a fresh queue, and [`all_at_once`] runs them side by side; [`under_faults`] runs
//! those that hold for a queue that fails calls and repeats messages. Where back-ends may differ, [`Promises`] lists
//! what is promised. The checks wait for leases to expire, so give the queue a short one, or a paused clock. Each check
//! is bounded in time.

mod delivery;
mod leases;
mod steps;
mod takers;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use tokio::time::timeout;

pub use self::delivery::{
    big_and_empty_messages_arrive_whole, first_in_first_out, oversized_messages_are_refused,
    put_answers_for_each_message, take_keeps_to_its_max,
};
pub use self::leases::{
    acknowledged_messages_never_come_again, dropped_deliveries_come_again,
    expired_leases_harm_no_one, extended_leases_live_on, released_messages_come_at_once,
    second_answers_harm_no_one,
};
pub use self::takers::{
    a_dropped_take_loses_nothing, a_put_wakes_a_waiting_take, a_return_wakes_a_waiting_take,
    an_empty_take_waits_its_time, at_least_once, exactly_once, takers_share_no_lease,
};
use crate::queue::Queue;

/// Messages in the checks that count them.
const MANY: u32 = 10_000;

/// Longest time of one check, beside the leases that it waits for.
const CHECK_TIME: Duration = Duration::from_secs(120);

/// Leases that one check may wait for.
const CHECK_LEASES: u32 = 100;

/// What a queue promises beyond the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// Messages come in the order of their storing, and one that comes again comes first.
    pub ordered: bool,
    /// A lease that is lost is answered so, and changes nothing for the message's next taker.
    pub exact_leases: bool,
    /// A `take` that finds nothing waits all of its time.
    pub patient: bool,
    /// Without a lost lease no message comes twice.
    pub exactly_once: bool,
    /// How late an answer or an expiry may be.
    pub slack: Duration,
}

impl Promises {
    /// All of them, to 10 ms: what the memory queue promises on a paused clock.
    pub const REFERENCE: Self = Self {
        ordered: true,
        exact_leases: true,
        patient: true,
        exactly_once: true,
        slack: Duration::from_millis(10),
    };

    /// None of them, and answers may be 5 s late: the least that podpool can work with.
    pub const LEAST: Self = Self {
        ordered: false,
        exact_leases: false,
        patient: false,
        exactly_once: false,
        slack: Duration::from_secs(5),
    };
}

/// Gives the names of the checks that take a queue and its promises to a macro: the one list of them.
macro_rules! each_check {
    ($macro:ident) => {
        $macro!(
            put_answers_for_each_message,
            oversized_messages_are_refused,
            take_keeps_to_its_max,
            big_and_empty_messages_arrive_whole,
            first_in_first_out,
            an_empty_take_waits_its_time,
            a_put_wakes_a_waiting_take,
            a_return_wakes_a_waiting_take,
            a_dropped_take_loses_nothing,
            takers_share_no_lease,
            dropped_deliveries_come_again,
            extended_leases_live_on,
            acknowledged_messages_never_come_again,
            second_answers_harm_no_one,
            expired_leases_harm_no_one,
            released_messages_come_at_once,
        )
    };
}

/// Runs every check, one after another, each on a queue that `fresh` makes. The queues must be empty, and used by no
/// other caller.
///
/// # Panics
/// When the queue breaks a promise, or a check does not end.
pub async fn all(fresh: impl AsyncFn() -> Arc<dyn Queue>, promises: Promises) {
    macro_rules! run {
        ($($check:ident),* $(,)?) => { $({
            let queue = fresh().await;
            bounded(stringify!($check), queue.as_ref(), $check(queue.as_ref(), promises)).await;
        })* };
    }
    each_check!(run);
    let queue = fresh().await;
    let check = exactly_once(&queue, MANY, promises);
    bounded("exactly_once", queue.as_ref(), check).await;
    let queue = fresh().await;
    let check = at_least_once(&queue, MANY);
    bounded("at_least_once", queue.as_ref(), check).await;
}

/// The same at once, for a queue on the real clock: most of a check's time is the wait for a lease to expire. The checks
/// that count messages use so many of them.
///
/// # Panics
/// When the queue breaks a promise, or a check does not end.
pub async fn all_at_once(
    fresh: impl AsyncFn() -> Arc<dyn Queue>,
    promises: Promises,
    messages: u32,
) {
    let mut checks: Vec<LocalBoxFuture<'static, ()>> = Vec::new();
    macro_rules! add {
        ($($check:ident),* $(,)?) => { $({
            let queue = fresh().await;
            checks.push(Box::pin(async move {
                let check = $check(queue.as_ref(), promises);
                bounded(stringify!($check), queue.as_ref(), check).await;
            }));
        })* };
    }
    each_check!(add);
    let queue = fresh().await;
    checks.push(Box::pin(async move {
        let check = exactly_once(&queue, messages, promises);
        bounded("exactly_once", queue.as_ref(), check).await;
    }));
    let queue = fresh().await;
    checks.push(Box::pin(async move {
        let check = at_least_once(&queue, messages);
        bounded("at_least_once", queue.as_ref(), check).await;
    }));
    join_all(checks).await;
}

/// Runs the checks that hold for a queue whose calls fail and whose messages repeat, are late or out of order:
/// each answer is of the right form, messages arrive whole, and every message arrives.
///
/// # Panics
/// When the queue breaks a promise, or a check does not end.
pub async fn under_faults(fresh: impl AsyncFn() -> Arc<dyn Queue>, messages: u32) {
    let queue = fresh().await;
    let check = delivery::answers_have_their_form(queue.as_ref());
    bounded("answers_have_their_form", queue.as_ref(), check).await;
    let queue = fresh().await;
    let check = big_and_empty_messages_arrive_whole(queue.as_ref(), Promises::LEAST);
    bounded("big_and_empty_messages_arrive_whole", queue.as_ref(), check).await;
    let queue = fresh().await;
    let check = at_least_once(&queue, messages);
    bounded("at_least_once", queue.as_ref(), check).await;
}

/// Ends a check that hangs.
async fn bounded(name: &str, queue: &dyn Queue, check: impl Future<Output = ()>) {
    let limit = CHECK_TIME + queue.limits().lease * CHECK_LEASES;
    if timeout(limit, check).await.is_err() {
        panic!("{name} did not end within {limit:?} on {queue:?}");
    }
}

#[cfg(test)]
mod tests;
