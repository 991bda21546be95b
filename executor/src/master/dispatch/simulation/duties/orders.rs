//! The orders that the fleet must receive, and the life of the run.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::fleet::FleetOrder;

use crate::error::TaskErrorKind;

use super::Duties;

/// How long the run's end waits for lines.
const COME: Duration = Duration::from_secs(1);

/// An order, without what the simulation has one of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Needed(usize, bool),
    Silent(Arc<str>),
    Heard(Arc<str>),
    End,
    Stop,
    Abandon,
}

impl From<&FleetOrder> for Order {
    fn from(order: &FleetOrder) -> Self {
        match order {
            FleetOrder::Needed {
                unfinished,
                closing,
                ..
            } => Self::Needed(*unfinished, *closing),
            FleetOrder::Missed(name) => Self::Silent(name.clone()),
            FleetOrder::Present(name) => Self::Heard(name.clone()),
            FleetOrder::End => Self::End,
            FleetOrder::Stop => Self::Stop,
            FleetOrder::Abandon => Self::Abandon,
            other => panic!("an order that is new: {other:?}"),
        }
    }
}

/// The life of the run.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) closing: bool,
    pub(super) aborted: bool,
    /// Nothing runs any more: tasks end with this.
    pub(super) broken: Option<TaskErrorKind>,
    pub(super) superseded: bool,
    /// The fleet was ordered to end, or has ended.
    pub(super) ending: bool,
    needed: Option<(usize, bool)>,
}

impl Duties {
    /// Another master has the run: this one leaves everything to it.
    pub(super) fn supersede(&mut self) {
        if !self.life.superseded {
            self.life.superseded = true;
            self.life.broken.get_or_insert(TaskErrorKind::PoolBroken);
            self.life.ending = true;
            self.orders.push(Order::Abandon);
            self.end_all(TaskErrorKind::PoolBroken);
        }
    }

    /// Nothing runs any more.
    pub(super) fn break_run(&mut self, kind: TaskErrorKind) {
        if self.life.broken.is_none() {
            self.life.broken = Some(kind);
            self.end_all(kind);
        }
    }

    /// The fleet has ended.
    pub(in super::super) fn fleet_ended(&mut self) {
        self.judge_all();
        self.life.ending = true;
    }

    /// What the fleet must be ordered at the end of a turn.
    pub(super) fn conclude_orders(&mut self) {
        if self.life.broken.is_some() && !self.life.ending {
            self.life.ending = true;
            self.orders.push(Order::Stop);
        }
        let over = self.life.closing && self.unended.is_empty();
        if over && self.lines_are_here() && !self.life.ending {
            self.life.ending = true;
            self.orders.push(Order::End);
        }
        let (unended, closing) = (self.unended.len(), self.life.closing);
        let needed = Some((unended.min(self.settings.slots), closing));
        if !over && !self.life.ending && needed != self.life.needed {
            self.life.needed = needed;
            self.orders.push(Order::Needed(unended, closing));
        }
    }

    /// Whether all printed lines have come, or were waited for long enough.
    fn lines_are_here(&mut self) -> bool {
        if self.lines.values().any(|lines| lines.come < lines.printed) {
            if self.now < *self.lines_end.get_or_insert(self.now + COME) {
                return false;
            }
            self.lines.clear();
        }
        self.lines_end = None;
        true
    }
}
