//! The parts of a run's fleet that run beside each other: its loop, and the guard of its queues. What ends although
//! nobody asked it to breaks the pool at once, whether or not a task is pending.

use std::time::Duration;

use podpool_core::broker::BrokerEvent;
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::leftover::advice;

/// The fleet's loop, by name.
pub(super) const FLEET: &str = "the fleet's loop";
/// The guard, by name, and how long it may take to end: it completes what it has begun to make.
pub(super) const GUARD: &str = "the guard of the run's queues";
const GUARD_ENDS: Duration = Duration::from_secs(60);

/// What runs, and how it is reached.
pub(super) struct Parts {
    pub(super) run: RunId,
    /// Tells at its end whether other runs were met.
    pub(super) guard: JoinHandle<Result<bool, String>>,
    pub(super) stop_guard: CancellationToken,
    pub(super) fleet: JoinHandle<Result<(), String>>,
    pub(super) orders: mpsc::UnboundedSender<FleetOrder>,
    pub(super) events: mpsc::UnboundedReceiver<FleetEvent>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) leftovers: Vec<String>,
    /// Another master has the run: what was made is left to it.
    pub(super) abandoned: bool,
    /// Beside another run nothing is looked for: what is the other's would be leased meanwhile.
    pub(super) met_others: bool,
}

impl Parts {
    /// Hands orders to the fleet and its events on, until it has ended; then ends the guard.
    pub(super) async fn attend(
        mut self,
        mut orders: mpsc::UnboundedReceiver<FleetOrder>,
        events: &mpsc::UnboundedSender<FleetEvent>,
        broker: &mpsc::UnboundedSender<BrokerEvent>,
    ) -> End {
        // The dispatcher may have ended before.
        let tell = |event| drop(events.send(event));
        let (mut open, mut abandoned, mut met_others) = (true, false, None);
        let leftovers = loop {
            tokio::select! {
                order = orders.recv(), if open => {
                    open = order.is_some();
                    abandoned |= order == Some(FleetOrder::Abandon);
                    // A fleet that has ended needs no orders.
                    self.orders.send(order.unwrap_or(FleetOrder::Stop)).ok();
                }
                event = self.events.recv() => match event {
                    Some(FleetEvent::Ended { leftovers }) => break leftovers,
                    Some(event) => tell(event),
                    None => {
                        let reason = why(FLEET, self.fleet.await);
                        tell(FleetEvent::Broken(reason.clone()));
                        let run = &self.run;
                        break vec![format!("{reason}; {}", advice(run))];
                    }
                },
                ended = &mut self.guard, if met_others.is_none() => {
                    met_others = Some(true);
                    // The same holds here.
                    broker.send(BrokerEvent::Broken(why(GUARD, ended))).ok();
                }
            }
        };
        self.stop_guard.cancel();
        let mut end = End {
            leftovers,
            abandoned,
            met_others: true,
        };
        if met_others.is_none() {
            end.met_others = last_of(self.guard, &mut end.leftovers).await;
        }
        end
    }
}

/// Waits for the guard. Whether it met other runs; one that does not tell may have.
async fn last_of(guard: JoinHandle<Result<bool, String>>, leftovers: &mut Vec<String>) -> bool {
    match timeout(GUARD_ENDS, guard).await {
        Ok(Ok(Ok(met))) => return met,
        Ok(ended) => leftovers.push(why(GUARD, ended)),
        Err(_) => leftovers.push(format!("{GUARD} had not ended within {GUARD_ENDS:?}")),
    }
    true
}

/// Why a part ended although nobody asked it to.
fn why<T>(what: &str, ended: Result<Result<T, String>, JoinError>) -> String {
    match ended {
        Ok(Err(panicked)) => panicked,
        Ok(Ok(_)) | Err(_) => format!("{what} ended although nobody asked it to"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use podpool_core::panics::caught;

    use super::*;

    /// The ends that a test holds.
    struct Rig {
        orders: mpsc::UnboundedSender<FleetOrder>,
        told: mpsc::UnboundedReceiver<FleetEvent>,
        of_guard: mpsc::UnboundedReceiver<BrokerEvent>,
        attended: JoinHandle<End>,
    }

    type Fleet = (
        mpsc::UnboundedReceiver<FleetOrder>,
        mpsc::UnboundedSender<FleetEvent>,
    );

    /// A guard that ends when it is told to, beside a fleet.
    fn rig<F>(fleet: impl FnOnce(Fleet) -> F, guard: JoinHandle<Result<bool, String>>) -> Rig
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (fleet_orders, orders_rx) = mpsc::unbounded_channel();
        let (events_tx, fleet_events) = mpsc::unbounded_channel();
        let parts = Parts {
            run: RunId::new("nightly").unwrap(),
            guard,
            stop_guard: CancellationToken::new(),
            fleet: tokio::spawn(caught(FLEET, fleet((orders_rx, events_tx)))),
            orders: fleet_orders,
            events: fleet_events,
        };
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let (guard_tells, of_guard) = mpsc::unbounded_channel();
        let attended =
            tokio::spawn(async move { parts.attend(orders_rx, &tell, &guard_tells).await });
        Rig {
            orders,
            told,
            of_guard,
            attended,
        }
    }

    fn calm() -> JoinHandle<Result<bool, String>> {
        tokio::spawn(async { pending().await })
    }

    async fn broken(rig: &mut Rig) -> String {
        match timeout(Duration::from_secs(5), rig.told.recv()).await {
            Ok(Some(FleetEvent::Broken(reason))) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is pending, and nobody gives an order.
    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_while_idle_breaks_the_pool_at_once() {
        let mut rig = rig(|_| async {}, calm());
        let reason = broken(&mut rig).await;
        assert_eq!(reason, "the fleet's loop ended although nobody asked it to");
        let end = rig.attended.await.unwrap();
        assert!(
            end.leftovers[0]
                .ends_with("remove what is left of run nightly with podpool::gc::remove")
        );
        assert!(end.leftovers[1].contains("had not ended within"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_breaks_the_pool_with_its_words() {
        let fleet = |_| async { panic!("no cohort {}", 7) };
        let mut rig = rig(fleet, calm());
        let reason = broken(&mut rig).await;
        assert_eq!(reason, "the fleet's loop panicked: no cohort 7");
    }

    #[tokio::test(start_paused = true)]
    async fn a_guard_that_ends_breaks_the_pool_and_the_fleet_is_told_to_stop() {
        let fleet = |(mut orders, events): Fleet| async move {
            assert_eq!(orders.recv().await, Some(FleetOrder::Stop));
            let leftovers = Vec::new();
            events.send(FleetEvent::Ended { leftovers }).unwrap();
        };
        let mut rig = rig(fleet, tokio::spawn(async { Ok(false) }));
        let told = timeout(Duration::from_secs(5), rig.of_guard.recv()).await;
        let Ok(Some(BrokerEvent::Broken(reason))) = told else {
            panic!("{told:?}");
        };
        assert!(reason.starts_with(GUARD), "{reason}");
        rig.orders.send(FleetOrder::Stop).unwrap();
        let end = rig.attended.await.unwrap();
        assert!(end.leftovers.is_empty(), "{end:?}");
        assert!(end.met_others, "it may have, and nothing is looked for");
    }
}
