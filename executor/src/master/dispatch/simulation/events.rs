//! What happens in a simulation, and when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::envelope::Control;
use podpool_core::fleet::Departure;
use podpool_core::id::TaskId;
use podpool_core::slot::{SlotEvent, SlotId};
use podpool_core::worker::effect::Receipt;
use tokio::time::Instant;

use super::slots::Step;
use super::strangers::Report;

/// One thing that happens. Where it touches a worker, it names the worker's life: what was meant for an earlier one is
/// dropped.
#[derive(Clone, Debug)]
pub(super) enum Event {
    ToMaster(Bytes),
    /// A batch is stored.
    Stored(u32),
    /// An old batch is delivered once more.
    Replay(Bytes),
    ToWorker(usize, Control),
    Confirmed(usize, u64, Receipt),
    Pull(usize, u64),
    Keep(usize, u64),
    Said(usize, u64, SlotId, SlotEvent),
    Step(usize, u64, SlotId, Step),
    Submit,
    Cancel(TaskId),
    Die(usize),
    /// What a worker sends reaches the master only after this time.
    Mute(usize, Duration),
    /// A worker reports how an attempt ended.
    Report(Report),
    /// A greeting of a worker that is not there for long.
    Greet(Bytes),
    Surplus(Arc<str>),
    Gone(Departure),
    FleetEnded,
    /// The queues are made again, empty.
    Restored,
    /// What ends the run comes.
    End,
}

impl Event {
    /// The worker that it touches.
    pub(super) const fn worker(&self) -> Option<usize> {
        match self {
            Self::ToWorker(number, _)
            | Self::Confirmed(number, ..)
            | Self::Pull(number, _)
            | Self::Keep(number, _)
            | Self::Said(number, ..)
            | Self::Step(number, ..)
            | Self::Mute(number, _)
            | Self::Die(number) => Some(*number),
            _ => None,
        }
    }
}

/// In a trace: short, and without what differs from process to process.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToMaster(message) => write!(f, "to the master: {} bytes", message.len()),
            Self::Greet(message) => write!(f, "a greeting: {} bytes", message.len()),
            Self::Replay(message) => write!(f, "replayed: {} bytes", message.len()),
            Self::ToWorker(number, control) => {
                write!(f, "to worker {number}: control {}", control.sequence)
            }
            Self::Said(number, life, slot, SlotEvent::Results { frame, count, .. }) => {
                write!(
                    f,
                    "worker {number}/{life} slot {}: {count} of frame {frame}",
                    slot.0
                )
            }
            Self::Said(number, life, slot, SlotEvent::Exited { exit, .. }) => {
                write!(f, "worker {number}/{life} slot {}: {exit:?}", slot.0)
            }
            Self::Gone(departure) => write!(f, "{} is gone: {:?}", departure.worker, departure.end),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What will happen, in order.
#[derive(Debug)]
pub(super) struct Events<E> {
    order: BinaryHeap<Reverse<(Instant, u64)>>,
    bodies: BTreeMap<u64, E>,
    next: u64,
}

impl<E> Default for Events<E> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<E> Events<E> {
    pub(super) fn add(&mut self, at: Instant, event: E) {
        self.order.push(Reverse((at, self.next)));
        self.bodies.insert(self.next, event);
        self.next += 1;
    }

    /// When the next one happens.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.order.peek().map(|Reverse((at, _))| *at)
    }

    /// What happens next, if it happens by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<E> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((_, number)) = self.order.pop()?;
        self.bodies.remove(&number)
    }
}
