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
    /// Longer than a batch may be without news.
    Long,
}

impl Script {
    const ALL: [Self; 9] = [
        Self::Quick,
        Self::Slow,
        Self::FailsOnce,
        Self::Fails,
        Self::CrashesOnce,
        Self::Crashes,
        Self::HangsOnce,
        Self::Hangs,
        Self::Long,
    ];

    /// Mostly harmless.
    pub(super) fn random(rng: &mut Rng) -> Self {
        match rng.u16(..1000) {
            0 => Self::Long,
            1..800 => Self::ALL[rng.usize(..2)],
            _ => Self::any(rng),
        }
    }

    /// Any of those that take little time.
    pub(super) fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.usize(..Self::ALL.len() - 1)]
    }

    pub(super) fn of(arguments: &[u8]) -> Self {
        Self::ALL[usize::from(arguments[0])]
    }

    /// How its task ends when nobody cancels it; `None` is a result.
    pub(super) const fn end(self) -> Option<TaskErrorKind> {
        match self {
            Self::Quick
            | Self::Slow
            | Self::FailsOnce
            | Self::CrashesOnce
            | Self::HangsOnce
            | Self::Long => None,
            Self::Fails => Some(TaskErrorKind::Failed),
            Self::Crashes => Some(TaskErrorKind::Crashed),
            Self::Hangs => Some(TaskErrorKind::TimedOut),
        }
    }
}
