//! The owner of a message, on names that an administrator made.
//!
//! Such names belong to one run at a time. Two attributes of each message name the run that published it, and the time
//! at which that run began. A message of another run is neither read nor acknowledged, and is reported to the master.
//! The younger run ends: messages that it took of the older one are given back at once, and it takes no more. Messages
//! that the older run takes of the younger one stay leased until the younger has ended. Attributes have no MAC, because
//! two runs share no key, so any publisher to the topics could end a run by them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use podpool_core::id::RunId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The run that put a message there.
const RUN: &str = "podpool-run";
/// When it began, in Unix milliseconds by its master's clock.
const CREATED: &str = "podpool-created";
/// The run that a worker met, and when that began: a report to its own master.
const MET_RUN: &str = "podpool-met-run";
const MET_CREATED: &str = "podpool-met-created";

/// A run, as its messages name it. The older of two is less.
///
/// It compares the clocks of two machines, which nothing else here does: of two runs that began at nearly the same
/// time it does not matter which one goes on.
// `created` before `run`: the derived order compares fields in this order. The id breaks ties, so that of two runs
// exactly one is the younger, and both agree on which one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// When it began, in Unix milliseconds.
    created: u64,
    run: RunId,
}

impl Owner {
    /// A run that began at this time.
    #[must_use]
    pub fn new(run: RunId, created: SystemTime) -> Self {
        // A clock before 1970 makes this the oldest run: it goes on, and the other one ends.
        let since = created.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            run,
            created: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The run.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    pub(super) fn write(&self, attributes: &mut HashMap<String, String>) {
        self.write_as((RUN, CREATED), attributes);
    }

    fn write_as(&self, names: (&str, &str), attributes: &mut HashMap<String, String>) {
        attributes.insert(names.0.to_owned(), self.run.as_str().to_owned());
        attributes.insert(names.1.to_owned(), self.created.to_string());
    }

    /// None for attributes that no run wrote.
    fn read_as(names: (&str, &str), attributes: &HashMap<String, String>) -> Option<Self> {
        Some(Self {
            run: RunId::new(attributes.get(names.0)?).ok()?,
            created: attributes.get(names.1)?.parse().ok()?,
        })
    }
}

/// The decision of a queue about messages, by their owner.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// The queue's own run.
    own: Owner,
    /// Receives the other runs that are met.
    met: mpsc::UnboundedSender<Owner>,
    /// The first older run that was met: this one must end.
    older: Arc<OnceLock<Owner>>,
}

/// The class of a message that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is passed to the reader, which checks its MAC.
    Own,
    /// An older run's: it is given back.
    Older,
    /// A younger run's: it stays leased.
    Younger,
    /// A worker's report to its master; it has been noted, and is removed.
    Report,
}

impl Ownership {
    /// Messages belong to `own`; other runs that are met are sent to `met`, as often as they are met.
    #[must_use]
    pub fn new(own: Owner, met: mpsc::UnboundedSender<Owner>) -> Self {
        Self {
            own,
            met,
            older: Arc::default(),
        }
    }

    /// The first older run that was met by any clone; this one must end.
    #[must_use]
    pub fn older(&self) -> Option<&Owner> {
        self.older.get()
    }

    pub(super) fn gives_way(&self) -> bool {
        self.older().is_some()
    }

    pub(super) const fn own(&self) -> &Owner {
        &self.own
    }

    /// Judges a message by its attributes, and reports other runs. A message without an owner is passed to the reader:
    /// a MAC proves more than a name.
    pub(super) fn judge(&self, attributes: &HashMap<String, String>) -> Standing {
        // The owner before the report: a report of another run's worker is addressed to its own master.
        let owner = Owner::read_as((RUN, CREATED), attributes);
        if let Some(other) = owner.filter(|owner| owner.run != self.own.run) {
            let older = other < self.own;
            self.tell(other);
            return if older {
                Standing::Older
            } else {
                Standing::Younger
            };
        }
        match Owner::read_as((MET_RUN, MET_CREATED), attributes) {
            Some(met) if met.run != self.own.run => {
                self.tell(met);
                Standing::Report
            }
            _ => Standing::Own,
        }
    }

    fn tell(&self, other: Owner) {
        // Before the send: once the guard can receive the event, no clone of this ownership takes another message. Only
        // the first older run is kept; one is enough to end this run.
        if other < self.own {
            self.older.get_or_init(|| other.clone());
        }
        // The receiver may have ended before; then the run ends anyway.
        self.met.send(other).ok();
    }

    /// The attributes of a worker's report.
    pub(super) fn word(&self, met: &Owner) -> HashMap<String, String> {
        let mut attributes = HashMap::new();
        self.own.write(&mut attributes);
        met.write_as((MET_RUN, MET_CREATED), &mut attributes);
        attributes
    }
}

#[cfg(test)]
mod tests;
