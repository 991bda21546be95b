//! What the tasks of a simulation do.

use fastrand::Rng;

use crate::error::TaskErrorKind;

/// What a task does, as its arguments say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Script {
    Quick,
    Slow,
    FailsOnce,
    Fails,
    CrashesOnce,
    Crashes,
    HangsOnce,
    Hangs,
}

impl Script {
    const ALL: [Self; 8] = [
        Self::Quick,
        Self::Slow,
        Self::FailsOnce,
        Self::Fails,
        Self::CrashesOnce,
        Self::Crashes,
        Self::HangsOnce,
        Self::Hangs,
    ];

    /// Mostly harmless.
    pub(super) fn random(rng: &mut Rng) -> Self {
        if rng.u8(..10) < 8 {
            return Self::ALL[rng.usize(..2)];
        }
        Self::ALL[rng.usize(..Self::ALL.len())]
    }

    pub(super) fn of(arguments: &[u8]) -> Self {
        Self::ALL[usize::from(arguments[0])]
    }

    /// How its task ends when nobody cancels it; `None` is a result.
    pub(super) const fn end(self) -> Option<TaskErrorKind> {
        match self {
            Self::Quick | Self::Slow | Self::FailsOnce | Self::CrashesOnce | Self::HangsOnce => {
                None
            }
            Self::Fails => Some(TaskErrorKind::Failed),
            Self::Crashes => Some(TaskErrorKind::Crashed),
            Self::Hangs => Some(TaskErrorKind::TimedOut),
        }
    }
}
