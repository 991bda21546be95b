//! Which faults a [`Faulty`](super::Faulty) queue has, and how many it caused.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Probabilities from 0 (never) to 1 (always), and the seed that they are rolled from.
///
/// [`Faults::none`] has none of them; set the fields that a test is about. [`Faults::chaos`] has all that a correct
/// program must withstand.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// Where the random numbers begin.
    pub seed: u64,
    /// A message is stored twice.
    pub duplicate: f64,
    /// A message is leased but never given to the taker; it comes again when that lease expires.
    pub drop: f64,
    /// A message goes behind all others instead of to the taker; at most once in a `take`.
    pub reorder: f64,
    /// A delivery is held back for [`delay_for`](Self::delay_for) while its lease runs.
    pub delay: f64,
    /// How long, evenly spread. Past the lease's end the taker gets a lease that is lost already.
    pub delay_for: RangeInclusive<Duration>,
    /// An `ack` is answered `Ok` but not carried out: its messages come again.
    pub ignored_ack: f64,
    /// One message of a `put` is refused, the others are not.
    pub partial_put: f64,
    /// A message is removed for good before the taker receives it. This breaks the contract of a queue.
    pub lose: f64,
    /// Failing calls of `put`.
    pub put: CallFaults,
    /// Failing calls of `take`. Unanswered, the messages stay leased until their leases expire.
    pub take: CallFaults,
    /// Failing calls of `extend`.
    pub extend: CallFaults,
    /// Failing calls of `ack`.
    pub ack: CallFaults,
    /// Failing calls of `release`.
    pub release: CallFaults,
}

/// How calls of one verb fail, always with [`QueueError::Unavailable`](crate::queue::QueueError::Unavailable).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallFaults {
    /// The call is not carried out.
    pub refused: f64,
    /// The call is carried out, and the answer is lost.
    pub unanswered: f64,
}

impl CallFaults {
    /// Calls never fail.
    pub const NONE: Self = Self {
        refused: 0.0,
        unanswered: 0.0,
    };

    /// One call in twenty fails, half of them after they were carried out.
    const SOME: Self = Self {
        refused: 0.025,
        unanswered: 0.025,
    };
}

impl Faults {
    /// No faults at all.
    #[must_use]
    pub const fn none(seed: u64) -> Self {
        Self {
            seed,
            duplicate: 0.0,
            drop: 0.0,
            reorder: 0.0,
            delay: 0.0,
            delay_for: Duration::ZERO..=Duration::ZERO,
            ignored_ack: 0.0,
            partial_put: 0.0,
            lose: 0.0,
            put: CallFaults::NONE,
            take: CallFaults::NONE,
            extend: CallFaults::NONE,
            ack: CallFaults::NONE,
            release: CallFaults::NONE,
        }
    }

    /// Every fault but [`lose`](Self::lose): each now and then, delays of 1 to 200 ms.
    #[must_use]
    pub const fn chaos(seed: u64) -> Self {
        Self {
            seed,
            duplicate: 0.05,
            drop: 0.05,
            reorder: 0.1,
            delay: 0.1,
            delay_for: Duration::from_millis(1)..=Duration::from_millis(200),
            ignored_ack: 0.05,
            partial_put: 0.05,
            lose: 0.0,
            put: CallFaults::SOME,
            take: CallFaults::SOME,
            extend: CallFaults::SOME,
            ack: CallFaults::SOME,
            release: CallFaults::SOME,
        }
    }
}

/// How often a [`Faulty`](super::Faulty) queue did what; messages, unless calls are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Stored twice.
    pub duplicated: u64,
    /// Leased and never delivered.
    pub dropped: u64,
    /// Sent behind all others.
    pub reordered: u64,
    /// Held back.
    pub delayed: u64,
    /// Calls of `ack` that were answered `Ok` and not carried out.
    pub ignored_acks: u64,
    /// Refused alone, out of a `put` that was carried out.
    pub partial_puts: u64,
    /// Removed before a taker received it.
    pub lost: u64,
    /// Calls of any verb that were not carried out.
    pub refused: u64,
    /// Calls of any verb that were carried out without an answer.
    pub unanswered: u64,
}
