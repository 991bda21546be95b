//! How a worker in another process opens a run's queues: the tag of their description names the opener.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::{ClassId, Description};
use crate::lock::lock;
use crate::queue::Queue;

/// The workers' side of a broker, which opens the queues of a run.
#[async_trait]
pub trait Opener: fmt::Debug + Send + Sync + 'static {
    /// Opens the queues of a run for one worker. Nothing is made, and the service may not be reached yet. Called inside
    /// a tokio runtime with IO and time, in which the queues are used.
    ///
    /// # Errors
    /// A sentence: the description cannot be read, or means another release.
    async fn open(&self, body: &str, worker_facts: &WorkerFacts) -> Result<WorkerQueues, String>;
}

/// The worker that opens the queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    /// The class whose tasks it runs.
    pub class: ClassId,
    /// The number of its cohort, and its index there; None where they are unknown: such a worker receives no control.
    pub place: Option<(u32, u32)>,
    /// How long it leases the messages that it takes.
    pub lease: Duration,
}

/// The queues of one worker.
#[derive(Clone, Debug)]
pub struct WorkerQueues {
    /// The tasks of its class: it takes them, and puts some back.
    pub tasks: Arc<dyn Queue>,
    /// The results of the run: it puts them.
    pub results: Arc<dyn Queue>,
    /// The control messages for this worker alone: it takes them.
    pub control: Arc<dyn Queue>,
    /// Whether the tasks' queue outlives the run.
    pub outlive: bool,
    /// What a person can do where the queues are never reached.
    pub advice: String,
}

type Openers = BTreeMap<String, Arc<dyn Opener>>;

/// All openers of this program.
// Global, because a worker finds its opener inside `init()`, to which a program passes nothing.
static OPENERS: Mutex<Openers> = Mutex::new(BTreeMap::new());

/// Registers the opener of descriptions with this tag. To be called before the program's `init()`, because a worker
/// never returns from it. An opener that was registered under the same tag before is replaced.
pub fn register(tag: impl Into<String>, opener: Arc<dyn Opener>) {
    openers().insert(tag.into(), opener);
}

/// The opener of a description.
///
/// # Errors
/// A sentence that names the tag, and the tags that are registered in this program.
pub fn find(description: &Description) -> Result<Arc<dyn Opener>, String> {
    // The lock is released at the return: `open` runs on the clone, and may take long.
    let openers = openers();
    openers.get(&description.tag).cloned().ok_or_else(|| {
        let known: Vec<_> = openers.keys().map(String::as_str).collect();
        format!(
            "the run's queues are of the kind {:?}, and this program opens {known:?} alone; build master and workers with the same features",
            description.tag
        )
    })
}

fn openers() -> MutexGuard<'static, Openers> {
    lock(&OPENERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl Opener for Nobody {
        async fn open(&self, body: &str, _: &WorkerFacts) -> Result<WorkerQueues, String> {
            Err(format!("{body} is not opened"))
        }
    }

    #[tokio::test]
    async fn the_tag_selects_the_opener_and_an_unknown_tag_is_named() {
        register("nobody", Arc::new(Nobody));
        let described = |tag: &str| Description {
            tag: tag.to_owned(),
            body: "it".to_owned(),
        };
        let worker_facts = WorkerFacts {
            class: ClassId::DEFAULT,
            place: None,
            lease: Duration::from_secs(1),
        };
        let opener = find(&described("nobody")).unwrap();
        let said = opener.open("it", &worker_facts).await.unwrap_err();
        assert_eq!(said, "it is not opened");
        let said = find(&described("unknown")).unwrap_err();
        assert!(
            said.contains("unknown") && said.contains("nobody"),
            "{said}"
        );
    }
}
