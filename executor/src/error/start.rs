//! Errors of the parts that `build()` starts, as errors of `build()`.

use std::error::Error;

use podpool_core::broker::BrokerError;

use super::BuildError;

/// The error of a step that failed: what the system or a service refused, or a reason as text.
pub(crate) fn failed<E>(what: impl Into<String>) -> impl FnOnce(E) -> BuildError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let what = what.into();
    move |source| BuildError::Start {
        what,
        source: source.into(),
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
            BrokerError::Failed { what, source } => failed(what)(source),
            other => failed("open the run's queues")(other),
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
