//! The fleet of the simulation: workers die, and it reports that or does not; the run's end is an order to it.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::BrokerEvent;
use podpool_core::fleet::{Departure, End, FleetEvent, FleetOrder};
use podpool_core::outcome::Exit;

use super::events::Event;
use super::worker::Worker;
use super::world::{LEASE, World};

impl World {
    /// A worker is gone, with all it knew; its leases run out.
    pub(super) fn die(&mut self, number: usize) {
        let end = match self.rng.u8(..6) {
            0 => End::Died(Exit::Signal(11)),
            1 => End::OutOfMemory(None),
            _ => End::Lost,
        };
        let reported = self.chance(70);
        let gone = &self.workers[number];
        let (life, departure) = (gone.life + 1, gone.departure(end));
        if reported && let Some(task) = gone.only_task() {
            match end {
                End::Died(_) => *self.blamed.entry(task.0).or_default() += 1,
                End::OutOfMemory(_) => _ = self.framed.insert(task.0),
                _ => {}
            }
        }
        self.workers[number] = Worker::new(number, life);
        if reported {
            let after = self.soon() * 20;
            self.at(after, Event::Gone(departure));
        }
        self.at(LEASE / 2, Event::Pull(number, life));
        self.at(LEASE / 2, Event::Keep(number, life));
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
                self.at(Duration::from_millis(500), Event::FleetEnded);
            }
            _ => {}
        }
    }

    pub(super) fn report_surplus(&mut self, name: Arc<str>) {
        self.duties.surplus(name.clone());
        self.master.on_fleet(self.now, FleetEvent::Surplus(name));
    }

    pub(super) fn report_departure(&mut self, departure: Departure) {
        self.duties.departed(&departure);
        self.master.on_fleet(self.now, FleetEvent::Gone(departure));
    }

    pub(super) fn end_fleet(&mut self) {
        self.duties.fleet_ended();
        let leftovers = Vec::new();
        self.master
            .on_fleet(self.now, FleetEvent::Ended { leftovers });
    }

    /// The queues were lost and made again: they are empty.
    pub(super) fn restore_queues(&mut self) {
        self.queue.clear();
        self.duties.broker(&BrokerEvent::Restored);
        self.master.on_broker(self.now, BrokerEvent::Restored);
    }
}
