//! The queue of the cluster that admits Jobs: Kueue.
//!
//! A Job with the label of a queue stays suspended until Kueue resumes it, so the fleet does not resume it.
//! <https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>

use super::super::given::{fill, word};
use super::super::names;
use super::super::row::{Row, Wrong, one};

/// The label of a Job that names its LocalQueue.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// The label of a Job that names its WorkloadPriorityClass.
const PRIORITY: &str = "kueue.x-k8s.io/priority-class";

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "kueue_queue",
        "PODPOOL_KUEUE_QUEUE",
        "kueue_queue",
        |spec, given| fill(&mut spec.kueue_queue, given, word),
    )
    .check(|spec| {
        let mut name = spec.kueue_queue.iter();
        name.try_for_each(|name| names::object(name, 63))
    })
    .shown(|spec| one(spec.kueue_queue.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if let Some(name) = &spec.kueue_queue {
            draft.job_labels.insert(QUEUE.to_owned(), name.clone());
        }
    }),
    Row::new(
        "kueue_priority",
        "PODPOOL_KUEUE_PRIORITY",
        "kueue_priority",
        |spec, given| fill(&mut spec.kueue_priority, given, word),
    )
    .check(|spec| {
        let Some(name) = &spec.kueue_priority else {
            return Ok(());
        };
        names::object(name, 63)?;
        if spec.kueue_queue.is_none() {
            let reason = "no queue is named; set kueue_queue (PODPOOL_KUEUE_QUEUE) too";
            return Err(Wrong::new(name, reason));
        }
        Ok(())
    })
    .shown(|spec| one(spec.kueue_priority.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if let Some(name) = &spec.kueue_priority {
            draft.job_labels.insert(PRIORITY.to_owned(), name.clone());
        }
    }),
];
