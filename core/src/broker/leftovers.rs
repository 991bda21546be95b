//! What runs left in a broker whose masters were killed.

use std::time::SystemTime;

use crate::id::{RunId, RunName};

/// What may be deleted. Only what podpool labelled is ever looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// What is past the deadline on its label.
    PastDeadline,
    /// Whatever belongs to this run, however young.
    Run(RunId),
    /// Whatever belongs to runs of this name, however young.
    Named(RunName),
}

impl Which {
    /// Whether something of this run may be deleted, by what its labels say. What says no deadline is not past it.
    #[must_use]
    pub fn takes(
        &self,
        run: &RunId,
        name: Option<&RunName>,
        deadline: Option<SystemTime>,
        now: SystemTime,
    ) -> bool {
        match self {
            Self::PastDeadline => deadline.is_some_and(|deadline| deadline < now),
            Self::Run(wanted) => run == wanted,
            Self::Named(wanted) => name == Some(wanted),
        }
    }
}

/// One thing of a run that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is, for people: `topic podpool-nightly-5c0x-tasks of project P`.
    pub what: String,
    /// What the broker knows it by.
    pub id: String,
    /// The run that made it.
    pub run: RunId,
    /// What people call that run, where it has a name and the thing says so.
    pub run_name: Option<RunName>,
    /// The end of the run, where the thing says it.
    pub deadline: Option<SystemTime>,
}

/// Why a broker cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot look for what runs left in {place}: {reason}")]
pub struct LeftoverError {
    /// The service, or its part.
    pub place: String,
    /// What it said, and what to do.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn only_what_is_asked_for_is_taken() {
        let (run, other) = (RunId::new("a").unwrap(), RunId::new("b").unwrap());
        let (name, now) = (
            RunName::new("nightly").unwrap(),
            UNIX_EPOCH + Duration::from_secs(9),
        );
        let takes = |which: &Which, deadline| which.takes(&run, Some(&name), deadline, now);
        assert!(takes(&Which::Run(run.clone()), None) && !takes(&Which::Run(other), None));
        assert!(takes(&Which::Named(name.clone()), None));
        assert!(!Which::Named(name.clone()).takes(&run, None, None, now));
        assert!(takes(&Which::PastDeadline, Some(UNIX_EPOCH)));
        assert!(!takes(&Which::PastDeadline, Some(now)) && !takes(&Which::PastDeadline, None));
    }
}
