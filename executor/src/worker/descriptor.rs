//! The description of a run for workers in other processes, authenticated with the run's key.
//!
//! ```text
//! podpool descriptor 2 ⏎ keyed hash of the rest, in hexadecimal ⏎ JSON
//! ```

use std::time::Duration;

use podpool_core::broker::Description;
use podpool_core::envelope::TaskType;
use podpool_core::id::RunId;
use podpool_core::registry::Registry;
use serde::{Deserialize, Serialize};

use super::settings::WorkerSettings;

/// The first line.
const HEAD: &str = "podpool descriptor 2";

/// A run, as its workers receive it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) run: RunId,
    /// How its queues are opened.
    pub(crate) queues: Description,
    /// Bytes of its first byte: how the wire is versioned.
    pub(crate) wire: u8,
    pub(crate) lease: Duration,
    /// From SIGTERM to SIGKILL of the worker.
    pub(crate) termination: Duration,
    pub(crate) idle: Duration,
    #[serde(flatten)]
    pub(crate) worker: WorkerSettings,
    pub(crate) payload_store: Option<String>,
    /// The tasks of the master's program.
    pub(crate) tasks: Vec<TaskType>,
    /// The master's build, for people.
    pub(crate) build: String,
}

/// Why a descriptor is not this run's.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DescriptorError {
    /// The first line names something else.
    #[error(
        "it begins with {0:?}, this program reads {HEAD:?}; build master and workers from the same release"
    )]
    Version(String),
    /// The hash does not fit the key.
    #[error("its MAC does not fit the key: descriptor and key are not of one run")]
    Mac,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

impl Descriptor {
    /// The bytes that workers get.
    pub(crate) fn authenticate(&self, key: &[u8; 32]) -> Result<Vec<u8>, serde_json::Error> {
        let body = serde_json::to_vec(self)?;
        let hash = blake3::keyed_hash(key, &body).to_hex();
        let mut bytes = format!("{HEAD}\n{hash}\n").into_bytes();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads the bytes of [`authenticate`](Self::authenticate). A descriptor with a wrong MAC is not parsed.
    // The MAC keeps the worker from opening queues, or running an initializer, that another party named.
    #[cfg(unix)]
    pub(crate) fn open(bytes: &[u8], key: &[u8; 32]) -> Result<Self, DescriptorError> {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let mut lines = text.splitn(3, '\n');
        let head = lines.next().unwrap_or_default();
        if head != HEAD {
            let head = head.chars().take(40).collect();
            return Err(DescriptorError::Version(head));
        }
        let (hash, body) = (lines.next(), lines.next().unwrap_or_default());
        // `blake3::Hash` compares in constant time: the time of a refusal contains nothing of the right hash.
        let told = hash.and_then(|hash| blake3::Hash::from_hex(hash).ok());
        if told != Some(blake3::keyed_hash(key, body.as_bytes())) {
            return Err(DescriptorError::Mac);
        }
        serde_json::from_str(body).map_err(|error| DescriptorError::Unreadable(error.to_string()))
    }

    /// The tasks of this program, as a descriptor lists them.
    pub(crate) fn known_tasks() -> Vec<TaskType> {
        // A registry that cannot be built ends `build()`, and a worker's start, with its own error before.
        let Ok(registry) = Registry::global() else {
            return Vec::new();
        };
        let tasks = (0..).map_while(|index| registry.get(index));
        let task_type = |spec: &podpool_core::task::TaskSpec| {
            Some(TaskType {
                name: spec.name.into(),
                fingerprint: spec.fingerprint().ok()?,
            })
        };
        tasks.filter_map(task_type).collect()
    }

    /// The tasks that master and worker both have, with different shapes: no task of this run may run here.
    #[cfg(unix)]
    pub(crate) fn reshaped(&self, known: &[TaskType]) -> Vec<String> {
        let differs = |task: &&TaskType| {
            let own = known.iter().find(|own| own.name == task.name);
            own.is_some_and(|own: &TaskType| own.fingerprint != task.fingerprint)
        };
        let names = self.tasks.iter().filter(differs);
        names.map(|task| task.name.as_ref().to_owned()).collect()
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests;
