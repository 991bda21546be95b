//! Errors of the parts that `build()` starts, as errors of `build()`.

use std::io;

use podpool_core::broker::BrokerError;

use super::BuildError;

/// The error of a step that failed, with its reason as text.
pub(crate) fn refused(what: impl Into<String>) -> impl FnOnce(String) -> BuildError {
    let what = what.into();
    move |reason| BuildError::Start {
        what,
        source: io::Error::other(reason),
    }
}

impl From<BrokerError> for BuildError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Setting {
                name,
                value,
                reason,
            } => Self::Setting {
                name,
                value,
                reason,
            },
            BrokerError::NamesInUse { by } => Self::NamesInUse { by },
            BrokerError::Failed { what, reason } => refused(what)(reason),
            other => refused("open the run's queues")(other.to_string()),
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
