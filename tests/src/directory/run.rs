//! The directory of one run, as its master has it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use podpool_core::broker::{
    BrokerEvent, ClassId, Cohort, CohortQueues, Description, RunFacts, RunQueues,
};
use podpool_core::id::RunName;
use podpool_core::queue::Queue;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::opener::TAG;
use super::queue::DirectoryQueue;

/// The file with the deadline and the name of the run.
const ABOUT: &str = "about";
/// The pause between two looks at the directories.
const LOOK: Duration = Duration::from_millis(200);
/// Tries to remove a directory in which another process still writes.
const TRIES: u32 = 5;

/// The paths of a run's queues.
#[derive(Clone, Debug)]
pub(super) struct Layout(PathBuf);

impl Layout {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn tasks(&self, class: ClassId) -> PathBuf {
        self.0.join(format!("tasks-{class}"))
    }

    pub(super) fn results(&self) -> PathBuf {
        self.0.join("results")
    }

    pub(super) fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    pub(super) fn control_of(&self, (cohort, index): (u32, u32)) -> PathBuf {
        self.control().join(format!("{cohort}-{index}"))
    }

    /// Writes the deadline of the run, in seconds since 1970, and its name.
    fn describe(&self, facts: &RunFacts) -> io::Result<()> {
        let deadline = facts
            .deadline
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = facts.name.as_ref().map_or("", RunName::as_str);
        let about = format!("{}\n{name}", deadline.as_secs());
        fs::write(self.0.join(ABOUT), about)
    }

    /// Reads the name and the deadline; None for a directory that is not of a run.
    pub(super) fn about(&self) -> Option<(Option<RunName>, Option<SystemTime>)> {
        let about = fs::read_to_string(self.0.join(ABOUT)).ok()?;
        let (deadline, name) = about.split_once('\n')?;
        let deadline = deadline.parse().ok().map(Duration::from_secs);
        let deadline = deadline.and_then(|since| UNIX_EPOCH.checked_add(since));
        Some((RunName::new(name).ok(), deadline))
    }

    /// Removes the whole directory. A message that is written meanwhile makes it not empty, and the removal is tried
    /// again.
    pub(super) fn remove(&self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < TRIES => {}
                removed => return removed,
            }
        }
    }
}

/// A run's queues.
#[derive(Debug)]
pub(super) struct DirectoryRun {
    layout: Layout,
    facts: RunFacts,
    /// No earlier master of the run had made them.
    fresh: bool,
    /// The cohorts whose queues are made, and how many each.
    cohorts: Mutex<BTreeMap<u32, u32>>,
}

impl DirectoryRun {
    pub(super) fn make(layout: Layout, facts: RunFacts) -> io::Result<Self> {
        let run = Self {
            fresh: layout.about().is_none(),
            layout,
            facts,
            cohorts: Mutex::default(),
        };
        run.make_all()?;
        Ok(run)
    }

    fn queues(&self) -> Vec<Files> {
        let tasks = self
            .facts
            .classes
            .iter()
            .map(|class| self.layout.tasks(*class));
        let mut paths: Vec<_> = tasks.collect();
        paths.push(self.layout.results());
        for (cohort, size) in &*self.cohorts() {
            let places = (0..*size).map(|index| self.layout.control_of((*cohort, index)));
            paths.extend(places);
        }
        paths.into_iter().map(Files::new).collect()
    }

    fn make_all(&self) -> io::Result<()> {
        fs::create_dir_all(self.layout.control())?;
        self.layout.describe(&self.facts)?;
        self.queues().iter().try_for_each(Files::make)
    }

    fn is_whole(&self) -> bool {
        self.layout.about().is_some()
            && self.layout.control().is_dir()
            && self.queues().iter().all(Files::are_there)
    }

    fn cohorts(&self) -> MutexGuard<'_, BTreeMap<u32, u32>> {
        self.cohorts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: PathBuf) -> Arc<dyn Queue> {
        Arc::new(DirectoryQueue::new(path, self.facts.lease))
    }
}

#[async_trait]
impl RunQueues for DirectoryRun {
    fn tasks(&self, class: ClassId) -> Option<Arc<dyn Queue>> {
        let known = self.facts.classes.contains(&class);
        known.then(|| self.open(self.layout.tasks(class)))
    }

    fn results(&self) -> Arc<dyn Queue> {
        self.open(self.layout.results())
    }

    fn control(&self) -> Arc<dyn Queue> {
        let (path, lease) = (self.layout.control(), self.facts.lease);
        Arc::new(DirectoryQueue::to_each(path, lease))
    }

    fn description(&self) -> Description {
        Description {
            tag: TAG.to_owned(),
            body: self.layout.path().to_string_lossy().into_owned(),
        }
    }

    fn outlive(&self) -> bool {
        false
    }

    fn are_fresh(&self) -> bool {
        self.fresh
    }

    async fn watch(&self, events: UnboundedSender<BrokerEvent>, stopped: CancellationToken) {
        while timeout(LOOK, stopped.cancelled()).await.is_err() {
            // A directory that cannot be made now is tried again with the next look.
            if !self.is_whole() && self.make_all().is_ok() {
                // The dispatcher may have ended before.
                events.send(BrokerEvent::Restored).ok();
            }
        }
    }

    async fn remove(&self) -> Vec<String> {
        let left = self.layout.remove().err();
        left.map(|error| format!("{}: {error}", self.layout.path().display()))
            .into_iter()
            .collect()
    }
}

#[async_trait]
impl CohortQueues for DirectoryRun {
    async fn prepare(&self, cohort: Cohort) -> Result<(), String> {
        // Entered before the directories exist: `watch` may then make them first, and report a loss that is none.
        self.cohorts().insert(cohort.number, cohort.size);
        let mut places =
            (0..cohort.size).map(|index| self.layout.control_of((cohort.number, index)));
        let made = places.try_for_each(|path| Files::new(path).make());
        made.map_err(|error| error.to_string())
    }

    async fn retire(&self, cohort: Cohort) -> Result<(), String> {
        self.cohorts().remove(&cohort.number);
        let mut places =
            (0..cohort.size).map(|index| self.layout.control_of((cohort.number, index)));
        let removed = places.try_for_each(|path| Layout::new(path).remove());
        removed.map_err(|error| error.to_string())
    }
}
