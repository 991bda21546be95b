//! Cutting a batch's entries into the frames that slots run.

use std::time::Duration;

use bytes::Bytes;

use crate::codec;
use crate::envelope::EntryOptions;
use crate::envelope::entry::{TASK_HEAD, TaskHead, task_head};
use crate::instant::NEVER;

use super::estimate::Estimates;

/// Most tasks in a frame: from 32 on, a larger frame gains nothing, and a crash takes less along.
const MAX_TASKS: u32 = 256;
/// A frame is worth about this much work, so that short tasks share the cost of a write and long ones go alone.
// Forty times `INDIVISIBLE`: the fixed cost of a frame is a few percent of its work. A frame as large as a batch (half
// a second of work) would leave nothing to divide among slots, and a crash would take more along.
const WORTH: Duration = Duration::from_millis(4);
/// Below this much work a frame is not worth dividing: the write and the wake-up would cost more than the tasks.
const INDIVISIBLE: f64 = 100e-6;
/// Most bytes in a frame of several tasks; larger payloads go alone, which is faster than packing them.
const MAX_BYTES: usize = 64 << 10;

/// The properties of a task type that a batch names, by the worker's registry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskTypeInfo {
    /// The registry's index.
    pub index: u32,
    /// The task's own timeout.
    pub timeout: Option<Duration>,
    /// Whether an execution goes on when its lease is lost.
    pub finish_on_lost_lease: bool,
    /// Bytes that a slot may have resident while it runs such a task; none when only the slot's own limit counts.
    pub memory: Option<u64>,
}

impl TaskTypeInfo {
    /// Stands for a task type that this program cannot run.
    pub const UNKNOWN: Self = Self {
        index: u32::MAX,
        timeout: None,
        finish_on_lost_lease: false,
        memory: None,
    };
}

/// The first tasks of a chunk, ready for a slot.
#[derive(Debug, PartialEq)]
pub struct FrameSize {
    /// Bytes of the entries.
    pub length: usize,
    /// How many entries.
    pub count: u32,
    /// How long they should take; `None` when a task type was never measured.
    pub expected: Option<Duration>,
    /// The shortest timeout among them.
    pub timeout: Option<Duration>,
    /// The memory limit of its task, which is the only one then.
    pub memory: Option<u64>,
}

/// Cuts the next frame off `entries`: worth a few milliseconds together, and `share` tasks at most unless they are
/// hardly worth anything; never more than `most`. A task with a memory limit of its own goes alone: what the process
/// takes meanwhile is its.
#[must_use]
pub fn cut(
    entries: &Bytes,
    task_types: &[TaskTypeInfo],
    estimates: &Estimates,
    share: u32,
    most: u32,
) -> FrameSize {
    let mut cut = FrameSize {
        length: 0,
        count: 0,
        expected: Some(Duration::ZERO),
        timeout: None,
        memory: None,
    };
    let mut seconds = 0.0;
    let share = share.max(1);
    // One at least, whatever the caller computed: a frame without tasks would never be answered.
    let most = most.clamp(1, MAX_TASKS);
    while cut.count < most
        && cut.memory.is_none()
        && (cut.count < share || seconds < INDIVISIBLE)
        && let Ok(Some(head)) = task_head(&entries[cut.length..])
    {
        let task_type = task_types.get(usize::from(head.task_type));
        let measured = task_type.and_then(|task_type| estimates.seconds(task_type.index));
        // A task type without a measurement counts as endless: its first task goes alone, and its time decides about
        // the next frame.
        let full = seconds + measured.unwrap_or(f64::INFINITY) > WORTH.as_secs_f64()
            || cut.length + head.length > MAX_BYTES;
        let memory = memory(&entries[cut.length..], &head, task_types);
        // The first entry is taken in any case, however long or large it is: otherwise its chunk would never shrink.
        if cut.count > 0 && (full || memory.is_some()) {
            break;
        }
        cut.memory = memory;
        let timeout = timeout(&entries[cut.length..], &head, task_types);
        cut.timeout = [cut.timeout, timeout].into_iter().flatten().min();
        cut.length += head.length;
        cut.count += 1;
        seconds += measured.unwrap_or(f64::INFINITY);
    }
    // Infinity is no duration: `None`, and the slot counts as busy without end (`SlotState::is_short`).
    cut.expected = Duration::try_from_secs_f64(seconds).ok();
    cut
}

/// How many of the first tasks may share a frame in a slot whose tasks print: one with a key goes alone, for its
/// lines may be looked for, and with several tasks in a frame the one that printed is not known.
#[must_use]
pub fn findable(entries: &[u8]) -> u32 {
    let (mut rest, mut count) = (entries, 0);
    while count < MAX_TASKS
        && let Ok(Some(head)) = task_head(rest)
        && options(rest, &head).key.is_none()
    {
        rest = &rest[head.length..];
        count += 1;
    }
    count.max(1)
}

/// The timeout of the task whose entry begins `entry`: its call's own, or its task type's. One that never comes is none.
#[must_use]
pub fn timeout(entry: &[u8], head: &TaskHead, task_types: &[TaskTypeInfo]) -> Option<Duration> {
    let timeout = options(entry, head).timeout.or_else(|| {
        task_types
            .get(usize::from(head.task_type))
            .and_then(|task_type| task_type.timeout)
    });
    // What travelled is not trusted: a timeout past any clock is none.
    timeout.filter(|timeout| *timeout < NEVER)
}

/// The memory that the task whose entry begins `entry` declares: its call's own, or its task type's.
#[must_use]
pub fn memory(entry: &[u8], head: &TaskHead, task_types: &[TaskTypeInfo]) -> Option<u64> {
    options(entry, head).memory.or_else(|| {
        let task_type = task_types.get(usize::from(head.task_type));
        task_type.and_then(|task_type| task_type.memory)
    })
}

/// What the call of the task whose entry begins `entry` overrides.
pub(super) fn options(entry: &[u8], head: &TaskHead) -> EntryOptions {
    if head.options == 0 {
        return EntryOptions::default();
    }
    // Options that cannot be read leave the task's own; the slot rejects the task with the reason.
    codec::decode(&entry[TASK_HEAD..TASK_HEAD + head.options]).unwrap_or_default()
}

#[cfg(test)]
mod tests;
