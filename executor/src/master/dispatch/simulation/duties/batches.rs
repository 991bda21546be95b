//! What may be published and must be: new batches, and those that the queue lost.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::entry::next_task;
use podpool_core::envelope::{Batch as Head, MacKey, Message};
use tokio::time::Instant;

use super::Duties;
use super::tasks::Task;

/// Leases without news after which a batch is published again.
const LEASES: u32 = 3;
/// Time between two heartbeats of the workers, and more: what was seen by then is known.
const SEEN: Duration = Duration::from_secs(4);

/// A batch that is out.
#[derive(Debug)]
pub(super) struct Batch {
    /// Its tasks whose attempt is expected to end, with the attempt.
    left: BTreeSet<(u64, u32)>,
    alone: bool,
    bytes: usize,
    /// When something was reported of it.
    pub(super) news: Instant,
    /// When a worker had it last, as far as heartbeats show it.
    had: Instant,
    sending: bool,
    /// It is published again when it is stored.
    doubtful: bool,
}

impl Duties {
    /// A batch is published: what is in it, and whether it may be.
    pub(super) fn published(&mut self, number: u32, message: &Bytes) {
        let Ok(Message::Batch(head, entries)) = Message::read(message.clone(), &MacKey::Absent)
        else {
            panic!("not a batch");
        };
        assert!(
            self.batch_message.is_none_or(|last| head.number > last),
            "a batch's number is used twice"
        );
        self.batch_message = Some(head.number);
        assert_eq!(head.epoch, self.settings.epoch);
        let bytes = entries.len();
        let tasks = attempts(entries);
        assert_eq!(tasks.len(), head.count as usize);
        assert!(!tasks.is_empty(), "an empty batch");
        if self.batches.contains_key(&number) {
            self.published_again(number, &head, &tasks);
        } else {
            self.published_first(number, &head, &tasks, bytes);
        }
    }

    /// The same attempts are published again, and no others.
    fn published_again(&mut self, number: u32, head: &Head, tasks: &[(u64, u32)]) {
        let demanded = self.repeats.remove(&number);
        let free = demanded || (self.is_silent(number) && !self.is_held(number));
        assert!(free, "batch {number} is published again too early");
        let now = self.now;
        let batch = self.batches.get_mut(&number).expect("it is out");
        let same = tasks
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .eq(&batch.left)
            && head.alone == batch.alone;
        assert!(same, "batch {number} is {tasks:?}, not {:?}", batch.left);
        (batch.news, batch.had, batch.sending) = (now, now, true);
        for (task, _) in tasks {
            self.task_mut(*task).repeated = true;
        }
    }

    fn published_first(&mut self, number: u32, head: &Head, tasks: &[(u64, u32)], bytes: usize) {
        assert!(!self.is_full(), "more is out than may be");
        self.check_order(tasks[0].0, head.alone);
        for (id, attempt) in tasks {
            let task = self.task(*id);
            let waits = task.may_wait(self.now) && task.attempt == *attempt;
            assert!(
                waits,
                "task {id} does not wait: attempt {attempt}, {task:?}"
            );
            assert_eq!(head.alone, task.alone, "whether task {id} runs alone");
        }
        let single = head.alone || !self.is_measured(tasks[0].0);
        assert!(!single || tasks.len() == 1, "a task travels beside others");
        for (task, _) in tasks {
            self.pending.remove(task);
            self.task_mut(*task).publish(number);
        }
        self.bytes += bytes;
        let batch = Batch {
            left: tasks.iter().copied().collect(),
            alone: head.alone,
            bytes,
            news: self.now,
            had: self.now,
            sending: true,
            doubtful: false,
        };
        self.batches.insert(number, batch);
    }

    /// Suspects go first, then the highest priority; in a task type retries go before new tasks, and older tasks first.
    fn check_order(&self, first: u64, alone: bool) {
        let (head, now) = (self.task(first), self.now);
        let rank = |number: u64, task: &Task| (-task.priority, task.attempt == 1, number);
        for number in self.pending.iter().copied() {
            let task = self.task(number);
            if !task.waits(now) {
                continue;
            }
            let before = match (task.alone, alone) {
                (true, true) => number < first,
                (own, other) if own != other => own,
                _ if task.task_type == head.task_type => rank(number, task) < rank(first, head),
                _ => task.priority > head.priority && self.is_measured(number),
            };
            assert!(!before, "task {number} is passed by task {first}");
        }
    }

    fn is_measured(&self, task: u64) -> bool {
        self.measured.contains(&self.task(task).task_type)
    }

    fn is_full(&self) -> bool {
        let Self { settings, .. } = self;
        self.batches.len() >= settings.batches_out || self.bytes >= settings.bytes_out
    }

    /// While not enough is out, no task waits that may go.
    pub(super) fn check_waiting(&self) {
        if self.is_full() {
            return;
        }
        let waiting = self.pending.iter().copied();
        for number in waiting.filter(|it| self.task(*it).waits(self.now)) {
            let open = self.task(number).alone || self.is_measured(number) || self.has_few(number);
            assert!(!open, "task {number} waits though little is out");
        }
    }

    /// Whether few tasks are out of this one's type.
    fn has_few(&self, task: u64) -> bool {
        let task_type = self.task(task).task_type;
        let unended = self.unended.iter().map(|it| self.task(*it));
        let out = unended.filter(|it| it.is_out() && it.task_type == task_type);
        out.count() < 4 * self.settings.slots
    }

    /// A task's attempt is no longer expected to end.
    pub(super) fn leave_batch(&mut self, number: u64) {
        let task = self.task(number);
        let key = (number, task.attempt);
        let Some(place) = task.batch() else { return };
        let batch = self.batches.get_mut(&place).expect("it is out");
        assert!(batch.left.remove(&key));
        if batch.left.is_empty() {
            self.bytes -= batch.bytes;
            self.batches.remove(&place);
        }
    }

    /// A batch is stored.
    pub(in super::super) fn stored(&mut self, number: u32) {
        if let Some(batch) = self.batches.get_mut(&number) {
            batch.sending = false;
            (batch.news, batch.had) = (self.now, self.now);
            if std::mem::take(&mut batch.doubtful) {
                self.repeats.insert(number);
            }
        }
    }

    /// The queues are made again: everything that is out follows.
    pub(super) fn restored(&mut self) {
        for (number, batch) in &mut self.batches {
            if batch.sending {
                batch.doubtful = true;
            } else {
                self.repeats.insert(*number);
            }
        }
    }

    /// Whether nothing was reported of a stored batch for three leases, while a worker is idle.
    fn is_silent(&self, number: u32) -> bool {
        let batch = &self.batches[&number];
        let before = self.now.checked_sub(self.settings.lease * LEASES);
        !batch.sending && before.is_some_and(|before| batch.news <= before && self.is_idle(before))
    }

    fn before(&self) -> Option<Instant> {
        self.now.checked_sub(self.settings.lease * LEASES)
    }

    fn is_held(&self, number: u32) -> bool {
        let Some(before) = self.before() else {
            return true;
        };
        let held = self.held_after(before);
        let batch = &self.batches[&number];
        batch.left.iter().any(|(task, _)| held.contains(task))
    }

    /// Before a heartbeat changes what is known: what the workers had until now.
    pub(super) fn look_at_batches(&mut self) {
        let Some(before) = self.before() else { return };
        let held = self.held_after(before);
        for batch in self.batches.values_mut() {
            if batch.left.iter().any(|(task, _)| held.contains(task)) {
                batch.had = self.now;
            }
        }
    }

    /// What no worker has is published again within three leases and one, while a worker is idle.
    pub(super) fn check_overdue(&mut self) {
        let Some(before) = self.before() else { return };
        let idle = self.is_idle(before).then_some(self.now);
        self.idle_since = idle.map(|now| self.idle_since.unwrap_or(now));
        let lease = self.settings.lease;
        let long_idle = |since: Instant| self.now > since + lease + SEEN;
        if !self.idle_since.is_some_and(long_idle) {
            return;
        }
        for (number, batch) in &self.batches {
            let overdue = batch.news.max(batch.had) + lease * (LEASES + 1) + SEEN < self.now;
            assert!(
                !overdue || batch.sending,
                "batch {number} is not published again"
            );
        }
    }
}

fn attempts(mut entries: Bytes) -> Vec<(u64, u32)> {
    let mut tasks = Vec::new();
    while let Some(entry) = next_task(&mut entries).expect("whole entries") {
        tasks.push((entry.task.0, entry.attempt.0));
    }
    tasks
}
