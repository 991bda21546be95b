//! How masters of a simulated run end, and how the next one begins.

use std::time::Duration;

use fastrand::Rng;

use crate::master::command::ShutdownBehavior;

/// What becomes of queues and workers when a master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They end with it. The next master runs what has not ended as tasks of its own.
    OneMachine,
    /// They go on, and the next master takes in what has not ended.
    Cluster,
}

impl Kind {
    pub(super) fn random(rng: &mut Rng) -> Self {
        if rng.bool() {
            Self::Cluster
        } else {
            Self::OneMachine
        }
    }

    /// How a master ends: mostly by a kill.
    pub(super) fn life(self, rng: &mut Rng) -> Life {
        match rng.u8(..10) {
            0..3 => Life::Killed,
            3..6 => Life::KilledAfterStore,
            6 if self == Self::Cluster => Life::Detached,
            _ => Life::ALL[rng.usize(..6)],
        }
    }
}

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
    /// It leaves its tasks to the workers and to a later master.
    Detached,
    /// It ends when everything has ended.
    Last,
}

impl Life {
    pub(super) const ALL: [Self; 9] = [
        Self::Killed,
        Self::Stopped,
        Self::TakenOver,
        Self::ShutDown,
        Self::CancelPending,
        Self::Abort,
        Self::KilledAfterStore,
        Self::Detached,
        Self::Last,
    ];

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
