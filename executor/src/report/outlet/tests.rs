//! Neither end waits for the other, and no item is out of order or uncounted.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::drain::AT_ONCE;
use super::*;

/// Longest time of any step here.
const LIMIT: Duration = Duration::from_secs(10);

/// Reports each item, and waits for a permit before it does.
struct Slow {
    told: Sender<u64>,
    leave: Receiver<()>,
    panics_at: Option<u64>,
}

impl Consumer<u64> for Slow {
    fn take(&mut self, items: &mut VecDeque<u64>) {
        while let Some(item) = items.pop_front() {
            // A dropped sender of permits ends the waits.
            self.leave.recv().ok();
            self.told.send(item).ok();
            assert_ne!(Some(item), self.panics_at, "a consumer with a bug");
        }
    }
}

/// Far above the numbers of items.
const GAP: u64 = 1_000_000;

fn slow(limit: usize) -> (Outlet<u64>, Receiver<u64>, Sender<()>) {
    slow_that_panics(limit, None)
}

fn slow_that_panics(
    limit: usize,
    panics_at: Option<u64>,
) -> (Outlet<u64>, Receiver<u64>, Sender<()>) {
    let ((told, heard), (give, leave)) = (channel(), channel());
    let consumer = Slow {
        told,
        leave,
        panics_at,
    };
    let outlet = Outlet::new("test-outlet", limit, |lost| GAP + lost, consumer);
    (outlet, heard, give)
}

fn hear(heard: &Receiver<u64>) -> u64 {
    heard.recv_timeout(LIMIT).expect("an item in time")
}

#[test]
fn items_come_out_in_order_and_the_thread_ends_after_the_last() {
    let (outlet, heard, give) = slow(usize::MAX);
    drop(give);
    let other = outlet.clone();
    for n in 0..1_000 {
        let end = if n % 2 == 0 { &outlet } else { &other };
        assert_eq!(end.push(1, n), Pushed::Kept);
    }
    drop((outlet, other));
    assert!(
        (0..1_000).eq(heard.iter()),
        "all, in order, and then the end"
    );
}

#[test]
fn a_full_buffer_drops_counts_and_marks_the_gap() {
    let (outlet, heard, give) = slow(100);
    // One item is in hand by then, and counts as long as it is.
    for n in 0..100 {
        assert_eq!(outlet.push(1, n), Pushed::Kept, "{n}");
    }
    assert_eq!(outlet.push(1, 100), Pushed::FirstDropped);
    for n in 101..150 {
        assert_eq!(outlet.push(1, n), Pushed::Dropped);
    }
    let full = Backlog {
        waiting: 100,
        dropped: 50,
    };
    assert_eq!(outlet.gauge().backlog(), full);
    (0..200).for_each(|_| give.send(()).unwrap());
    outlet.gauge().wait_until(Instant::now() + LIMIT);
    assert_eq!(outlet.push(1, 200), Pushed::Kept);
    drop((outlet, give));
    let expected = (0..100).chain([GAP + 50, 200]);
    assert!(expected.eq(heard.iter()));
}

#[test]
fn a_gap_is_marked_before_the_next_item_and_runs_of_items_follow_it() {
    let (outlet, heard, give) = slow(100);
    for n in 0..101 {
        outlet.push(1, n);
    }
    // The first ones are out, and its cost is given back.
    (0..AT_ONCE).for_each(|_| give.send(()).unwrap());
    let items = (0..AT_ONCE).fold(None, |_, _| Some(hear(&heard)));
    assert_eq!(items, Some(AT_ONCE as u64 - 1));
    // The cost of items is given back after the last of those that the thread took together, and how many these are
    // depends on when it began: each try lets one more item out.
    let end = Instant::now() + LIMIT;
    while outlet.push(1, 200) != Pushed::Kept {
        assert!(Instant::now() < end, "it never recovers");
        give.send(()).unwrap();
        thread::yield_now();
    }
    let dropped = outlet.gauge().backlog().dropped;
    drop((outlet, give));
    let rest: Vec<_> = heard.iter().collect();
    let expected = (AT_ONCE as u64..100).chain([GAP + dropped, 200]);
    assert!(expected.eq(rest), "{dropped} were dropped");
}

#[test]
fn one_item_always_fits_and_some_are_always_accepted() {
    let (outlet, _heard, _give) = slow(10);
    assert_eq!(outlet.push(1_000, 0), Pushed::Kept);
    assert_eq!(outlet.push(1, 1), Pushed::FirstDropped);
    outlet.push_always(1, 2);
    let backlog = outlet.gauge().backlog();
    assert_eq!(backlog.dropped, 1);
    assert_eq!(backlog.waiting, 3, "with the mark of the gap");
}

#[tokio::test]
async fn a_wait_ends_when_the_items_before_it_are_handed_over() {
    let (outlet, heard, give) = slow(usize::MAX);
    let gauge = outlet.gauge();
    gauge.emptied().await.expect("nothing was ever put in");
    outlet.push(1, 0);
    let mut emptied = gauge.emptied();
    outlet.push(1, 1);
    assert!(emptied.try_recv().is_err(), "nothing is out yet");
    let began = Instant::now();
    gauge.wait_until(began + Duration::from_millis(20));
    assert!(began.elapsed() >= Duration::from_millis(20));
    drop(give);
    let emptied = tokio::time::timeout(LIMIT, emptied).await;
    emptied.expect("in time").expect("by the thread");
    assert_eq!(hear(&heard), 0);
    gauge.wait_until(Instant::now() + LIMIT);
    assert_eq!(gauge.backlog(), Backlog::default());
}

#[test]
fn a_consumer_that_panics_goes_on_with_the_next_items() {
    let (outlet, heard, give) = slow_that_panics(usize::MAX, Some(0));
    outlet.push(1, 0);
    give.send(()).unwrap();
    assert_eq!(hear(&heard), 0);
    outlet.gauge().wait_until(Instant::now() + LIMIT);
    outlet.push(1, 1);
    give.send(()).unwrap();
    assert_eq!(hear(&heard), 1);
}

#[test]
fn the_outlets_own_thread_does_not_wait_for_itself() {
    struct Waits(Receiver<Gauge<u64>>, Sender<bool>);
    impl Consumer<u64> for Waits {
        fn take(&mut self, items: &mut VecDeque<u64>) {
            items.clear();
            let gauge = self.0.recv_timeout(LIMIT).expect("a gauge");
            let began = Instant::now();
            gauge.wait_until(began + LIMIT);
            let told = gauge.emptied().try_recv().is_ok();
            self.1.send(told && began.elapsed() < LIMIT).ok();
        }
    }
    let ((give, gauge), (told, heard)) = (channel(), channel());
    let outlet = Outlet::new("test-outlet", 10, |lost| lost, Waits(gauge, told));
    outlet.push(1, 0);
    give.send(outlet.gauge()).unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Ok(true));
}

#[test]
fn a_weak_gauge_does_not_keep_the_buffer() {
    let (outlet, _heard, _give) = slow(10);
    let gauge = outlet.gauge().downgrade();
    assert!(gauge.is_alive() && gauge.upgrade().is_some());
    drop(outlet);
    assert!(!gauge.is_alive() && gauge.upgrade().is_none());
}
