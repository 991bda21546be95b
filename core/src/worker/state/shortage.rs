//! A shortage of the system: slots that cannot be started for want of descriptors, processes or memory.
//!
//! A shortage may pass, so starts are tried again with growing delays. It is final only when for a minute no slot was
//! alive or starting.

use std::time::Duration;

use tokio::time::Instant;

use crate::instant::after;
use crate::slot::SlotId;

/// Delay before the next start; each is twice the one before.
// A process or descriptor that was just freed is there again within milliseconds, so the first try comes soon; doubling
// keeps the tries rare in a long shortage.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// Longest such delay: what was held by something short-lived is there again by then.
// A twelfth of `FINAL`: a dozen tries within the minute after which the worker gives up.
const LAST_DELAY: Duration = Duration::from_secs(5);
/// How long no slot may be alive or starting before the shortage counts as final.
const FINAL: Duration = Duration::from_secs(60);
/// A warning is repeated after this.
// A shortage that comes and goes must not fill the log; one that lasts is in it every ten minutes.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// What follows from a start that failed for a shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortfall {
    /// Another is tried after this.
    After {
        delay: Duration,
        /// Whether it is to be logged: it is new.
        say: bool,
    },
    /// It has lasted too long.
    Final,
}

/// Starts that failed for a shortage since one succeeded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shortage {
    /// The newest slot that could not be started; `None` while there is no shortage.
    failed: Option<SlotId>,
    delays: u32,
    due: Option<Instant>,
    /// Since when no slot is alive or starting, and when that was looked at last.
    nobody: Option<(Instant, Instant)>,
    said: Option<Instant>,
}

impl Shortage {
    /// Slot `id` could not be started. `alive` is true where another is alive or is starting.
    pub(super) fn failed(&mut self, now: Instant, id: SlotId, alive: bool) -> Shortfall {
        // The newest one: slots have growing numbers, and only one that was started after every failure proves that the
        // shortage is over.
        self.failed = self.failed.max(Some(id));
        if alive {
            self.nobody = None;
        } else {
            // While work waits a start is tried every few seconds; after a longer pause it counts anew.
            let recent = self
                .nobody
                .filter(|(_, last)| now <= after(*last, FINAL / 2));
            let since = recent.map_or(now, |(since, _)| since);
            self.nobody = Some((since, now));
            if now >= after(since, FINAL) {
                return Shortfall::Final;
            }
        }
        // Starts that fail together are one try.
        let due = self.due.filter(|due| *due > now).unwrap_or_else(|| {
            let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(self.delays));
            self.delays += 1;
            after(now, delay.min(LAST_DELAY))
        });
        self.due = Some(due);
        let say = self.said.is_none_or(|said| now >= after(said, SAY_AGAIN));
        if say {
            self.said = Some(now);
        }
        let delay = due - now;
        Shortfall::After { delay, say }
    }

    /// A slot is ready. One that was started before the shortage proves nothing.
    pub(super) fn succeeded(&mut self, id: SlotId) {
        if self.failed.is_some_and(|failed| failed < id) {
            *self = Self {
                // Kept over the end of a shortage, so that shortages that come and go are one warning.
                said: self.said,
                ..Self::default()
            };
        }
    }

    /// How many slots it lets start now, beside `starting` ones.
    pub(super) fn room(&self, now: Instant, starting: usize) -> usize {
        match (self.failed, self.due) {
            (None, _) => usize::MAX,
            (Some(_), Some(due)) if due > now => 0,
            // One at a time while it lasts: all at once would use up again what has just become free.
            (Some(_), _) => usize::from(starting == 0),
        }
    }

    /// When the next start may be tried, while it may not.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The delay is over. True once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}

#[cfg(test)]
mod tests;
