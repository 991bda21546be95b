//! A pool at some distance, on a virtual clock: calls travel, wait for a slot, run, and their results travel back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::master::measured::{Pace, Trip};

use super::{Seen, Window};

/// The properties of a map and its pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pipe {
    /// From the map to a slot; the same back.
    pub(super) way: Duration,
    pub(super) work: Duration,
    pub(super) slots: usize,
    /// Slots that are there from the beginning, maybe none; the others start later.
    pub(super) early: usize,
    /// When the others start.
    pub(super) late: Duration,
    /// The time that the program spends on each result.
    pub(super) consumes: Duration,
    pub(super) result_bytes: usize,
}

/// The outcome of a map.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Went {
    pub(super) took: Duration,
    /// Most calls under way.
    pub(super) most: usize,
    /// Rounds after which the window was larger.
    pub(super) growths: usize,
    /// Times that the window became larger by.
    pub(super) steepest: f64,
}

/// A call that was submitted.
#[derive(Clone, Copy, Debug)]
struct Sent {
    submitted: Duration,
    /// When its slot is done with it.
    done: Duration,
    /// Whether its slot was there when it was submitted.
    met: bool,
}

impl Pipe {
    pub(super) fn near(slots: usize, work: Duration) -> Self {
        Self {
            way: Duration::from_micros(50),
            work,
            slots,
            early: slots,
            late: Duration::ZERO,
            consumes: Duration::ZERO,
            result_bytes: 8,
        }
    }

    pub(super) fn far(slots: usize, work: Duration) -> Self {
        Self {
            way: Duration::from_millis(50),
            ..Self::near(slots, work)
        }
    }

    /// The time of `calls` if every slot always had one, the way there and back included.
    pub(super) fn ideal(&self, calls: usize) -> Duration {
        self.work.mul_f64(calls as f64 / self.slots as f64) + 2 * self.way
    }

    /// Calls under way that keep every slot busy, if their results come evenly.
    pub(super) fn needed(&self) -> usize {
        let round = 2 * self.way + self.work;
        let needed = self.slots as f64 * round.as_secs_f64() / self.work.as_secs_f64();
        needed.ceil() as usize
    }

    /// Maps so many calls in a growing window.
    pub(super) fn map(&self, calls: usize) -> Went {
        Run::new(*self).map(calls)
    }
}

struct Run {
    pipe: Pipe,
    start: Instant,
    clock: Duration,
    /// When each slot is free.
    free: Vec<Duration>,
    flight: VecDeque<Sent>,
    /// Ends of work that have not been reported to the executor yet.
    unheard: VecDeque<Duration>,
    worked: Duration,
    trip: Trip,
    window: Window,
    went: Went,
}

impl Run {
    fn new(pipe: Pipe) -> Self {
        let slot = |n| {
            if n < pipe.early {
                Duration::ZERO
            } else {
                pipe.late
            }
        };
        Self {
            pipe,
            start: Instant::now(),
            clock: Duration::ZERO,
            free: (0..pipe.slots).map(slot).collect(),
            flight: VecDeque::new(),
            unheard: VecDeque::new(),
            worked: Duration::ZERO,
            trip: Trip::default(),
            window: Window::growing(pipe.slots),
            went: Went::default(),
        }
    }

    fn map(mut self, calls: usize) -> Went {
        let mut left = calls;
        for _ in 0..calls {
            left -= self.refill(left);
            let Some(first) = self.flight.pop_front() else {
                panic!("nothing is under way, and {left} calls are left");
            };
            let settled = first.done + self.pipe.way;
            self.clock = self.clock.max(settled) + self.pipe.consumes;
            if first.met {
                self.trip.note(settled - first.submitted - self.pipe.work);
            }
            self.window.deliver(self.pipe.result_bytes);
        }
        self.went.took = self.clock;
        self.went
    }

    fn refill(&mut self, left: usize) -> usize {
        if self.window.is_due() {
            self.judge();
        }
        let before = self.flight.len();
        if self.window.wants_refill(before) {
            while self.flight.len() - before < left && self.window.has_room(self.flight.len(), 0) {
                self.submit();
            }
            self.window.refilled(self.flight.len());
        }
        self.went.most = self.went.most.max(self.flight.len());
        self.flight.len() - before
    }

    fn judge(&mut self) {
        while self.unheard.front().is_some_and(|at| *at <= self.clock) {
            self.unheard.pop_front();
            self.worked += self.pipe.work;
        }
        let before = self.window.limit;
        let late = self.clock >= self.pipe.late;
        self.window.judge(&Seen {
            now: self.start + self.clock,
            work: (!self.worked.is_zero()).then_some(self.pipe.work),
            pace: Pace {
                stored: 0,
                slots: if late {
                    self.pipe.slots
                } else {
                    self.pipe.early
                },
                worked: self.worked,
                trip: self.trip.mean(),
            },
        });
        let growth = self.window.limit as f64 / before as f64;
        self.went.steepest = self.went.steepest.max(growth);
        self.went.growths += usize::from(growth > 1.0);
    }

    fn submit(&mut self) {
        let arrives = self.clock + self.pipe.way;
        let slots = self.free.iter_mut().enumerate();
        let Some((slot, free)) = slots.min_by_key(|(_, free)| **free) else {
            panic!("a pool without slots");
        };
        let done = (*free).max(arrives) + self.pipe.work;
        *free = done;
        self.flight.push_back(Sent {
            submitted: self.clock,
            done,
            met: slot < self.pipe.early || self.clock >= self.pipe.late,
        });
        self.unheard.push_back(done + self.pipe.way);
    }
}
