//! The broker of files: it makes runs, finds them again and removes them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use podpool_core::broker::{
    Broker, BrokerError, BrokerLimits, Leftover, LeftoverError, RunFacts, RunQueues, Which,
};
use podpool_core::id::RunId;

use super::files::{names, present};
use super::queue::MESSAGE_BYTES;
use super::run::{DirectoryRun, Layout};

/// Shortest, default and longest lease.
const LEASES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(5),
    Duration::from_secs(3_600),
];

/// Runs as directories of one directory.
#[derive(Clone, Debug)]
pub struct DirectoryBroker {
    root: PathBuf,
}

impl DirectoryBroker {
    /// A broker with its runs in this directory, which is made with the first run.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory of a run.
    #[must_use]
    pub fn path_of(&self, run: &RunId) -> PathBuf {
        self.root.join(run.as_str())
    }

    /// Deletes a run's queues from outside, all of them at once, also while another process writes there.
    ///
    /// # Panics
    /// When they do not exist.
    pub fn vanish(&self, run: &RunId) {
        let path = self.path_of(run);
        // Renamed first: a rename is one step, while a removal file by file would race with writers.
        let gone = path.with_extension("gone");
        std::fs::rename(&path, &gone).unwrap();
        std::fs::remove_dir_all(gone).unwrap();
    }

    fn find(&self, name: &str) -> Option<Leftover> {
        let path = self.root.join(name);
        let (run_name, deadline) = Layout::new(&path).about()?;
        Some(Leftover {
            what: format!("directory {}", path.display()),
            id: path.to_str()?.to_owned(),
            run: RunId::new(name).ok()?,
            run_name,
            deadline,
        })
    }
}

#[async_trait]
impl Broker for DirectoryBroker {
    fn limits(&self) -> BrokerLimits {
        let [shortest, default, longest] = LEASES;
        let limits = BrokerLimits::new(MESSAGE_BYTES, (shortest, longest), default);
        let mut limits = limits.for_processes();
        limits.classes = true;
        limits
    }

    async fn check(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn open(&self, run: &RunFacts) -> Result<Arc<dyn RunQueues>, BrokerError> {
        let [shortest, _, longest] = LEASES;
        if !(shortest..=longest).contains(&run.lease) {
            return Err(BrokerError::Setting {
                name: "lease".to_owned(),
                value: format!("{:?}", run.lease),
                reason: format!("use {shortest:?} to {longest:?}"),
            });
        }
        let layout = Layout::new(self.path_of(&run.run));
        let made = DirectoryRun::make(layout.clone(), run.clone());
        match made {
            Ok(made) => Ok(Arc::new(made)),
            Err(error) => {
                // A directory that cannot be removed has a deadline, if that was written.
                layout.remove().ok();
                Err(BrokerError::Failed {
                    what: format!("make the directory of run {}", run.run),
                    source: error.into(),
                })
            }
        }
    }

    async fn leftovers(
        &self,
        which: &Which,
        now: SystemTime,
    ) -> Result<Vec<Leftover>, LeftoverError> {
        let found = present(names(&self.root)).map_err(|error| LeftoverError {
            place: self.root.display().to_string(),
            reason: error.to_string(),
        })?;
        let found = found.into_iter().flatten();
        let found = found.filter_map(|name| self.find(&name));
        let taken = |it: &Leftover| which.takes(&it.run, it.run_name.as_ref(), it.deadline, now);
        Ok(found.filter(taken).collect())
    }

    async fn remove(&self, leftover: &Leftover) -> Result<(), String> {
        let removed = Layout::new(&leftover.id).remove();
        removed.map_err(|error| error.to_string())
    }
}
