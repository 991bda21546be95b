//! The parcels that are out, and what is still expected from each.

use podpool_core::envelope::TaskRun;
use tokio::time::Instant;

/// A parcel that was published.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Its tasks, ended or not.
    pub(super) tasks: Vec<TaskRun>,
    pub(super) kind: u32,
    pub(super) alone: bool,
    /// Tasks of it whose attempt is still expected to end.
    pub(super) left: u32,
    pub(super) bytes: usize,
    /// When something was last heard of it.
    pub(super) news: Instant,
    /// When it was packed; none once results of it came, or it was published again.
    pub(super) packed: Option<Instant>,
    /// Whether it is not stored yet: nobody can have it.
    pub(super) sending: bool,
    /// Whether it is to be published once more when it is stored: the queue lost messages meanwhile.
    pub(super) doubtful: bool,
}

/// All parcels that are out, by a small number that is used again.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    slots: Vec<Option<Parcel>>,
    free: Vec<u32>,
    out: usize,
    bytes: usize,
}

impl Parcels {
    /// How many are out.
    pub(super) const fn out(&self) -> usize {
        self.out
    }

    /// Bytes of arguments in them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number that the next parcel will have.
    pub(super) fn next_number(&self) -> u32 {
        self.free
            .last()
            .copied()
            .unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn add(&mut self, parcel: Parcel) -> u32 {
        let number = self.next_number();
        self.out += 1;
        self.bytes += parcel.bytes;
        match self.free.pop() {
            Some(free) => self.slots[free as usize] = Some(parcel),
            None => self.slots.push(Some(parcel)),
        }
        number
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Parcel> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    /// One task's attempt is no longer expected to end.
    pub(super) fn task_left(&mut self, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        let Some(parcel) = slot else { return };
        parcel.left -= 1;
        if parcel.left == 0 {
            self.out -= 1;
            self.bytes -= parcel.bytes;
            *slot = None;
            self.free.push(number);
        }
    }

    /// The queue lost messages: those that are on their way may be among them.
    pub(super) fn doubt_sending(&mut self) {
        let sending = |parcel: &&mut Parcel| parcel.sending;
        for parcel in self.slots.iter_mut().flatten().filter(sending) {
            parcel.doubtful = true;
        }
    }

    /// The numbers of those of which nothing was heard after `before`, though they are stored.
    pub(super) fn silent(&self, before: Instant) -> Vec<u32> {
        let silent = |(_, slot): &(usize, &Option<Parcel>)| {
            slot.as_ref()
                .is_some_and(|parcel| parcel.news <= before && !parcel.sending)
        };
        let numbers = self.slots.iter().enumerate().filter(silent);
        numbers
            .filter_map(|(number, _)| u32::try_from(number).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podpool_core::id::{Attempt, TaskId};

    use super::*;

    fn parcel(left: u32, bytes: usize, news: Instant) -> Parcel {
        let mut tasks = Vec::new();
        (0..u64::from(left)).for_each(|n| TaskRun::push(&mut tasks, TaskId(n), Attempt::FIRST));
        Parcel {
            tasks,
            kind: 0,
            alone: false,
            left,
            bytes,
            news,
            packed: Some(news),
            sending: false,
            doubtful: false,
        }
    }

    #[test]
    fn a_parcel_leaves_with_its_last_task_and_its_number_is_used_again() {
        let now = Instant::now();
        let mut parcels = Parcels::default();
        for (number, left) in [2, 1, 3].into_iter().enumerate() {
            assert_eq!(parcels.next_number() as usize, number);
            assert_eq!(parcels.add(parcel(left, 100, now)) as usize, number);
        }
        parcels.task_left(0);
        assert_eq!((parcels.out(), parcels.bytes()), (3, 300));
        parcels.task_left(1);
        assert_eq!((parcels.out(), parcels.bytes()), (2, 200));
        assert!(parcels.get_mut(1).is_none());
        parcels.task_left(1);
        parcels.task_left(77);
        assert_eq!((parcels.out(), parcels.bytes()), (2, 200), "nobody's tasks");
        assert_eq!(parcels.next_number(), 1);
        assert_eq!(parcels.add(parcel(1, 1, now)), 1);
        assert_eq!(parcels.next_number(), 3);
    }

    #[test]
    fn those_without_news_are_silent() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut parcels = Parcels::default();
        for seconds in [0, 10, 20] {
            parcels.add(parcel(1, 1, at(seconds)));
        }
        assert_eq!(parcels.silent(at(10)), [0, 1]);
        parcels.get_mut(0).unwrap().news = at(30);
        parcels.task_left(1);
        assert_eq!(parcels.silent(at(10)), [0_u32; 0]);
        assert_eq!(parcels.silent(at(20)), [2]);
    }
}
