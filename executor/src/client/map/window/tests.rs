//! Tests of the window, by itself and on pools at several distances.

use super::pipe::Pipe;
use super::*;

const MS: Duration = Duration::from_millis(1);
const US: Duration = Duration::from_micros(1);

/// The measurements of a pool without distance, at a time after `start`.
fn seen(start: Instant, after: Duration, work: Option<Duration>) -> Seen {
    Seen {
        now: start + after,
        work,
        pace: Pace::default(),
    }
}

/// The limit of a window for two slots, of which nothing but the time of a task is known.
fn grown(work: Option<Duration>) -> usize {
    let mut window = Window::growing(2);
    let start = Instant::now();
    for n in 0..100_000 {
        if window.is_due() {
            window.judge(&seen(start, n * US, work));
        }
        window.deliver(8);
    }
    window.limit
}

#[test]
fn a_window_starts_at_four_calls_a_slot_and_doubles_for_short_tasks_only() {
    assert_eq!(Window::growing(2).limit, 8);
    assert_eq!(Window::growing(0).limit, 4);
    assert_eq!(grown(None), 8);
    assert_eq!(grown(Some(US)), MOST_SHORT);
    assert_eq!(grown(Some(13 * US)), 2048);
    assert_eq!(grown(Some(MS)), 32);
    assert_eq!(grown(Some(1000 * MS)), 8);
    assert_eq!(Window::growing(10_000).limit, 40_000);
}

#[test]
fn a_window_grows_for_stored_results_and_begins_anew_when_something_runs() {
    let mut window = Window::growing(2);
    let start = Instant::now();
    let mut stored = 0;
    let judge = |window: &mut Window, stored| {
        if window.is_due() {
            let mut seen = seen(start, MS, None);
            seen.pace.stored = stored;
            window.judge(&seen);
        }
    };
    for _ in 0..100_000 {
        judge(&mut window, stored);
        window.deliver(8);
        stored += 1;
    }
    assert_eq!(window.limit, MOST_SHORT);
    for _ in 0..2 * MOST_SHORT {
        judge(&mut window, stored);
        window.deliver(8);
    }
    assert_eq!(window.limit, 8, "how long the others take is not known");
}

/// A round of a window of 16 calls for 4 slots, over a way of 100 ms.
struct Round {
    took: Duration,
    work: Duration,
    trip: Option<Duration>,
    /// Slots that worked, of 4.
    busy: f64,
    filled: bool,
    delivered: usize,
}

impl Round {
    const FAR: Self = Self {
        took: Duration::from_millis(105),
        work: Duration::from_millis(5),
        trip: Some(Duration::from_millis(100)),
        busy: 0.5,
        filled: true,
        delivered: 16,
    };

    fn judged(&self) -> Window {
        let mut window = Window::growing(4);
        let start = Instant::now();
        window.judge(&seen(start, Duration::ZERO, None));
        if self.filled {
            window.refilled(16);
        }
        (0..self.delivered).for_each(|_| window.deliver(8));
        assert!(window.is_due());
        let pace = Pace {
            slots: 4,
            worked: self.took.mul_f64(4.0 * self.busy),
            trip: self.trip,
            stored: 0,
        };
        window.judge(&Seen {
            pace,
            ..seen(start, self.took, Some(self.work))
        });
        window
    }

    fn limit(&self) -> usize {
        self.judged().limit
    }
}

#[test]
fn idle_slots_far_away_widen_the_window_to_four_times_their_need() {
    assert_eq!(Round::FAR.limit(), 128, "eightfold at most");
    let long = Round {
        work: 50 * MS,
        took: 150 * MS,
        ..Round::FAR
    };
    assert!((47..=48).contains(&long.limit()));
    let busy = Round {
        busy: 0.9,
        ..Round::FAR
    };
    assert_eq!(busy.limit(), 16, "the slots have enough calls");
    let unknown = Round {
        trip: None,
        ..Round::FAR
    };
    assert_eq!(unknown.limit(), 16);
}

#[test]
fn littles_law_with_headroom() {
    assert_eq!(wanted(4, 125 * MS, 5 * MS), 400);
    assert_eq!(wanted(1, MS, MS), 4);
    assert!(wanted(4, MS, Duration::ZERO) > MOST_CALLS);
}

#[test]
fn a_window_does_not_grow_where_its_size_is_not_the_limit() {
    let unfilled = Round {
        filled: false,
        ..Round::FAR
    };
    assert_eq!(unfilled.limit(), 16, "inputs come slowly");
    let slow = Round {
        took: 316 * MS,
        ..Round::FAR
    };
    assert_eq!(slow.limit(), 16, "results are taken slowly");
    let queue = Round {
        took: 1001 * MS,
        trip: Some(900 * MS),
        ..Round::FAR
    };
    assert_eq!(queue.limit(), 16, "a second is no way");
    let more = Round {
        took: 420 * MS,
        delivered: 64,
        ..Round::FAR
    };
    assert_eq!(more.limit(), 128, "four rounds at once");
}

#[test]
fn a_round_shorter_than_a_round_trip_goes_on() {
    let early = Round {
        took: 104 * MS,
        ..Round::FAR
    }
    .judged();
    assert_eq!((early.limit, early.is_due()), (16, false));
    assert!(early.began.is_some_and(|(_, before, _)| before.is_zero()));
    assert_eq!(early.delivered, 14, "it is looked at again soon");
    assert!(early.filled);
    let short = Round {
        took: 99 * MS,
        work: US,
        ..Round::FAR
    }
    .judged();
    assert_eq!(
        (short.limit, short.delivered),
        (32, 0),
        "short tasks need no round trip"
    );
}

#[test]
fn a_round_that_begins_with_a_smaller_window_does_not_widen_it_too_far() {
    let mut window = Round::FAR.judged();
    let round = |window: &mut Window, after: Duration, took: Duration| {
        let (began, before, _) = window.began.unwrap();
        window.refilled(window.limit);
        (0..window.limit).for_each(|_| window.deliver(8));
        window.judge(&Seen {
            now: began + took,
            work: Some(5 * MS),
            pace: Pace {
                slots: 4,
                worked: before + after,
                trip: Some(100 * MS),
                stored: 0,
            },
        });
        window.limit
    };
    assert_eq!(
        round(&mut window, MS, 250 * MS),
        504,
        "half more than 105 ms"
    );
    assert_eq!(
        round(&mut window, MS, 250 * MS),
        756,
        "the way is longer now"
    );
    assert_eq!(
        round(&mut window, 1000 * MS, 250 * MS),
        756,
        "the slots are busy"
    );
}

#[test]
fn bytes_bound_only_the_calls_past_the_start() {
    let mut window = Window {
        limit: 1000,
        ..Window::growing(2)
    };
    assert!(window.has_room(7, usize::MAX));
    assert!(window.has_room(999, 0) && !window.has_room(1000, 0));
    assert!(window.has_room(8, MOST_BYTES - 8 * CALL_BYTES - 1));
    assert!(!window.has_room(8, MOST_BYTES - 8 * CALL_BYTES));
    window.deliver(1 << 20);
    assert!(
        window.has_room(31, 0) && !window.has_room(32, 0),
        "results wait too"
    );
    (0..2000).for_each(|_| window.deliver(8));
    assert!(window.has_room(999, 0), "they are small again");
}

#[test]
fn an_exact_window_never_grows_and_never_waits() {
    let mut window = Window::exact(1000);
    (0..5000).for_each(|_| window.deliver(1 << 30));
    assert!(!window.is_due());
    assert!(window.has_room(999, usize::MAX) && !window.has_room(1000, 0));
    assert!(window.wants_refill(999) && !window.wants_refill(1000));
    assert_eq!(Window::exact(0).limit, 1);
}

#[test]
fn a_grown_window_is_refilled_in_batches() {
    let window = Window {
        limit: 800,
        ..Window::growing(2)
    };
    assert!(!window.wants_refill(701) && window.wants_refill(700));
    assert!(Window::growing(2).wants_refill(7));
}

/// The part of the slots' time that is worked in so many calls.
fn share(pipe: &Pipe, calls: usize, took: Duration) -> f64 {
    pipe.work.as_secs_f64() * calls as f64 / pipe.slots as f64 / took.as_secs_f64()
}

/// Times of tasks, and how many of them four slots take some seconds for.
const RUNS: [(Duration, usize); 4] = [
    (Duration::from_micros(20), 600_000),
    (MS, 8000),
    (Duration::from_millis(5), 4000),
    (Duration::from_millis(50), 400),
];

#[test]
fn four_slots_far_away_are_kept_busy() {
    for (work, calls) in RUNS {
        let pipe = Pipe::far(4, work);
        let went = pipe.map(calls);
        let share = share(&pipe, calls, went.took);
        assert!(share >= 0.85, "{work:?}: {share}, {went:?}");
        assert!(went.most <= 9 * pipe.needed(), "{work:?}: {went:?}");
    }
}

#[test]
fn slots_that_start_after_the_map_are_kept_busy_at_once() {
    for (work, calls) in RUNS {
        let pipe = Pipe {
            early: 0,
            late: Duration::from_secs(30),
            ..Pipe::far(4, work)
        };
        let went = pipe.map(calls);
        let share = share(&pipe, calls, went.took - pipe.late);
        assert!(share >= 0.85, "{work:?}: {share}, {went:?}");
    }
}

#[test]
fn tasks_without_work_fill_the_bytes_of_a_window_and_no_more() {
    let pipe = Pipe::far(4, US);
    let went = pipe.map(500_000);
    let most = MOST_BYTES / (CALL_BYTES + pipe.result_bytes) + 1;
    assert!(went.most <= most, "{went:?}");
    let speed = 500e3 / went.took.as_secs_f64();
    assert!(speed >= 300e3, "{speed} a second, {went:?}");
}

#[test]
fn a_program_that_takes_results_slowly_widens_the_window_once() {
    for calls in [1000, 8000] {
        let pipe = Pipe {
            consumes: 5 * MS,
            ..Pipe::far(4, MS)
        };
        let went = pipe.map(calls);
        // The first result shows the way, and not the program. Its 200 results a second keep 20 calls on the way.
        assert!(went.most <= FIRST_GROWTH * 16, "{went:?}");
        assert!(went.growths <= 1, "{went:?}");
        let longest = pipe.consumes * calls as u32 + 3 * pipe.way;
        assert!(went.took <= longest, "{went:?}");
    }
}

#[test]
fn late_slots_widen_the_window_when_they_start() {
    let alone = Pipe {
        early: 1,
        late: Duration::from_secs(60),
        ..Pipe::far(8, 5 * MS)
    };
    let before = alone.map(4000);
    assert!(before.most <= 128, "{before:?}");
    let joined = Pipe {
        late: Duration::from_secs(2),
        ..alone
    };
    let after = joined.map(8000);
    assert!(after.most > before.most, "{after:?}");
    let ideal = joined.late + joined.ideal(8000 - 400);
    assert!(
        ideal.as_secs_f64() / after.took.as_secs_f64() > 0.85,
        "{after:?}"
    );
}

#[test]
fn large_results_bound_the_window() {
    let pipe = Pipe {
        result_bytes: 1 << 20,
        ..Pipe::far(4, MS)
    };
    assert!(pipe.map(4000).most <= 32);
}

/// Slots at any distance, early or late, are kept busy, with not many more calls under way than that takes.
#[test]
fn any_slots_are_kept_busy_with_few_calls_too_many() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let slots = random.usize(1..32);
        let work = random.u32(1_000..50_000);
        let late = random.bool().then(|| random.u32(1..500));
        let pipe = Pipe {
            way: random.u32(10..100_000) * US,
            early: slots.div_ceil(2),
            late: late.unwrap_or(0) * MS,
            ..Pipe::near(slots, work * US)
        };
        let needed = pipe.needed();
        let calls = 3000 + 8 * needed;
        let went = pipe.map(calls);
        let told = || format!("seed {seed}, {pipe:?}, needed {needed}: {went:?}");
        let anyway = (50_000 / work as usize).max(4 * slots);
        let times = if late.is_some() { 16 } else { 12 };
        assert!(went.most <= times * needed.max(anyway), "{}", told());
        assert!(went.steepest <= FIRST_GROWTH as f64, "{}", told());
        let trips = 6 * (2 * pipe.way + pipe.work);
        let longest = pipe.ideal(calls).mul_f64(1.0 / BUSY) + pipe.late + trips;
        assert!(went.took <= longest, "{}", told());
    }
}
