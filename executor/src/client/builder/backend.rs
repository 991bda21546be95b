//! The back-ends, by name.

use std::fmt;
use std::str::FromStr;

use crate::error::BuildError;

/// The back-end that starts workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// This machine: an in-memory queue and child processes.
    #[default]
    Local,
    /// A Kubernetes cluster, with Pub/Sub as its queue. Needs the feature `kubernetes`.
    Kubernetes,
}

/// As `PODPOOL_BACKEND` names it: `local` or `kubernetes`.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Kubernetes => "kubernetes",
        })
    }
}

/// Reads a back-end's name, from a command line for example. The error is that of `build()` for a variable with this
/// text.
impl FromStr for Backend {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self, BuildError> {
        let all = [Self::Local, Self::Kubernetes];
        let named = all.into_iter().find(|backend| backend.to_string() == name);
        named.ok_or_else(|| BuildError::UnknownBackend(name.to_owned()))
    }
}
