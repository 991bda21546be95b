//! The tasks that the run remembers, by their identity: which call is which task. Pure.
//!
//! A run of a million tasks keeps them all here, so an entry is small: see [`Known`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::{
    Content, Folded, Identity, Status, TaskRecord, TypeId, TypeRecord, Why,
};
use podpool_core::shape::Fingerprint;
use podpool_core::task::TaskSpec;

use crate::error::AttemptReport;

/// What was remembered of a run when its master opened it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The task types of which it has tasks.
    pub(super) types: Vec<TypeRecord>,
    /// The newest task of each identity.
    pub(super) known: KnownTasks,
    /// The number of the next task.
    next: u64,
    /// Tasks of this program whose arguments hold maps, by name.
    unordered: HashSet<&'static str>,
    /// The tasks that have not ended, in the order of their numbers, where this master takes them in.
    pub(super) left: Vec<LeftTask>,
    /// Task types of which this program has another version or none, and of which tasks have not ended.
    pub(super) unknown: BTreeSet<String>,
}

/// A task that an earlier master left: it has not ended, and may be in a queue, or run.
#[derive(Debug)]
pub(crate) struct LeftTask {
    pub(crate) spec: &'static TaskSpec,
    pub(crate) record: TaskRecord,
    /// The newest attempt that is known to have reached a queue.
    pub(crate) published: Option<Attempt>,
    /// Attempts that gave no result, oldest first.
    pub(crate) attempts: Vec<AttemptReport>,
}

impl Memory {
    /// Of a run with these task types.
    pub(crate) fn new(types: Vec<TypeRecord>) -> Self {
        Self {
            types,
            ..Self::default()
        }
    }

    /// Takes in a task. Tasks come in the order of their numbers, so the newest of an identity stays.
    pub(crate) fn add(&mut self, task: &Folded) {
        self.known.0.insert(task.identity, Known::of(task));
        self.next = task.task.0 + 1;
    }

    /// The arguments of this task hold maps.
    pub(crate) fn add_unordered(&mut self, task: &'static str) {
        self.unordered.insert(task);
    }

    /// Numbers below this one may have been given by an earlier master.
    pub(crate) fn start_at(&mut self, first: TaskId) {
        self.next = self.next.max(first.0);
    }

    /// The number of the next task.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// A task that has not ended is taken in. They come in the order of their numbers.
    pub(crate) fn add_left(&mut self, task: LeftTask) {
        self.left.push(task);
    }

    /// A task of this type has not ended, and this program cannot run it.
    pub(crate) fn add_unknown(&mut self, task_type: &str) {
        if !self.unknown.contains(task_type) {
            self.unknown.insert(task_type.to_owned());
        }
    }

    /// The queues were made anew: nothing that was published is in them.
    pub(crate) fn forget_published(&mut self) {
        for task in &mut self.left {
            task.published = None;
        }
    }
}

/// The newest task of each identity.
#[derive(Debug, Default)]
pub(super) struct KnownTasks(HashMap<Identity, Known, BuildHasherDefault<HashIsKey>>);

/// A task that the run remembers.
// 40 bytes with its identity, 46 to 92 in the table: within the 100 that a done task may take.
#[derive(Clone, Copy, Debug)]
struct Known {
    task: TaskId,
    /// The first half of the hash of what it was called with. 64 bits suffice to tell two calls of one key apart.
    content: u64,
    task_type: u32,
    status: Status,
    /// Whether a call of this process is the task.
    claimed: Claimed,
    /// Whether a call without a key has been counted for it in this process.
    counted: bool,
    /// Whether a user asked for it although there was a result: its body runs although the task would be skipped.
    forced: bool,
}

/// Whether a task is one of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claimed {
    /// It is not: its master has gone, or it has ended.
    No,
    /// This process has it from an earlier master, and no call of this process is it yet.
    Adopted,
    /// A call of this process is it.
    Called,
}

/// A call, as far as its identity goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called<'a> {
    pub(super) name: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) content: Content,
    pub(super) task_type: TypeId,
    /// Whether the key may be called with other arguments, and a stored result is computed anew.
    pub(super) forced: bool,
    /// Which task it is, where that does not follow from the call: it is submitted again.
    pub(super) identity: Option<Identity>,
}

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A task of its own.
    New {
        identity: Identity,
        why: Why,
        /// An unended task of an earlier master that it replaces.
        replaces: Option<TaskId>,
    },
    /// A task of this process that has not ended.
    Joined(TaskId),
    /// A task whose result is stored.
    Stored(TaskId),
    /// The same: it ended in this process, which had it from an earlier master and counts it already.
    Adopted(TaskId),
    /// Its key is that of a task with other arguments.
    Conflict(TaskId),
}

/// The tasks of a run, while its master runs.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: KnownTasks,
    /// How many equal calls without a key came after the first, by the identity of that.
    equal: HashMap<Identity, u64>,
    /// Tasks of this process that have not ended.
    unended: HashMap<TaskId, Identity>,
    types: HashMap<(String, Fingerprint), TypeId>,
    /// The same by the registry's index, once it was looked up.
    by_index: Vec<Option<TypeId>>,
    /// Tasks whose stored results are of another version.
    changed: HashSet<&'static str>,
    /// Tasks whose arguments hold maps.
    unordered: HashSet<&'static str>,
}

impl Known {
    fn of(task: &Folded) -> Self {
        Self {
            task: task.task,
            content: half(task.content),
            task_type: task.task_type.0,
            status: task.status,
            claimed: Claimed::No,
            counted: false,
            forced: is_forced(task.why),
        }
    }
}

fn half(content: Content) -> u64 {
    let (half, _) = content.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*half)
}

impl Remembered {
    pub(super) fn new(memory: Memory) -> Self {
        let Memory {
            types,
            known,
            unordered,
            ..
        } = memory;
        let named = types
            .into_iter()
            .map(|it| ((it.name, it.fingerprint), it.number));
        Self {
            known,
            types: named.collect(),
            unordered,
            ..Self::default()
        }
    }

    /// The number of a task type, and whether it is new to the run.
    // By the registry's index first: a lookup by name for each submission would show in their rate.
    pub(super) fn type_of(&mut self, spec: &TaskSpec, fingerprint: Fingerprint) -> (TypeId, bool) {
        let index = spec.index.get().map_or(usize::MAX, |index| *index as usize);
        if let Some(Some(known)) = self.by_index.get(index) {
            return (*known, false);
        }
        let next = TypeId(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        let (number, new) = match self.types.entry((spec.name.to_owned(), fingerprint)) {
            Entry::Occupied(known) => (*known.get(), false),
            Entry::Vacant(place) => (*place.insert(next), true),
        };
        if index < usize::MAX {
            let length = self.by_index.len().max(index + 1);
            self.by_index.resize(length, None);
            self.by_index[index] = Some(number);
        }
        (number, new)
    }

    /// Whether users must be told that stored results of a task are of another version: the first time.
    pub(super) fn notes_change(&mut self, name: &'static str) -> bool {
        self.changed.insert(name)
    }

    /// Whether a call of a task can only be found again by its key.
    pub(super) fn needs_key(&self, task: &str) -> bool {
        self.unordered.contains(task)
    }

    /// Which task a call is. For a task of its own, `number` is the task's from now on.
    pub(super) fn claim(&mut self, call: &Called<'_>, number: TaskId) -> Claim {
        let identity = call.identity.unwrap_or_else(|| self.identity(call));
        // A task that is submitted again is not counted: the program's own call of it comes later, and is this task too.
        let counted = call.identity.is_none();
        let claim = match self.known.0.get(&identity) {
            None => Claim::New {
                identity,
                why: Why::First,
                replaces: None,
            },
            Some(known) => judge(known, call, identity),
        };
        match claim {
            Claim::New { .. } => {
                self.unended.insert(number, identity);
                let known = Known {
                    task: number,
                    content: half(call.content),
                    task_type: call.task_type.0,
                    status: Status::Unended,
                    claimed: Claimed::Called,
                    counted,
                    forced: matches!(claim, Claim::New { why, .. } if is_forced(why)),
                };
                self.known.0.insert(identity, known);
            }
            Claim::Stored(task) | Claim::Joined(task) | Claim::Adopted(task) => {
                if let Some(known) = self.known.0.get_mut(&identity) {
                    let claimed = std::mem::replace(&mut known.claimed, Claimed::Called);
                    known.counted |= counted;
                    if claimed == Claimed::Adopted && claim == Claim::Stored(task) {
                        return Claim::Adopted(task);
                    }
                }
            }
            Claim::Conflict(_) => {}
        }
        claim
    }

    fn identity(&mut self, call: &Called<'_>) -> Identity {
        if let Some(key) = call.key {
            return Identity::keyed(call.name, key);
        }
        let counted = |before| Identity::counted(call.name, call.content, before);
        let first = counted(0);
        if !self.known.0.get(&first).is_some_and(|known| known.counted) {
            return first;
        }
        // Counted only from the second equal call on: most calls are alone.
        let count = self.equal.entry(first).or_default();
        *count += 1;
        counted(*count)
    }

    /// A task of an earlier master goes on as a task of this process: calls of its identity join it.
    pub(super) fn adopt(&mut self, task: TaskId, identity: Identity) {
        if let Some(known) = self.known.0.get_mut(&identity) {
            known.claimed = Claimed::Adopted;
            self.unended.insert(task, identity);
        }
    }

    /// Whether a task of this process is remembered and has not ended.
    pub(super) fn is_unended(&self, task: TaskId) -> bool {
        self.unended.contains_key(&task)
    }

    /// A task of this process ended. False where it is not remembered.
    pub(super) fn end(&mut self, task: TaskId, status: Status) -> bool {
        let Some(identity) = self.unended.remove(&task) else {
            return false;
        };
        if let Some(known) = self.known.0.get_mut(&identity)
            && known.task == task
        {
            known.status = status;
        }
        true
    }
}

/// Whether a task runs because a user asked for it.
pub(super) const fn is_forced(why: Why) -> bool {
    matches!(why, Why::Forced | Why::Reprocessed)
}

/// What a call of an identity that the run knows is.
fn judge(known: &Known, call: &Called<'_>, identity: Identity) -> Claim {
    let again = |why, replaces| Claim::New {
        identity,
        // What a user asked for is asked for until it is done.
        why: match known.forced && known.status != Status::Done {
            true => Why::Reprocessed,
            false => why,
        },
        replaces,
    };
    // Another version, or another shape of arguments or output: the encodings cannot be compared.
    let changed = known.task_type != call.task_type.0;
    let claimed = known.claimed != Claimed::No;
    let other = !changed && known.content != half(call.content);
    match known.status {
        // The arguments first: a key that stands for two things is an error of the program, whatever became of the
        // first. While that runs, `force` cannot replace it.
        Status::Unended if claimed && other => Claim::Conflict(known.task),
        _ if other && !call.forced => Claim::Conflict(known.task),
        Status::Unended if claimed => Claim::Joined(known.task),
        // Its master has gone, and so have its messages.
        Status::Unended => again(Why::Interrupted, Some(known.task)),
        Status::Failed => again(Why::Failed, None),
        Status::Done if call.forced && other => again(Why::Forced, None),
        Status::Done if call.forced => again(Why::Reprocessed, None),
        Status::Done if changed => again(Why::Changed, None),
        Status::Done => Claim::Stored(known.task),
        _ => again(Why::Cancelled, None),
    }
}

/// An identity is a hash already: its two halves, one over the other, are the table's hash.
#[derive(Debug, Default)]
pub(super) struct HashIsKey(u64);

impl Hasher for HashIsKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    // The length of the array, which says nothing.
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests;
