//! What a program must have done, and may set, where its slots are processes or threads.

use podpool_core::init::{BuildRefused, may_build};
use podpool_core::slot::OutputLimits;

use crate::client::options::Isolation;
use crate::error::BuildError;

use super::{Builder, setting};

impl Builder {
    /// Refuses options of captured lines, where slots are threads.
    pub(super) fn refuse_capture(&self) -> Result<(), BuildError> {
        let default = OutputLimits::default();
        let limits = &self.output_limits;
        let set = [
            ("output", self.output.is_some()),
            ("output_buffer", self.output_buffer.is_some()),
            ("output_line_bytes", limits.line != default.line),
            ("output_rate", limits.rate != default.rate),
        ];
        let reason = "threads of this process print on its own streams, so nothing is captured; leave it out, or use Isolation::Process";
        match set.into_iter().find(|(_, set)| *set) {
            Some((name, _)) => Err(setting(name, "set", reason)),
            None => Ok(()),
        }
    }
}

/// Child processes are started only by a program whose `init()` ran: without it each of them would run `main`
/// again.
pub(super) fn check_role(isolation: Isolation) -> Result<(), BuildError> {
    match isolation {
        Isolation::InProcess => Ok(()),
        Isolation::Process => may_build().map_err(|refused| match refused {
            BuildRefused::NestedPool => BuildError::NestedPool,
            BuildRefused::InitInTest => BuildError::InitInTest,
            _ => BuildError::NotInitialised,
        }),
    }
}
