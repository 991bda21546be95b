//! Slots that end before they are ready: when to try again, and when no slot will ever start here.

use std::time::Duration;

use tokio::time::Instant;

use crate::instant::after;
use crate::outcome::{Cause, Failure};
use crate::slot::SlotId;

use super::shortage::{Shortage, Shortfall};
use super::slots::Ended;

/// Slots that may end in a row before any was ready; then the pool is broken, unless others are alive or starting.
// One death may be chance (a kill, a full disk for a moment), a third in a row hardly. With more, a program that can
// never start takes longer to be reported.
const MOST_IN_A_ROW: u32 = 3;
/// Delay before a slot is tried beside those that are alive, once so many ended.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// Longest such delay; each is twice the one before.
const LAST_DELAY: Duration = Duration::from_secs(30);

/// Why a slot was never ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartupFailure {
    /// Its process did not start or crashed: that may pass.
    Died,
    /// The initializer failed: it will fail in the next slot too.
    Refused,
    /// The system is short of something; it passes, or fewer slots must do.
    Short(SlotId),
    /// It was not ready in time. While none ever was, the next one is not expected to be.
    Late,
}

/// What follows from a slot that was never ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another may start at once.
    AtOnce,
    /// The slots that are alive go on; another is tried after this.
    After(Duration),
    /// The same, and it was logged before.
    Quietly(Duration),
    /// Nothing will start.
    Never,
}

/// The slots that ended in a row before any was ready.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Startups {
    failing_startups: u32,
    refused: u32,
    /// Delays since a slot was ready last.
    delays: u32,
    /// When the next slot may start.
    due: Option<Instant>,
    shortage: Shortage,
    /// Whether a slot of this worker was ever ready.
    proven: bool,
}

// Kinds of failure count apart: a shortage may pass, a death may be the slot's own, an initializer that fails fails in
// every slot alike.
impl Startups {
    /// A slot is ready: starting works.
    pub(super) fn succeeded(&mut self, id: SlotId) {
        let mut shortage = self.shortage;
        shortage.succeeded(id);
        *self = Self {
            shortage,
            proven: true,
            ..Self::default()
        };
    }

    /// A slot was never ready. `alive` is true where another is ready, or is starting.
    pub(super) fn failed(&mut self, now: Instant, why: StartupFailure, alive: bool) -> Next {
        if let StartupFailure::Short(id) = why {
            return match self.shortage.failed(now, id, alive) {
                Shortfall::After { delay, say: true } => Next::After(delay),
                Shortfall::After { delay, say: false } => Next::Quietly(delay),
                Shortfall::Final => Next::Never,
            };
        }
        self.failing_startups += 1;
        self.refused += u32::from(why == StartupFailure::Refused);
        if why == StartupFailure::Late && !self.proven {
            // Each try takes a whole start timeout, and there is no reason to expect another end of the next one.
            self.failing_startups = self.failing_startups.max(MOST_IN_A_ROW);
        }
        if self.refused >= MOST_IN_A_ROW || (self.failing_startups >= MOST_IN_A_ROW && !alive) {
            return Next::Never;
        }
        if self.failing_startups < MOST_IN_A_ROW {
            return Next::AtOnce;
        }
        // Slots that were started together and ended together are one try.
        let due = self.due.filter(|due| *due > now).unwrap_or_else(|| {
            let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(self.delays));
            self.delays += 1;
            after(now, delay.min(LAST_DELAY))
        });
        self.due = Some(due);
        Next::After(due - now)
    }

    /// How many slots may start now, beside `starting` ones. Without a slot that is alive nothing is gained by waiting.
    pub(super) fn room(&self, now: Instant, starting: usize, alive: bool) -> usize {
        let room = self.shortage.room(now, starting);
        if self.failing_startups < MOST_IN_A_ROW {
            return room;
        }
        // Without a slot that is alive nothing runs at all, so no delay is kept.
        let waits = alive && self.due.is_some_and(|due| due > now);
        room.min(usize::from(starting == 0 && !waits))
    }

    /// When the next slot may start, while it may not.
    pub(super) fn due(&self) -> Option<Instant> {
        let dues = [self.due, self.shortage.due()];
        dues.into_iter().flatten().min()
    }

    /// Whether slots that are missing cannot be had at present. Once the delay is over the worker takes work for one
    /// more slot: only with work a start is tried.
    pub(super) const fn are_held_up(&self) -> bool {
        self.due.is_some() || self.shortage.due().is_some()
    }

    /// A delay is over. True once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let died = self.due.take_if(|due| *due <= now).is_some();
        // Both deadlines are taken in any case (`died` is computed above): a deadline that stays set would wake the
        // loop at once for ever.
        self.shortage.is_due(now) || died
    }
}

/// Lines of what a slot printed that its failure's message shows; the failure itself keeps more.
// The message is one line: with 1,500 characters of output at most, the advice behind them stays in sight.
const SHOWN_LINES: usize = 5;
/// Characters of each.
const SHOWN_LINE: usize = 300;

/// Why a slot was never ready, as a text: how it ended, or that it was `late` by this timeout, what it printed last,
/// and what to do.
pub(super) fn reason(ended: Ended, late: Option<Duration>) -> Failure {
    let exit = ended.exit;
    let printed = printed(&ended.tail);
    let (cause, what) = match late {
        Some(limit) => (
            Cause::TimedOut,
            format!("a slot was not ready within the start_timeout of {limit:?} and was killed"),
        ),
        None => (
            Cause::Broken,
            format!("a slot ended before it was ready: {exit}"),
        ),
    };
    let advice = match (late.is_some(), ended.reached_init) {
        (true, true) => {
            "the initializer did not end; Builder::start_timeout gives a slow one more time"
        }
        (true, false) => {
            "the slot did not reach podpool::init(); make that call (or #[podpool::main]) the first of main, before anything that reads standard input or waits; Builder::start_timeout gives a slow start more time"
        }
        (false, true) => "it ended after podpool::init(), while its initializer ran or before",
        (false, false) => {
            "the slot did not reach podpool::init(); what main does before that call must work in a slot too"
        }
    };
    let (what, advice) = match ended.peak_rss.filter(|_| ended.out_of_memory.is_some()) {
        Some(peak) => (
            format!("a slot passed its memory limit before it was ready, at {peak} bytes ({exit})"),
            "give `memory` more than an idle slot takes",
        ),
        None => (what, advice),
    };
    Failure {
        exit: Some(exit),
        peak_rss: ended.peak_rss,
        output: ended.tail,
        ..Failure::new(cause, format!("{what}; {printed}; {advice}"))
    }
}

/// The last lines, for a message.
fn printed(tail: &[String]) -> String {
    if tail.is_empty() {
        return "it printed nothing".to_owned();
    }
    let from = tail.len().saturating_sub(SHOWN_LINES);
    let line = |line: &String| -> String { line.chars().take(SHOWN_LINE).collect() };
    let lines: Vec<_> = tail[from..].iter().map(line).collect();
    format!("it printed last: {}", lines.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Exit, Ran};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_failed_starts_in_a_row_are_final_only_without_a_slot_that_is_alive() {
        let now = Instant::now();
        for (alive, end) in [(false, Next::Never), (true, Next::After(SECOND))] {
            let mut startups = Startups::default();
            assert_eq!(
                startups.failed(now, StartupFailure::Died, alive),
                Next::AtOnce
            );
            assert_eq!(
                startups.failed(now, StartupFailure::Died, alive),
                Next::AtOnce
            );
            assert_eq!(startups.room(now, 1, alive), usize::MAX);
            assert_eq!(startups.failed(now, StartupFailure::Died, alive), end);
        }
    }

    #[test]
    fn a_shortage_is_no_death_and_ends_with_a_slot_that_was_started_later() {
        let now = Instant::now();
        let mut startups = Startups::default();
        let short = |id| StartupFailure::Short(SlotId(id));
        let delay = Duration::from_millis(50);
        assert_eq!(startups.failed(now, short(3), false), Next::After(delay));
        for id in 4..40 {
            assert_eq!(startups.failed(now, short(id), false), Next::Quietly(delay));
        }
        assert!(startups.are_held_up());
        assert_eq!(startups.room(now, 0, false), 0);
        let now = startups.due().unwrap();
        assert!(startups.is_due(now) && !startups.is_due(now));
        assert_eq!(
            [0, 1].map(|starting| startups.room(now, starting, true)),
            [1, 0]
        );
        assert!(!startups.are_held_up(), "work is wanted for one more try");
        startups.succeeded(SlotId(2));
        assert_eq!(startups.room(now, 1, true), 0, "it was started before");
        assert_eq!(
            startups.failed(now, StartupFailure::Died, false),
            Next::AtOnce
        );
        startups.succeeded(SlotId(40));
        assert_eq!(startups.room(now, 9, false), usize::MAX);
    }

    #[test]
    fn a_late_start_is_final_where_no_slot_was_ever_ready() {
        let now = Instant::now();
        let mut startups = Startups::default();
        let late = startups.failed(now, StartupFailure::Late, true);
        assert_eq!(late, Next::After(SECOND), "another may still come");
        assert_eq!(
            startups.failed(now, StartupFailure::Late, false),
            Next::Never
        );
        startups.succeeded(SlotId(1));
        for _ in 0..2 {
            assert_eq!(
                startups.failed(now, StartupFailure::Late, false),
                Next::AtOnce
            );
        }
        assert_eq!(
            startups.failed(now, StartupFailure::Late, false),
            Next::Never
        );
    }

    #[test]
    fn a_reason_shows_what_was_printed_and_what_to_do() {
        let ended = |tail: &[&str], reached_init| Ended {
            exit: Exit::Code(127),
            running: None,
            ran: Ran::default(),
            tail: tail.iter().map(ToString::to_string).collect(),
            peak_rss: None,
            out_of_memory: None,
            reached_init,
        };
        let lines: Vec<_> = (0..9).map(|n| format!("line {n}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let failure = reason(ended(&lines, false), None);
        assert_eq!(failure.cause, Cause::Broken);
        assert_eq!(failure.output.len(), 9);
        for part in [
            "exit code 127",
            "line 4 | line 5",
            "line 8",
            "podpool::init()",
        ] {
            assert!(failure.message.contains(part), "{failure}");
        }
        assert!(!failure.message.contains("line 3"), "{failure}");
        let silent = reason(ended(&[], true), Some(20 * SECOND));
        for part in ["20s", "printed nothing", "initializer", "start_timeout"] {
            assert!(silent.message.contains(part), "{silent}");
        }
    }

    #[test]
    fn an_initializer_that_fails_three_times_is_final_whatever_slots_are_alive() {
        let now = Instant::now();
        let mut startups = Startups::default();
        startups.failed(now, StartupFailure::Refused, true);
        startups.failed(now, StartupFailure::Refused, true);
        startups.succeeded(SlotId(9));
        startups.failed(now, StartupFailure::Refused, true);
        startups.failed(now, StartupFailure::Died, true);
        let third = startups.failed(now, StartupFailure::Refused, true);
        assert_eq!(third, Next::After(SECOND), "two of three refused");
        assert_eq!(
            startups.failed(now, StartupFailure::Refused, true),
            Next::Never
        );
    }

    #[test]
    fn delays_double_up_to_half_a_minute_and_one_slot_is_tried_at_a_time() {
        let mut now = Instant::now();
        let mut startups = Startups::default();
        startups.failed(now, StartupFailure::Died, true);
        startups.failed(now, StartupFailure::Died, true);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let delay = Next::After(seconds * SECOND);
            assert_eq!(startups.failed(now, StartupFailure::Died, true), delay);
            let together = startups.failed(now, StartupFailure::Died, true);
            assert_eq!(together, delay, "those that die together are one try");
            assert_eq!(startups.room(now, 0, true), 0);
            assert_eq!(startups.room(now, 0, false), 1, "no other slot would work");
            now = startups.due().unwrap();
            assert!(startups.is_due(now) && !startups.is_due(now));
            assert_eq!(
                [0, 1].map(|starting| startups.room(now, starting, true)),
                [1, 0]
            );
        }
        startups.succeeded(SlotId(9));
        assert_eq!(startups.due(), None);
        assert_eq!(
            startups.failed(now, StartupFailure::Died, true),
            Next::AtOnce
        );
    }
}
