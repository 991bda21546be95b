//! The fleet of the simulation: workers die, and it reports that or does not; the run's end is an order to it.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::BrokerEvent;
use podpool_core::fleet::{Departure, End, FleetEvent, FleetOrder};

use super::events::Event;
use super::world::World;

impl World {
    /// A worker is gone.
    pub(super) fn die(&mut self, number: usize) {
        match self.site.die(number) {
            Some((End::Died(_), task)) => *self.blamed.entry(task.0).or_default() += 1,
            Some((End::OutOfMemory(_), task)) => _ = self.framed.insert(task.0),
            _ => {}
        }
    }

    /// The master gives the fleet an order.
    pub(super) fn order(&mut self, order: &FleetOrder) {
        match order {
            FleetOrder::End | FleetOrder::Stop | FleetOrder::Abandon => {
                assert!(
                    !self.abandoned || *order == FleetOrder::Abandon,
                    "what another master has is left alone"
                );
                self.abandoned |= *order == FleetOrder::Abandon;
                self.site.at(Duration::from_millis(500), Event::FleetEnded);
            }
            _ => {}
        }
    }

    pub(super) fn report_surplus(&mut self, name: Arc<str>) {
        self.duties.surplus(name.clone());
        self.master
            .on_fleet(self.site.now, FleetEvent::Surplus(name));
    }

    pub(super) fn report_departure(&mut self, departure: Departure) {
        self.duties.departed(&departure);
        self.master
            .on_fleet(self.site.now, FleetEvent::Gone(departure));
    }

    pub(super) fn end_fleet(&mut self) {
        self.duties.fleet_ended();
        let leftovers = Vec::new();
        self.master
            .on_fleet(self.site.now, FleetEvent::Ended { leftovers });
    }

    /// The queues were lost and made again: they are empty.
    pub(super) fn restore_queues(&mut self) {
        self.site.queue.clear();
        self.duties.broker(&BrokerEvent::Restored);
        self.master.on_broker(self.site.now, BrokerEvent::Restored);
    }
}
