//! The parts that run beside the dispatcher: the fleet, and the guard of the run's queues. A part that ends without an
//! order breaks the pool at once, whether or not a task is pending.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::broker::{BrokerEvent, RunQueues};
use podpool_core::fleet::{FleetEvent, FleetOrder};
use podpool_core::id::RunId;
use podpool_core::panics::caught;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::leftover::advice;
use crate::fleet::{FleetRun, ReachedFleet};
use crate::master::dispatch::FleetHandle;

/// The fleet's loop, by name.
const FLEET: &str = "the fleet's loop";
/// The guard of the queues, by name, and how long it may take to end: it completes the queues that it has begun to
/// make.
const GUARD: &str = "the guard of the run's queues";
const GUARD_ENDS: Duration = Duration::from_secs(60);

/// Runs a fleet beside the guard of the run's queues, and removes the queues when it has ended.
pub(super) fn start(
    fleet: Box<dyn ReachedFleet>,
    run: FleetRun,
    queues: Arc<dyn RunQueues>,
    broker: mpsc::UnboundedSender<BrokerEvent>,
) -> FleetHandle {
    let (orders, orders_rx) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let work = attend(fleet, run, queues, orders_rx, (&events_tx, &broker));
        // `Ended` is sent after a panic too: the dispatcher waits for it, and `shutdown` would never return.
        let ended = caught("the fleet's supervision", work).await;
        let leftovers = ended.unwrap_or_else(|reason| {
            events_tx.send(FleetEvent::Broken(reason.clone())).ok();
            vec![reason]
        });
        // The dispatcher may have ended before.
        events_tx.send(FleetEvent::Ended { leftovers }).ok();
    });
    FleetHandle { orders, events }
}

type Tell<'a> = (
    &'a mpsc::UnboundedSender<FleetEvent>,
    &'a mpsc::UnboundedSender<BrokerEvent>,
);

/// Runs until the fleet has ended; returns what is left, a line for each.
async fn attend(
    fleet: Box<dyn ReachedFleet>,
    run: FleetRun,
    queues: Arc<dyn RunQueues>,
    orders: mpsc::UnboundedReceiver<FleetOrder>,
    (events, broker): Tell<'_>,
) -> Vec<String> {
    let stop_guard = CancellationToken::new();
    let (watched, stopped, tell) = (queues.clone(), stop_guard.clone(), broker.clone());
    let watching = caught(GUARD, async move { watched.watch(tell, stopped).await });
    let (fleet_orders, fleet_orders_rx) = mpsc::unbounded_channel();
    let (fleet_events_tx, fleet_events) = mpsc::unbounded_channel();
    let id = run.run.clone();
    let running = fleet.run(run, fleet_orders_rx, fleet_events_tx);
    let parts = Parts {
        run: id,
        guard: tokio::spawn(watching),
        stop_guard,
        fleet: tokio::spawn(caught(FLEET, running)),
        orders: fleet_orders,
        events: fleet_events,
    };
    let End {
        mut leftovers,
        abandoned,
    } = parts.attend(orders, events, broker).await;
    // Last: workers need their queues until they have ended, and the guard would make a removed queue again.
    if !abandoned {
        leftovers.extend(queues.remove().await);
    }
    leftovers
}

/// The parts that run, and the channels to them.
struct Parts {
    run: RunId,
    guard: JoinHandle<Result<(), String>>,
    stop_guard: CancellationToken,
    fleet: JoinHandle<Result<(), String>>,
    orders: mpsc::UnboundedSender<FleetOrder>,
    events: mpsc::UnboundedReceiver<FleetEvent>,
}

/// How the parts ended.
#[derive(Debug)]
struct End {
    leftovers: Vec<String>,
    /// Another master has the run or will have it, and the queues are left to that master.
    abandoned: bool,
}

impl Parts {
    /// Forwards orders to the fleet and the fleet's events to the dispatcher, until the fleet has ended; then ends the
    /// guard.
    async fn attend(
        mut self,
        mut orders: mpsc::UnboundedReceiver<FleetOrder>,
        events: &mpsc::UnboundedSender<FleetEvent>,
        broker: &mpsc::UnboundedSender<BrokerEvent>,
    ) -> End {
        // The dispatcher may have ended before.
        let tell = |event| drop(events.send(event));
        let (mut open, mut abandoned, mut guarded) = (true, false, true);
        let mut leftovers = loop {
            // Not `biased`: events of one channel keep their order in any case, and those of two channels have none.
            tokio::select! {
                order = orders.recv(), if open => {
                    open = order.is_some();
                    abandoned |= matches!(order, Some(FleetOrder::Abandon | FleetOrder::Detach));
                    // A closed channel becomes `Stop`, once: `open` disables the branch. A fleet that has ended needs
                    // no orders.
                    self.orders.send(order.unwrap_or(FleetOrder::Stop)).ok();
                }
                event = self.events.recv() => match event {
                    Some(FleetEvent::Ended { leftovers }) => break leftovers,
                    Some(event) => tell(event),
                    // The fleet has dropped its sender without `Ended`: it has panicked, or returned too early.
                    None => {
                        let reason = why(FLEET, self.fleet.await);
                        tell(FleetEvent::Broken(reason.clone()));
                        let run = &self.run;
                        break vec![format!("{reason}; {}", advice(run))];
                    }
                },
                ended = &mut self.guard, if guarded => {
                    guarded = false;
                    // The dispatcher may have ended before.
                    broker.send(BrokerEvent::Broken(why(GUARD, ended))).ok();
                }
            }
        };
        self.stop_guard.cancel();
        // A `JoinHandle` that has given its result must not be awaited again: that panics.
        if guarded {
            leftovers.extend(last_of(self.guard).await);
        }
        End {
            leftovers,
            abandoned,
        }
    }
}

/// Waits for the guard. Returns what is wrong with its end.
async fn last_of(guard: JoinHandle<Result<(), String>>) -> Option<String> {
    match timeout(GUARD_ENDS, guard).await {
        Ok(Ok(Ok(()))) => None,
        Ok(ended) => Some(why(GUARD, ended)),
        Err(_) => Some(format!("{GUARD} had not ended within {GUARD_ENDS:?}")),
    }
}

/// Why a part ended without an order.
fn why<T>(what: &str, ended: Result<Result<T, String>, JoinError>) -> String {
    match ended {
        Ok(Err(panicked)) => panicked,
        Ok(Ok(_)) | Err(_) => format!("{what} ended without an order"),
    }
}

#[cfg(test)]
mod tests;
