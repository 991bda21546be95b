//! How masters of a simulated run end, and how the next one begins.

use std::time::Duration;

use fastrand::Rng;

use crate::master::command::ShutdownBehavior;

/// How the life of a master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    /// It is killed at some time.
    Killed,
    /// It is killed when some transaction is stored, and before it learns that.
    KilledAfterStore,
    /// It is stopped, and goes on when another has the run.
    Stopped,
    /// Another takes the run, while this one works.
    TakenOver,
    /// It is shut down while tasks run.
    ShutDown,
    CancelPending,
    Abort,
    /// It ends when everything has ended.
    Last,
}

pub(super) const ALL: [Life; 8] = [
    Life::Killed,
    Life::KilledAfterStore,
    Life::Stopped,
    Life::TakenOver,
    Life::ShutDown,
    Life::CancelPending,
    Life::Abort,
    Life::Last,
];

impl Life {
    /// Mostly a kill.
    pub(super) fn random(rng: &mut Rng) -> Self {
        match rng.u8(..10) {
            0..3 => Self::Killed,
            3..6 => Self::KilledAfterStore,
            _ => ALL[rng.usize(..ALL.len() - 1)],
        }
    }

    pub(super) const fn behavior(self) -> ShutdownBehavior {
        match self {
            Self::CancelPending => ShutdownBehavior::CancelPending,
            Self::Abort => ShutdownBehavior::Abort,
            _ => ShutdownBehavior::WaitForTasks,
        }
    }

    /// How long it lasts, where its time is up at all. Calls are made in the first seconds.
    pub(super) fn time(rng: &mut Rng) -> Duration {
        let most = if rng.bool() { 1_500 } else { 9_000 };
        Duration::from_micros(rng.u64(100..most * 1_000))
    }
}
