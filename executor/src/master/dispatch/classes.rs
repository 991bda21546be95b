//! What the master keeps for each class of tasks: the tasks that wait, how many have not ended, what the fleet was sent.
//!
//! Results, control and the table of tasks are the run's. A class has a queue and workers of its own, so what waits for one
//! class must neither hold up another nor be counted for it.

use podpool_core::broker::ClassId;

use super::outbox::Outbox;

/// The state of one class.
#[derive(Debug)]
pub(super) struct Class {
    id: ClassId,
    /// The class whose queue its tasks go to: on one machine all go to one queue.
    queue: ClassId,
    /// Bytes that each of its tasks takes of what running tasks share; 0 where nothing is declared or shared.
    memory: u64,
    /// Whether its next task waits for memory.
    pub(super) held: bool,
    /// Its tasks that wait to be published.
    pub(super) outbox: Outbox,
    /// Its tasks that have not ended.
    pub(super) unfinished: usize,
    /// What the fleet was sent last: tasks that have not ended, up to the number of slots, and whether no more will come.
    pub(super) needed: Option<(usize, bool)>,
}

/// Most classes of a run. Tasks with further needs belong to the class whose needs are next larger.
const MOST: usize = 32;

/// All classes of a run, in the order in which the run names them.
// A run has 32 classes at most, and most runs have one: a search from the front is cheaper than a map.
#[derive(Debug)]
pub(super) struct Classes {
    all: Vec<Class>,
    slots: usize,
}

impl Class {
    fn new(id: ClassId, queue: ClassId, memory: u64, slots: usize) -> Self {
        Self {
            id,
            queue,
            memory,
            held: false,
            outbox: Outbox::new(slots),
            unfinished: 0,
            needed: None,
        }
    }

    /// Bytes that each of its tasks takes of what running tasks share.
    pub(super) const fn memory(&self) -> u64 {
        self.memory
    }

    /// Whether its next task waits for memory.
    pub(super) const fn is_held(&self) -> bool {
        self.held
    }
}

impl Classes {
    /// Classes without tasks, for so many slots in all.
    pub(super) fn new(ids: &[ClassId], slots: usize) -> Self {
        let slots = slots.max(1);
        let all = ids.iter().map(|id| Class::new(*id, *id, 0, slots));
        let all = all.collect();
        Self { all, slots }
    }

    /// The class of tasks that take so many bytes of what the running tasks of one machine share.
    pub(super) fn of_memory(&mut self, memory: u64) -> ClassId {
        if let Some(class) = self.all.iter().find(|class| class.memory == memory) {
            return class.id;
        }
        if self.all.len() >= MOST {
            let unused = |class: &&mut Class| class.memory > 0 && class.unfinished == 0;
            if let Some(unused) = self.all.iter_mut().find(unused) {
                unused.memory = memory;
                return unused.id;
            }
            let larger = self.all.iter_mut().filter(|class| class.memory > memory);
            if let Some(larger) = larger.min_by_key(|class| class.memory) {
                return larger.id;
            }
            // The largest class takes it, and its tasks count for as much from now on.
            let largest = self.all.iter_mut().max_by_key(|class| class.memory);
            return largest.map_or(ClassId::DEFAULT, |largest| {
                largest.memory = memory;
                largest.id
            });
        }
        let highest = self.all.iter().map(|class| class.id.0).max();
        let id = ClassId(highest.map_or(0, |highest| highest + 1));
        let class = Class::new(id, ClassId::DEFAULT, memory, self.slots);
        self.all.push(class);
        id
    }

    /// The class whose queue the tasks of a class go to.
    pub(super) fn queue_of(&self, id: ClassId) -> ClassId {
        self.get(id).map_or(id, |class| class.queue)
    }

    /// How many classes there are.
    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// The class at this place of the run's order.
    pub(super) fn at(&self, place: usize) -> ClassId {
        self.all[place].id
    }

    pub(super) fn get(&self, id: ClassId) -> Option<&Class> {
        self.all.iter().find(|class| class.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.all.iter_mut().find(|class| class.id == id)
    }

    /// The outbox of a class. Tasks of classes that the run does not have are rejected on their way in, so that every
    /// task of the table has one.
    pub(super) fn outbox(&mut self, id: ClassId) -> Option<&mut Outbox> {
        self.get_mut(id).map(|class| &mut class.outbox)
    }

    /// All of them, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.all.iter().map(|class| (class.id, class))
    }

    /// Everything is published from now on, measured or not.
    pub(super) fn open_gates(&mut self) {
        let outboxes = self.all.iter_mut().map(|class| &mut class.outbox);
        outboxes.for_each(Outbox::open_gates);
    }

    /// How many tasks wait, of all classes.
    pub(super) fn waiting(&self) -> usize {
        self.all.iter().map(|class| class.outbox.waiting()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_needs_are_one_class_and_beyond_the_last_the_next_larger_one_serves() {
        let mut classes = Classes::new(&[ClassId::DEFAULT], 2);
        assert_eq!(classes.of_memory(0), ClassId::DEFAULT);
        let of_ten = classes.of_memory(10);
        assert_eq!(classes.of_memory(10), of_ten);
        assert_eq!(classes.queue_of(of_ten), ClassId::DEFAULT);
        for memory in (20..).step_by(10).take(MOST - 2) {
            classes.of_memory(memory);
        }
        assert_eq!(classes.len(), MOST);
        for place in 0..MOST {
            let id = classes.at(place);
            classes.get_mut(id).unwrap().unfinished = 1;
        }
        let memory = |classes: &Classes, id| classes.get(id).map(Class::memory);
        let between = classes.of_memory(15);
        assert_eq!(memory(&classes, between), Some(20));
        let beyond = classes.of_memory(1_000);
        assert_eq!(memory(&classes, beyond), Some(1_000));
        assert_eq!(classes.of_memory(900), beyond);
        // A class without tasks takes other needs.
        classes.get_mut(of_ten).unwrap().unfinished = 0;
        assert_eq!(classes.of_memory(15), of_ten);
        assert_eq!(memory(&classes, of_ten), Some(15));
        assert_eq!(classes.len(), MOST);
    }
}
