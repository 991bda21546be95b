//! The workers' side of the broker of files.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use podpool_core::broker::openers::{Opener, WorkerFacts, WorkerQueues};
use podpool_core::id::RunId;
use podpool_core::queue::Queue;

use super::files::last;
use super::queue::DirectoryQueue;
use super::run::Layout;
use super::silence::Silence;

/// The tag of descriptions. Their body is the path of the run's directory.
pub const TAG: &str = "directory-1";

/// Opens the runs that a [`DirectoryBroker`](super::DirectoryBroker) has described.
#[derive(Clone, Copy, Debug)]
pub struct DirectoryOpener;

#[async_trait]
impl Opener for DirectoryOpener {
    async fn open(&self, body: &str, worker_facts: &WorkerFacts) -> Result<WorkerQueues, String> {
        // The path is checked, and not whether the directory exists: vanished queues are made again, and a worker may
        // start meanwhile.
        let path = Path::new(body);
        if !path.is_absolute() || RunId::new(&last(path)).is_err() {
            return Err(format!("{body:?} is no run's directory"));
        }
        let layout = Layout::new(body);
        let open =
            |path| -> Arc<dyn Queue> { Arc::new(DirectoryQueue::new(path, worker_facts.lease)) };
        let control: Arc<dyn Queue> = match worker_facts.place {
            Some(place) => open(layout.control_of(place)),
            None => Arc::new(Silence(worker_facts.lease)),
        };
        Ok(WorkerQueues {
            tasks: open(layout.tasks(worker_facts.class)),
            results: open(layout.results()),
            control,
            outlive: false,
            advice: format!("look whether {body} is there"),
        })
    }
}
