//! How a process becomes the master of a run.

use std::fmt;
use std::time::SystemTime;

use crate::id::{RunId, RunName, TaskId};

use super::RunLedger;

/// Which run a process opens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Which {
    /// The run of this name. A fresh one with this id and this key of its MACs is made where there is none.
    Named {
        /// Its name.
        name: RunName,
        /// The id of a fresh one.
        fresh: RunId,
        /// The key of a fresh one.
        mac_key: [u8; 32],
    },
    /// This run, which exists.
    Existing(RunId),
}

/// What a process that opens a run states.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the executor makes it")]
pub struct Opening {
    /// The run.
    pub which: Which,
    /// Itself.
    pub master: Master,
    /// Whether the run is taken from a master that lives.
    pub take_over: bool,
    /// The time, by the wall clock.
    pub now: SystemTime,
}

/// A process that is the master of a run, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the executor and stores make it")]
pub struct Master {
    /// Its host.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The user it runs as.
    pub user: String,
    /// The file name of its executable.
    pub program: String,
    /// The id of its executable's build; empty where it is not known.
    pub build: String,
    /// The version of podpool.
    pub version: String,
    /// With which settings it runs, by name: for people, and for who picks the run up. Not all of them.
    pub settings: Vec<(String, String)>,
}

impl Master {
    /// The setting of this name, if it was recorded.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.settings.iter();
        let found = settings.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A master that has, or had, a run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct Holder {
    /// Its number among the masters of the run, from 1.
    pub epoch: u64,
    /// The process.
    pub master: Master,
    /// Since when, by its wall clock.
    pub since: SystemTime,
    /// When it released the run; none while it holds it, and where it was killed.
    pub until: Option<SystemTime>,
}

/// `process 77 of flights on host atlas`.
impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} ({}) on host {}",
            self.pid, self.program, self.host
        )
    }
}

/// A run, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// Its name; none where a later run has the name now.
    pub name: RunName,
    /// When it was made.
    pub created: SystemTime,
    /// Its masters, oldest first; there is one at least.
    pub masters: Vec<Holder>,
    /// Whether the newest master lives and holds it.
    pub held: bool,
}

/// So many numbers of tasks belong to a master when it has opened a run. It reserves more by
/// [`Record::Reserved`](super::Record::Reserved) in time.
// More than a program submits while a reservation is stored, which takes some milliseconds, and longer on a slow disk. A
// master that is killed leaves a gap, and numbers have 63 bits.
pub const NUMBERS: u64 = 1 << 20;

/// A run that was opened.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Opened {
    /// Its id.
    pub run: RunId,
    /// The key of its MACs.
    pub mac_key: [u8; 32],
    /// Which master of the run the caller is.
    pub epoch: u64,
    /// The first number of a task that no earlier master can have given. This one and the [`NUMBERS`] from it on belong
    /// to the caller.
    pub first: TaskId,
    /// The run, to append to.
    pub ledger: Box<dyn RunLedger>,
}
