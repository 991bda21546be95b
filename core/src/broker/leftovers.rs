//! The queues that are left in a broker of runs whose masters were killed.

use std::time::SystemTime;

use crate::id::{RunId, RunName};

/// A selection of what may be deleted. Only objects with podpool's labels are considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Objects that are past the deadline on their label.
    PastDeadline,
    /// Objects of this run, at any age.
    Run(RunId),
    /// Objects of runs with this name, at any age.
    Named(RunName),
}

impl Which {
    /// Whether an object of this run may be deleted, by its labels. An object without a deadline is never past it.
    #[must_use]
    pub fn takes(
        &self,
        run: &RunId,
        name: Option<&RunName>,
        deadline: Option<SystemTime>,
        now: SystemTime,
    ) -> bool {
        match self {
            // An object without a readable deadline stays: a missing deletion costs less than a wrong one.
            Self::PastDeadline => deadline.is_some_and(|deadline| deadline < now),
            Self::Run(wanted) => run == wanted,
            Self::Named(wanted) => name == Some(wanted),
        }
    }
}

/// One object of a run that still exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What it is, for people: `topic podpool-nightly-5c0x-tasks of project P`.
    pub what: String,
    /// The identifier that the broker uses to remove it.
    pub id: String,
    /// The run that made it.
    pub run: RunId,
    /// The name of that run, where it has one and the object's labels contain it.
    pub run_name: Option<RunName>,
    /// The end of the run, where the object's labels contain it.
    pub deadline: Option<SystemTime>,
}

/// Why a broker cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot look for what runs left in {place}: {reason}")]
pub struct LeftoverError {
    /// The service, or its part.
    pub place: String,
    /// The service's message, and what to do.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_selection_takes_nothing_else() {
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
