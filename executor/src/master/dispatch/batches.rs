//! The batches that are out, and what is still expected from each.

use std::collections::BTreeMap;
use std::time::SystemTime;

use podpool_core::broker::ClassId;
use podpool_core::envelope::TaskRun;
use tokio::time::Instant;

/// A batch that was published.
#[derive(Debug)]
pub(super) struct Batch {
    /// Its tasks, ended or not.
    pub(super) tasks: Vec<TaskRun>,
    /// The class of all of them, and their type.
    pub(super) class: ClassId,
    pub(super) task_type: u32,
    pub(super) alone: bool,
    /// Tasks of it whose attempt is still expected to end.
    pub(super) left: u32,
    pub(super) bytes: usize,
    /// When a message about it, or an event in its life here, last came.
    pub(super) news: Instant,
    /// When it was packed; `None` once results of it came, or it was published again.
    pub(super) packed: Option<Instant>,
    /// When it was packed first, by the wall clock; none where an earlier master did that.
    pub(super) published: Option<SystemTime>,
    /// When a worker's report came that it has taken it; the newest, where it was delivered again.
    pub(super) begun: Option<SystemTime>,
    /// Whether it is not stored yet: no worker can have it.
    pub(super) sending: bool,
    /// Whether it is to be published once more when it is stored: the queue lost messages meanwhile.
    pub(super) doubtful: bool,
    /// Whether its tasks are only supposed to be in one message: an earlier master published them.
    pub(super) guessed: bool,
}

/// What is out of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Batches.
    pub(super) batches: usize,
    /// Bytes of arguments in them.
    pub(super) bytes: usize,
}

/// All batches that are out, by a small number that is used again.
// The number is a place in a vector, and each entry of the table names its batch by 4 bytes. A number that grew would
// need a map of every batch. Workers never see it: a message has a number of its own, which is not used again.
#[derive(Debug, Default)]
pub(super) struct Batches {
    slots: Vec<Option<Batch>>,
    free: Vec<u32>,
    // Kept up to date and not summed: it is read before each batch.
    loads: BTreeMap<ClassId, Load>,
}

impl Batches {
    /// Whether none is out.
    pub(super) fn is_empty(&self) -> bool {
        self.loads.values().all(|load| load.batches == 0)
    }

    /// What is out of a class.
    pub(super) fn load(&self, class: ClassId) -> Load {
        self.loads.get(&class).copied().unwrap_or_default()
    }

    /// The number that the next batch will have.
    // The number that came free last, so that the vector is no longer than the most batches that were out at once.
    pub(super) fn next_number(&self) -> u32 {
        self.free
            .last()
            .copied()
            .unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn add(&mut self, batch: Batch) -> u32 {
        let number = self.next_number();
        let load = self.loads.entry(batch.class).or_default();
        load.batches += 1;
        load.bytes += batch.bytes;
        match self.free.pop() {
            Some(free) => self.slots[free as usize] = Some(batch),
            None => self.slots.push(Some(batch)),
        }
        number
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Batch> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// One task's attempt is no longer expected to end.
    pub(super) fn task_left(&mut self, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let Some(batch) = slot else { return };
        // It cannot go below 0: each task leaves once, when it ends or when its attempt is over, and with 0 the batch
        // goes.
        batch.left -= 1;
        if batch.left == 0 {
            if let Some(load) = self.loads.get_mut(&batch.class) {
                load.batches -= 1;
                load.bytes -= batch.bytes;
            }
            *slot = None;
            self.free.push(number);
        }
    }

    /// Some of its tasks, not all that are left, go on as another batch, with their bytes.
    pub(super) fn part(&mut self, number: u32, tasks: u32, bytes: usize) {
        let Some(batch) = self.get_mut(number) else {
            return;
        };
        let bytes = bytes.min(batch.bytes);
        (batch.left, batch.bytes) = (batch.left - tasks, batch.bytes - bytes);
        let class = batch.class;
        if let Some(load) = self.loads.get_mut(&class) {
            load.bytes -= bytes;
        }
    }

    /// Whether one is not stored yet.
    pub(super) fn are_sending(&self) -> bool {
        self.slots.iter().flatten().any(|batch| batch.sending)
    }

    /// The queue lost messages: those that are on their way may be among them.
    pub(super) fn doubt_sending(&mut self) {
        let sending = |batch: &&mut Batch| batch.sending;
        for batch in self.slots.iter_mut().flatten().filter(sending) {
            batch.doubtful = true;
        }
    }

    /// The numbers of the stored batches without news after `before`.
    // Reads every place: once a lease, and when queues were lost.
    pub(super) fn silent(&self, before: Instant) -> Vec<u32> {
        let silent = |(_, slot): &(usize, &Option<Batch>)| {
            slot.as_ref()
                .is_some_and(|batch| batch.news <= before && !batch.sending)
        };
        let numbers = self.slots.iter().enumerate().filter(silent);
        numbers
            .filter_map(|(number, _)| u32::try_from(number).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests;
