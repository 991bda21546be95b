//! Tests of slots that the system cannot start.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn later(delay: Duration, say: bool) -> Shortfall {
    Shortfall::After { delay, say }
}

#[test]
fn starts_are_tried_again_with_growing_delays_and_one_warning() {
    let mut now = Instant::now();
    let mut shortage = Shortage::default();
    assert_eq!(shortage.room(now, 7), usize::MAX);
    let mut say = true;
    for (n, ms) in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
        .into_iter()
        .enumerate()
    {
        let id = SlotId(u32::try_from(n).unwrap());
        assert_eq!(shortage.failed(now, id, true), later(ms * MS, say));
        say = false;
        assert_eq!(
            shortage.failed(now, id, true),
            later(ms * MS, false),
            "one try"
        );
        assert_eq!(shortage.room(now, 0), 0);
        now = shortage.due().unwrap();
        assert!(shortage.is_due(now) && !shortage.is_due(now));
        assert_eq!([0, 1].map(|starting| shortage.room(now, starting)), [1, 0]);
    }
    now += SAY_AGAIN;
    assert_eq!(
        shortage.failed(now, SlotId(9), true),
        later(5000 * MS, true)
    );
}

#[test]
fn only_a_slot_that_was_started_later_ends_a_shortage() {
    let now = Instant::now();
    let mut shortage = Shortage::default();
    shortage.failed(now, SlotId(5), true);
    shortage.succeeded(SlotId(4));
    assert!(shortage.failed.is_some());
    shortage.succeeded(SlotId(6));
    assert!(shortage.failed.is_none());
    assert_eq!((shortage.due(), shortage.room(now, 9)), (None, usize::MAX));
    assert_eq!(shortage.failed(now, SlotId(7), true), later(50 * MS, false));
}

#[test]
fn a_shortage_is_final_only_after_a_minute_without_a_slot() {
    let start = Instant::now();
    let mut shortage = Shortage::default();
    let failed = |shortage: &mut Shortage, seconds: u64, alive: bool| {
        shortage.failed(start + Duration::from_secs(seconds), SlotId(0), alive)
    };
    for second in 0..60 {
        assert_ne!(
            failed(&mut shortage, second, false),
            Shortfall::Final,
            "{second}"
        );
    }
    let mut with_another = shortage;
    assert_eq!(failed(&mut shortage, 60, false), Shortfall::Final);
    assert_ne!(failed(&mut with_another, 60, true), Shortfall::Final);
    for second in 61..121 {
        assert_ne!(
            failed(&mut with_another, second, false),
            Shortfall::Final,
            "{second}"
        );
    }
    let mut after_a_pause = with_another;
    assert_eq!(failed(&mut with_another, 121, false), Shortfall::Final);
    assert_ne!(failed(&mut after_a_pause, 1000, false), Shortfall::Final);
}
