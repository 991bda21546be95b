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
            "give `Builder::slot_memory` more than an idle slot takes",
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
mod tests;
