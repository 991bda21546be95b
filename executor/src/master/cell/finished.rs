//! Where cells notify a caller that waits for many of them.

use std::mem;
use std::sync::Mutex;
use std::task::Waker;

use crate::lock::lock;

use super::Wakers;

/// The places of futures that ended, and the waker of the caller that waits. Cells push, the set takes all at once.
// One list for the set and not a look at each cell: a set of 100,000 futures would be quadratic.
#[derive(Debug, Default)]
pub(crate) struct Finished(Mutex<Ended>);

#[derive(Debug, Default)]
struct Ended {
    places: Vec<u32>,
    waker: Option<Waker>,
}

impl Finished {
    /// The future at `place` ended.
    pub(crate) fn push(&self, place: u32, wakers: &mut Wakers) {
        let waker = {
            let mut ended = lock(&self.0);
            ended.places.push(place);
            // Taken with the first end: further ends before the next `take` wake nothing, since the caller takes all
            // places.
            ended.waker.take()
        };
        if let Some(waker) = waker {
            wakers.push(waker);
        }
    }

    /// Moves what ended into `places`, which is empty.
    pub(crate) fn take_ended(&self, places: &mut Vec<u32>) {
        mem::swap(&mut lock(&self.0).places, places);
    }

    /// Moves what ended into `places`, which is empty; where that is nothing, `waker` is woken by the next end.
    pub(crate) fn take(&self, places: &mut Vec<u32>, waker: &Waker) {
        // The look and the registration are one lock: an end in between would be missed. The two lists are swapped, so
        // that both keep their memory.
        let mut ended = lock(&self.0);
        mem::swap(&mut ended.places, places);
        if places.is_empty() {
            ended.waker = Some(waker.clone());
        }
    }
}
