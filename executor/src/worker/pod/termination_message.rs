//! The termination message of a pod: the file that Kubernetes reads when its container has ended. A worker process
//! writes why it ended into a file that its fleet reads.
//!
//! While the worker runs, the file holds the list of running tasks, so that a kill leaves proof. At most 4,096 bytes
//! are read from it.
//! <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use podpool_core::id::{Attempt, ExecutionId, TaskId};
use podpool_core::worker::conduct::RunningSink;
use tracing::warn;

use super::TERMINATION_MESSAGE;

/// The file that Kubernetes reads by default.
const PATH: &str = "/dev/termination-log";
/// The bytes that Kubernetes reads at most.
const MOST: usize = 4096;

/// The file, if there is one. Outside a pod only a fleet of processes names one.
#[derive(Clone, Debug)]
pub(super) struct TerminationMessage {
    file: Option<Arc<File>>,
    /// Whether the list of running tasks is written too.
    with_running: bool,
}

impl TerminationMessage {
    pub(super) fn open() -> Self {
        let mut options = OpenOptions::new();
        // Without `create`: the kubelet mounts the file into the container, and elsewhere no such file is wanted.
        options.write(true);
        let named = std::env::var_os(TERMINATION_MESSAGE);
        let file = match &named {
            Some(path) => options.create(true).open(path),
            None => options.open(PATH),
        };
        Self {
            file: file.ok().map(Arc::new),
            // A fleet of processes sees the end of a process itself, and charges no signal to a task. The list would
            // cost a write for each task.
            with_running: named.is_none(),
        }
    }

    /// Writes a sentence for people, cut to what Kubernetes reads.
    pub(super) fn say(&self, reason: &str) {
        let end = (0..=MOST.min(reason.len()))
            .rev()
            .find(|at| reason.is_char_boundary(*at));
        self.write(&reason.as_bytes()[..end.unwrap_or(0)]);
    }

    pub(super) fn clear(&self) {
        self.write(b"");
    }

    /// Writes the list of running tasks there, whenever the list changes.
    pub(super) fn running_sink(&self) -> Option<RunningSink> {
        let message = self.clone();
        self.with_running.then(|| {
            let sink: RunningSink =
                Box::new(move |running| message.write(list(running).as_bytes()));
            sink
        })
    }

    fn write(&self, bytes: &[u8]) {
        let Some(file) = &self.file else {
            return;
        };
        // In place, because the file is a mount and cannot be replaced by a rename. Written first and cut afterwards: a
        // kill in between leaves the new list with the rest of an older one behind it, which the master can read. In
        // the other order it could leave an empty file, and no proof.
        let written = file
            .write_all_at(bytes, 0)
            .and_then(|()| file.set_len(bytes.len() as u64));
        if let Err(error) = written {
            warn!(%error, "the termination message cannot be written: the master will not read why this worker ended");
        }
    }
}

/// `{"running":[["00000000deadbeef",7,41,1]]}`: worker, execution, task, attempt. Rows that do not fit are left out:
/// with so many rows all tasks are suspects and none is charged.
fn list(running: &[(ExecutionId, TaskId, Attempt)]) -> String {
    let mut list = String::from("{\"running\":[");
    for (execution, task, attempt) in running {
        let comma = if list.ends_with('[') { "" } else { "," };
        let (worker, number) = (execution.worker, execution.number);
        let row = format!("{comma}[\"{worker}\",{number},{},{attempt}]", task.0);
        if list.len() + row.len() + 2 > MOST {
            break;
        }
        list.push_str(&row);
    }
    list.push_str("]}");
    list
}

#[cfg(test)]
mod tests {
    use podpool_core::id::WorkerId;

    use super::*;

    #[test]
    fn the_list_fits_and_can_be_read() {
        let execution = ExecutionId {
            worker: WorkerId(0xdead_beef),
            number: 7,
        };
        let one = [(execution, TaskId(41), Attempt(1))];
        assert_eq!(list(&one), "{\"running\":[[\"00000000deadbeef\",7,41,1]]}");
        assert_eq!(list(&[]), "{\"running\":[]}");
        let many: Vec<_> = (0..1000)
            .map(|n| (execution, TaskId(n), Attempt(1)))
            .collect();
        let text = list(&many);
        assert!(
            text.len() <= MOST && text.ends_with("]]}"),
            "{}",
            text.len()
        );
    }
}
