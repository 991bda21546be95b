//! The tasks that have not ended, by sequence number.
//!
//! Numbers are dense, so chunks in a ring replace a hash map; no entry is ever copied to grow, and a chunk whose
//! tasks have all ended gives its memory back even while an older task goes on.

use std::collections::VecDeque;

use podpool_core::broker::ClassId;
use podpool_core::envelope::Arguments;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::task::{CallOptions, TaskSpec};

use crate::error::Subject;
use crate::master::owners::Owners;

use super::history::History;

/// Tasks in one chunk.
// As many as a chunk of the mailbox brings. Memory goes back by chunks: at double one long task keeps the entries of
// 2,047 others; at half the ring has twice as many chunks, each of which is looked at when all numbers are listed.
const CHUNK: usize = 1024;

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In the outbox.
    Waiting,
    /// Between two attempts.
    Delayed,
    /// In a batch, or beyond.
    Published,
    /// It has ended before, and its result is being read from the ledger.
    Stored,
}

/// A task that has not ended.
#[derive(Debug)]
pub(super) struct Entry {
    /// The receivers of its progress and its end.
    pub(super) owners: Owners,
    pub(super) spec: &'static TaskSpec,
    /// Which workers can run it.
    pub(super) class: ClassId,
    /// The encoded arguments, kept until the task ends.
    pub(super) arguments: Arguments,
    pub(super) options: Option<Box<CallOptions>>,
    /// What went wrong so far; most tasks have none.
    pub(super) history: Option<Box<History>>,
    pub(super) attempt: Attempt,
    /// The batch that its newest attempt is in, while it is published; without meaning in every other phase.
    pub(super) batch: u32,
    pub(super) phase: Phase,
    /// Whether a worker has begun with its newest attempt.
    pub(super) running: bool,
    /// Whether its next attempt runs alone.
    pub(super) alone: bool,
    /// Whether an attempt was published again, or lost an execution: another envelope may exist.
    pub(super) repeated: bool,
}

impl Entry {
    /// The registry's index of its task.
    pub(super) fn task_type(&self) -> u32 {
        // The registry was built before the pool was, and gave every task its index.
        self.spec.index.get().copied().unwrap_or(u32::MAX)
    }

    /// The task, as errors name it.
    pub(super) fn subject(&self, id: TaskId) -> Subject {
        let key = self
            .options
            .as_ref()
            .and_then(|options| options.key.clone());
        Subject {
            task: self.spec.name,
            id: Some(id),
            key,
        }
    }

    /// A worker has begun with its newest attempt. False where that was known.
    pub(super) fn set_running(&mut self) -> bool {
        self.owners.running(self.attempt);
        !std::mem::replace(&mut self.running, true)
    }

    /// No worker runs it. Returns whether one ran it before.
    pub(super) fn set_pending(&mut self) -> bool {
        self.owners.pending();
        std::mem::replace(&mut self.running, false)
    }

    pub(super) fn priority(&self) -> i32 {
        self.options.as_ref().map_or(0, |options| options.priority)
    }
}

#[derive(Debug, Default)]
struct Chunk {
    entries: Vec<Option<Entry>>,
    live: usize,
}

/// The ring.
#[derive(Debug, Default)]
pub(super) struct Table {
    chunks: VecDeque<Chunk>,
    /// The number of the first entry of the first chunk.
    base: u64,
    /// One past the newest number.
    end: u64,
    /// All tasks below it have ended.
    oldest: u64,
    live: usize,
}

impl Table {
    /// How many tasks have not ended.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    /// All tasks below have ended, but for those that were added. Before the first task of this master.
    pub(super) fn skip_to(&mut self, next: TaskId) {
        if self.chunks.is_empty() {
            self.base = next.0 - next.0 % CHUNK as u64;
        }
        self.end = self.end.max(next.0);
    }

    /// Adds the next task. Numbers come in order; a number that is left out stays empty.
    pub(super) fn insert(&mut self, id: TaskId, entry: Entry) {
        if self.end == 0 {
            // The numbers of a run that is picked up go on where its last master ended.
            self.base = id.0 - id.0 % CHUNK as u64;
        }
        // Not below the base: `drop_ended_chunks` never moves the base past the next number, and numbers only grow.
        let index = self.index(id);
        while self.chunks.len() <= index / CHUNK {
            self.chunks.push_back(Chunk::default());
        }
        let chunk = &mut self.chunks[index / CHUNK];
        let place = index % CHUNK;
        if chunk.entries.len() <= place {
            // At once and in full, so that the chunk is never moved. Places of numbers that are left out are filled
            // with `None`.
            chunk.entries.reserve_exact(CHUNK - chunk.entries.len());
            chunk.entries.resize_with(place + 1, || None);
        }
        chunk.entries[place] = Some(entry);
        chunk.live += 1;
        self.live += 1;
        self.end = self.end.max(id.0 + 1);
    }

    pub(super) fn get_mut(&mut self, id: TaskId) -> Option<&mut Entry> {
        let index = self.checked_index(id)?;
        self.chunks
            .get_mut(index / CHUNK)?
            .entries
            .get_mut(index % CHUNK)?
            .as_mut()
    }

    /// Whether this attempt of a task is the one that is out.
    pub(super) fn is_out(&mut self, id: TaskId, attempt: Attempt) -> bool {
        let out = |entry: &mut Entry| entry.attempt == attempt && entry.phase == Phase::Published;
        self.get_mut(id).is_some_and(out)
    }

    /// Takes a task out: it has ended.
    pub(super) fn remove(&mut self, id: TaskId) -> Option<Entry> {
        let index = self.checked_index(id)?;
        let chunk = self.chunks.get_mut(index / CHUNK)?;
        let entry = chunk.entries.get_mut(index % CHUNK)?.take()?;
        chunk.live -= 1;
        self.live -= 1;
        // Only a full chunk: one that is still filled would be allocated again for the next task.
        if chunk.live == 0 && chunk.entries.len() == CHUNK {
            chunk.entries = Vec::new();
            self.drop_ended_chunks();
        }
        Some(entry)
    }

    /// All tasks with lower numbers have ended: the oldest that has not, or the next one.
    pub(super) fn ended_below(&self) -> TaskId {
        // Cheap: chunks that ended are gone from the front, so that the first with a task is nearly always among the
        // first two, and only its entries are searched.
        let Some(at) = self.chunks.iter().position(|chunk| chunk.live > 0) else {
            return TaskId(self.end);
        };
        let live = self.chunks[at].entries.iter().position(Option::is_some);
        TaskId(self.base + (at * CHUNK + live.unwrap_or_default()) as u64)
    }

    /// The oldest task that has not ended.
    // Looked for in every turn: each number is passed once in the run, because tasks come in the order of their numbers.
    pub(super) fn oldest(&mut self) -> Option<(TaskId, &Entry)> {
        self.oldest = self.oldest.max(self.base);
        while self.oldest < self.end && self.get_mut(TaskId(self.oldest)).is_none() {
            self.oldest += 1;
        }
        let id = TaskId(self.oldest);
        self.get_mut(id).map(|entry| (id, &*entry))
    }

    /// The numbers of all tasks that have not ended, oldest first.
    pub(super) fn ids(&self) -> Vec<TaskId> {
        let mut ids = Vec::with_capacity(self.live);
        for (number, chunk) in self.chunks.iter().enumerate() {
            let first = self.base + (number * CHUNK) as u64;
            let live = chunk
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| entry.is_some());
            ids.extend(live.map(|(place, _)| TaskId(first + place as u64)));
        }
        ids
    }

    fn drop_ended_chunks(&mut self) {
        // Not past `end`: the last chunk still receives tasks. A chunk whose last numbers were left out is never full,
        // and goes here with the next full one.
        while let Some(front) = self.chunks.front()
            && front.live == 0
            && self.base + CHUNK as u64 <= self.end
        {
            self.chunks.pop_front();
            self.base += CHUNK as u64;
        }
    }

    fn index(&self, id: TaskId) -> usize {
        usize::try_from(id.0 - self.base).unwrap_or(usize::MAX)
    }

    fn checked_index(&self, id: TaskId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.base)?).ok()
    }
}

#[cfg(test)]
mod tests;
