//! How a simulated run ends.

use fastrand::Rng;
use podpool_core::broker::BrokerEvent;
use podpool_core::envelope::MacKey;
use podpool_core::id::RunId;

use crate::error::ShutdownError;
use crate::master::command::ShutdownBehavior;

use super::world::{EPOCH, World};

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is shut down when nothing is left anywhere.
    Late,
    /// It is shut down while tasks run.
    Early,
    CancelPending,
    Abort,
    /// Another master takes it over.
    Superseded,
    /// An older run has its names.
    NamesInUse,
    /// A part of the broker ends.
    Broken,
}

impl End {
    pub(super) const ALL: [Self; 7] = [
        Self::Late,
        Self::Early,
        Self::CancelPending,
        Self::Abort,
        Self::Superseded,
        Self::NamesInUse,
        Self::Broken,
    ];

    /// Mostly late: only then everything that was said must be taken back.
    pub(super) fn random(rng: &mut Rng) -> Self {
        if rng.u8(..100) < 75 {
            return Self::Late;
        }
        Self::ALL[rng.usize(..Self::ALL.len())]
    }

    /// How the run is shut down.
    pub(super) const fn behavior(self) -> ShutdownBehavior {
        match self {
            Self::CancelPending => ShutdownBehavior::CancelPending,
            Self::Abort => ShutdownBehavior::Abort,
            _ => ShutdownBehavior::WaitForTasks,
        }
    }

    /// Whether tasks may end because the run does.
    pub(super) const fn cuts_tasks_off(self) -> bool {
        !matches!(self, Self::Late | Self::Early)
    }

    /// What the broker reports.
    pub(super) fn broker_event(self) -> Option<BrokerEvent> {
        match self {
            Self::NamesInUse => Some(BrokerEvent::NamesInUse {
                by: RunId::new("older").unwrap(),
            }),
            Self::Broken => Some(BrokerEvent::Broken("as the test wants it".to_owned())),
            _ => None,
        }
    }

    /// What those who shut it down are told.
    pub(super) fn outcome(self, epoch: u64) -> Result<(), ShutdownError> {
        match self {
            Self::Superseded => Err(ShutdownError::Superseded { epoch: epoch + 1 }),
            Self::NamesInUse => Err(ShutdownError::NamesInUse {
                by: RunId::new("older").unwrap(),
            }),
            Self::Broken => Err(ShutdownError::Broken {
                reason: "as the test wants it".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl World {
    /// What ends the run comes, and it is shut down.
    pub(super) fn begin_end(&mut self) {
        if self.end == End::Superseded {
            let mut hello = self.site.workers[0].hello();
            hello.epoch = EPOCH + 1;
            self.tell_master(hello.message(&MacKey::Absent));
        }
        if let Some(event) = self.end.broker_event() {
            self.duties.broker(&event);
            self.master.on_broker(self.site.now, event);
            // What was on its way from the mailbox ends at once.
            self.submit();
        }
        self.duties.shut_down(self.end.behavior());
        self.master.shut_down(self.end.behavior());
    }
}
