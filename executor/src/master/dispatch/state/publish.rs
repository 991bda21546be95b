//! Tasks leave the outbox in batches.

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::codec;
use podpool_core::envelope::entry::put_task;
use podpool_core::envelope::{Batch as BatchHead, Body, EntryOptions, TaskRun, TaskType};
use podpool_core::id::TaskId;
use podpool_core::outcome::{Cause, Failure};
use tokio::time::Instant;

use crate::error::{AttemptReport, TaskError};

use super::super::batches::Batch;
use super::super::classes::Class;
use super::super::effect::Effect;
use super::super::outbox::{ALONE_BYTES, Choice, MAX_BYTES};
use super::super::table::{Entry, Phase};
use super::MasterState;

/// Batches for each slot that hide a queue's distance, however small they are.
// With 16 before it, a slot has work for a round trip of 160 ms even if each batch takes 10 ms. At half slots of a
// distant pod might wait; at double twice as many small messages are out before batches begin to grow.
pub(super) const CROWD: usize = 16;
/// Bytes that a message may take beside one task's arguments.
// The key below takes a quarter of it. The rest is for version, run, the task type's name and fingerprint, the entry's
// head and the MAC.
const OVERHEAD: usize = 4096;
/// Most bytes of a task's key: it travels with the task, beside its arguments.
const KEY_BYTES: usize = 1024;

impl MasterState {
    /// Publishes what may go: until nothing waits, or enough is out.
    pub(crate) fn publish(&mut self, now: Instant) {
        // With one class nothing declares memory.
        if self.admission.is_some() && self.classes.len() > 1 {
            while self.publish_admitted(now) {}
            return;
        }
        // Each class has a queue and bounds of its own, so their order makes no difference.
        for place in 0..self.classes.len() {
            let class = self.classes.at(place);
            // It ends: each turn takes a task out of the outbox, or finds none that may go.
            while self.publish_one(now, class, usize::MAX) {}
        }
    }

    /// Publishes the next batch of the classes that share memory; false when nothing may go.
    fn publish_admitted(&mut self, now: Instant) -> bool {
        let mut next = Vec::with_capacity(self.classes.len());
        for (class, known) in self.classes.iter() {
            let place = known.outbox.place(self.is_crowded(class));
            next.extend(place.map(|place| (place, class)));
        }
        if let Some(admission) = &mut self.admission
            && let Some(waits) = admission.waiting()
            && !next.iter().any(|(_, class)| *class == waits)
        {
            // What waited was cancelled.
            admission.end_wait(waits);
        }
        next.sort_unstable();
        let mut taken = false;
        for (_, class) in next {
            let most = match taken && self.memory_of(class) > 0 {
                true => 0,
                false => self.room_of(now, class),
            };
            if let Some(known) = self.classes.get_mut(class) {
                known.held = most == 0;
            }
            if most > 0 && self.publish_one(now, class, most) {
                return true;
            }
            // What becomes free is for this class.
            let admission = self.admission.as_ref();
            taken |= admission.is_some_and(|admission| admission.is_next(now, class));
        }
        false
    }

    fn memory_of(&self, class: ClassId) -> u64 {
        self.classes.get(class).map_or(0, Class::memory)
    }

    /// How many tasks of a class fit now.
    fn room_of(&mut self, now: Instant, class: ClassId) -> usize {
        let memory = self.memory_of(class);
        let Some(admission) = self.admission.as_mut().filter(|_| memory > 0) else {
            return usize::MAX;
        };
        let classes = self.classes.iter().map(|(_, class)| class);
        let out: Vec<_> = classes
            .map(|class| (class.memory(), class.outbox.published()))
            .collect();
        let room = admission.room(&out, memory);
        if room == 0 {
            admission.wait(now, class);
        } else {
            admission.end_wait(class);
        }
        room
    }

    /// Packs the next batch of a class, of no more than `room` tasks, and sends it on its way; false when nothing may go.
    fn publish_one(&mut self, now: Instant, class: ClassId, room: usize) -> bool {
        if self.is_class_full(class) {
            return false;
        }
        let crowded = self.is_crowded(class);
        let outbox = self.classes.outbox(class);
        let Some(choice) = outbox.and_then(|outbox| outbox.choose(crowded)) else {
            return false;
        };
        // Drawn before the tasks are packed, which note it, and given by `add` below: no batch may end in between.
        let batch = self.batches.next_number();
        let mut draft = Draft::default();
        let (task_type, alone) = match choice {
            Choice::Alone(id) => (self.pack_alone(class, id, batch, &mut draft), true),
            Choice::Lane { task_type, most } => {
                let most = most.min(room);
                self.pack_lane((class, task_type), most, batch, &mut draft);
                (task_type, false)
            }
        };
        self.batches.add(Batch {
            tasks: std::mem::take(&mut draft.runs),
            class,
            task_type,
            alone,
            left: draft.count,
            bytes: draft.body.len(),
            news: now,
            packed: Some(now),
            published: Some(self.wall),
            begun: None,
            // Until the queue has stored it no worker can have it, however long an upload of its payload takes: silence
            // proves nothing, and to publish it again would only double it.
            sending: true,
            doubtful: false,
            guessed: false,
        });
        let message = self.message(task_type, alone, draft);
        let next_lease = self.next_lease(now);
        // The first batch that is out starts the looks. Later ones must not move the time, or a steady run would never
        // look.
        self.republish_at.get_or_insert(next_lease);
        self.effects.push(Effect::Publish {
            class: self.classes.queue_of(class),
            batch,
            message,
        });
        true
    }

    fn pack_alone(&mut self, class: ClassId, id: TaskId, batch: u32, draft: &mut Draft) -> u32 {
        // The outbox names tasks of the table.
        let task_type = self.table.get_mut(id).map_or(u32::MAX, |it| it.task_type());
        if let Some(outbox) = self.classes.outbox(class) {
            outbox.pop_alone(task_type);
        }
        self.pack(id, batch, draft);
        task_type
    }

    fn pack_lane(
        &mut self,
        (class, task_type): (ClassId, u32),
        most: usize,
        batch: u32,
        draft: &mut Draft,
    ) {
        // `goes_on` reads every task type, and is called only where the priority changes: a batch of one priority
        // costs a look at each of its tasks.
        let mut priority = None;
        while (draft.count as usize) < most
            && let Some(outbox) = self.classes.outbox(class)
            && let Some((next, id)) = outbox.peek(task_type)
            && (*priority.get_or_insert(next) == next || outbox.goes_on(task_type))
            && self.fits(id, draft)
            && let Some(outbox) = self.classes.outbox(class)
        {
            priority = Some(next);
            outbox.pop(task_type);
            self.pack(id, batch, draft);
        }
    }

    /// A batch is stored: from now on workers can report it.
    // The tasks of a batch may end before it is stored, by a cancel. Then its number may belong to another batch, which
    // counts as stored too early and may be published again too early. That costs an execution at most.
    pub(crate) fn on_stored(&mut self, now: Instant, number: u32) {
        self.record_published(number);
        if let Some(batch) = self.batches.get_mut(number) {
            batch.sending = false;
            batch.news = now;
            // Once: the batch that is published now was put into the queue that the broker made again.
            if std::mem::take(&mut batch.doubtful) {
                self.repeat(now, number);
            }
        }
    }

    /// Whether a task may join those that are packed: large arguments go alone.
    fn fits(&mut self, id: TaskId, draft: &Draft) -> bool {
        let Some(entry) = self.table.get_mut(id) else {
            return true;
        };
        let bytes = entry.arguments.len();
        let small = bytes <= ALONE_BYTES && draft.body.len() + bytes <= MAX_BYTES;
        // The first task always fits, or a large one would hold up its lane for ever.
        draft.count == 0 || (small && entry.spec.options.pack && !draft.closed)
    }

    fn pack(&mut self, id: TaskId, number: u32, draft: &mut Draft) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        // Together: `end` and `retry` take a published task out of the batch that its entry names.
        entry.phase = Phase::Published;
        entry.batch = number;
        draft.add(id, entry);
    }

    /// The same batch again, with those of its tasks that have not ended.
    pub(super) fn repeat_batch(&mut self, now: Instant, number: u32) -> Option<(ClassId, Bytes)> {
        let batch = self.batches.get_mut(number)?;
        batch.news = now;
        batch.sending = true;
        batch.guessed = false;
        // It is unknown which of the two is answered: their time is no round trip.
        batch.packed = None;
        let (class, task_type) = (batch.class, batch.task_type);
        let (alone, runs) = (batch.alone, batch.tasks.clone());
        let mut draft = Draft::default();
        // A task that failed in this batch may be out in another one, as a newer attempt: it is not repeated with this
        // one.
        let out = |entry: &&mut Entry| entry.phase == Phase::Published && entry.batch == number;
        for task in runs.iter().flat_map(|run| run.tasks()) {
            if let Some(entry) = self.table.get_mut(task).filter(out) {
                // From now on there may be two envelopes: when the task ends, its newest attempt is revoked.
                entry.repeated = true;
                draft.add(task, entry);
            }
        }
        let queue = self.classes.queue_of(class);
        Some((queue, self.message(task_type, alone, draft)))
    }

    // Each message has a number of its own, and one that is published again has another: workers acknowledge a delivery
    // of a number whose results are stored without running it, and must run what the master publishes once more.
    fn message(&mut self, task_type: u32, alone: bool, draft: Draft) -> Bytes {
        let lent = draft.lent;
        let head = BatchHead {
            run: self.settings.run.clone(),
            epoch: self.settings.epoch,
            number: self.next_batch,
            alone,
            task_types: vec![self.task_type(task_type)],
            count: draft.count,
        };
        self.next_batch += 1;
        let message = head.close(draft.body, &self.settings.mac_key);
        // The message is the only copy of large arguments: the entry keeps a part of it for later attempts.
        if let Some((id, length)) = lent
            && let Some(entry) = self.table.get_mut(id)
        {
            let mac_key = &self.settings.mac_key;
            entry.arguments.take_back(&message, length, mac_key);
        }
        message
    }

    fn task_type(&mut self, index: u32) -> TaskType {
        let at = index as usize;
        if self.task_types.len() <= at {
            self.task_types.resize(at + 1, None);
        }
        self.task_types[at]
            .get_or_insert_with(|| super::super::task_type(index))
            .clone()
    }

    /// A task that no message can carry.
    pub(super) fn too_large(&self, id: TaskId, entry: &Entry) -> Option<TaskError> {
        let key = entry
            .options
            .as_ref()
            .and_then(|options| options.key.as_deref());
        let (key, size) = (key.map_or(0, str::len), entry.arguments.len());
        let limit = self.settings.message_bytes.saturating_sub(OVERHEAD);
        let reason = if key > KEY_BYTES {
            format!(
                "its key of {key} bytes is longer than {KEY_BYTES} bytes; give it a shorter one, a hash of it for instance"
            )
        } else if size > limit {
            format!(
                "its arguments of {size} bytes are larger than the {limit} bytes that a message carries; give the pool a payload store (`.payload_store(\"gs://…\")` or PODPOOL_PAYLOAD_STORE), or pass them by reference, as a path or a URL"
            )
        } else {
            return None;
        };
        let failure = Failure::new(Cause::Rejected, reason);
        let attempts = vec![AttemptReport::new(entry.attempt, failure)];
        Some(TaskError::of_attempts(entry.subject(id), attempts))
    }
}

/// A batch that is being packed.
#[derive(Debug, Default)]
struct Draft {
    body: Body,
    runs: Vec<TaskRun>,
    count: u32,
    /// Nothing may join: its task is large, or its type is not packed.
    closed: bool,
    /// The task whose arguments the body is made of, and their length.
    lent: Option<(TaskId, usize)>,
}

impl Draft {
    fn add(&mut self, id: TaskId, entry: &mut Entry) {
        let options = encoded_options(entry);
        let length = entry.arguments.len();
        self.closed |= !entry.spec.options.pack || length > ALONE_BYTES;
        // Only the first: the memory of its arguments becomes the body, and a second task's cannot. Arguments that were
        // sent before are shared with that message, and are copied.
        let lent = match self.count {
            0 => entry.arguments.lend(id, entry.attempt, 0, &options),
            _ => None,
        };
        if let Some(body) = lent {
            self.body = body;
            self.lent = Some((id, length));
            self.closed = true;
        } else if put_task(
            self.body.entries_mut(),
            id,
            entry.attempt,
            0,
            &options,
            &entry.arguments,
        )
        .is_err()
        {
            // Arguments past the message's limit were rejected on their way in, and so were long keys.
            return;
        }
        TaskRun::push(&mut self.runs, id, entry.attempt);
        self.count += 1;
    }
}

fn encoded_options(entry: &Entry) -> Vec<u8> {
    let Some(options) = &entry.options else {
        return Vec::new();
    };
    let options = EntryOptions {
        key: options.key.clone(),
        timeout: options.timeout,
        memory: options.memory,
        force: options.force,
    };
    if options == EntryOptions::default() {
        return Vec::new();
    }
    codec::encode(&options).unwrap_or_default()
}
