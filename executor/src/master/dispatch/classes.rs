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
    /// Its tasks that wait to be published.
    pub(super) outbox: Outbox,
    /// Its tasks that have not ended.
    pub(super) unfinished: usize,
    /// What the fleet was sent last: tasks that have not ended, up to the number of slots, and whether no more will come.
    pub(super) needed: Option<(usize, bool)>,
}

/// All classes of a run, in the order in which the run names them.
// A run has 32 classes at most, and most runs have one: a search from the front is cheaper than a map.
#[derive(Debug)]
pub(super) struct Classes(Vec<Class>);

impl Classes {
    /// Classes without tasks, for so many slots in all.
    pub(super) fn new(ids: &[ClassId], slots: usize) -> Self {
        let class = |id: &ClassId| Class {
            id: *id,
            outbox: Outbox::new(slots.max(1)),
            unfinished: 0,
            needed: None,
        };
        Self(ids.iter().map(class).collect())
    }

    /// How many classes there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The class at this place of the run's order.
    pub(super) fn at(&self, place: usize) -> ClassId {
        self.0[place].id
    }

    pub(super) fn get(&self, id: ClassId) -> Option<&Class> {
        self.0.iter().find(|class| class.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.0.iter_mut().find(|class| class.id == id)
    }

    /// The outbox of a class. Tasks of classes that the run does not have are rejected on their way in, so that every
    /// task of the table has one.
    pub(super) fn outbox(&mut self, id: ClassId) -> Option<&mut Outbox> {
        self.get_mut(id).map(|class| &mut class.outbox)
    }

    /// All of them, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        self.0.iter().map(|class| (class.id, class))
    }

    /// How many tasks wait, of all classes.
    pub(super) fn waiting(&self) -> usize {
        self.0.iter().map(|class| class.outbox.waiting()).sum()
    }
}
