//! Where cells tell those who wait for many of them.

use std::mem;
use std::sync::Mutex;
use std::task::Waker;

use crate::lock::lock;

use super::Wakers;

/// The places of futures that ended, and who waits for one. Cells push, the set takes all at once.
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

    /// Moves what ended into `places`, which is empty; tells `waker` of the next when that is nothing.
    pub(crate) fn take(&self, places: &mut Vec<u32>, waker: &Waker) {
        let mut ended = lock(&self.0);
        mem::swap(&mut ended.places, places);
        if places.is_empty() {
            ended.waker = Some(waker.clone());
        }
    }
}
