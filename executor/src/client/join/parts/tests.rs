//! Tests of parts that end without an order.

use std::future::pending;

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

/// A fleet beside this guard.
fn rig<F>(fleet: impl FnOnce(Fleet) -> F, guard: JoinHandle<Result<(), String>>) -> Rig
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
    let attended = tokio::spawn(async move { parts.attend(orders_rx, &tell, &guard_tells).await });
    Rig {
        orders,
        told,
        of_guard,
        attended,
    }
}

fn calm() -> JoinHandle<Result<(), String>> {
    tokio::spawn(async { pending().await })
}

async fn broken(rig: &mut Rig) -> String {
    match timeout(Duration::from_secs(5), rig.told.recv()).await {
        Ok(Some(FleetEvent::Broken(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

/// Nothing is pending, and there is no order.
#[tokio::test(start_paused = true)]
async fn a_loop_that_ends_while_idle_breaks_the_pool_at_once() {
    let mut rig = rig(|_| async {}, calm());
    let reason = broken(&mut rig).await;
    assert_eq!(reason, "the fleet's loop ended without an order");
    let end = rig.attended.await.unwrap();
    assert!(
        end.leftovers[0].ends_with("remove what is left of run nightly with podpool::gc::remove")
    );
    assert!(end.leftovers[1].contains("had not ended within"));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_panics_breaks_the_pool_with_its_message() {
    let fleet = |_| async { panic!("no cohort {}", 7) };
    let mut rig = rig(fleet, calm());
    let reason = broken(&mut rig).await;
    assert_eq!(reason, "the fleet's loop panicked: no cohort 7");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_ends_breaks_the_pool_and_the_fleet_receives_stop() {
    let fleet = |(mut orders, events): Fleet| async move {
        assert_eq!(orders.recv().await, Some(FleetOrder::Stop));
        let leftovers = Vec::new();
        events.send(FleetEvent::Ended { leftovers }).unwrap();
    };
    let mut rig = rig(fleet, tokio::spawn(async { Ok(()) }));
    let told = timeout(Duration::from_secs(5), rig.of_guard.recv()).await;
    let Ok(Some(BrokerEvent::Broken(reason))) = told else {
        panic!("{told:?}");
    };
    assert!(reason.starts_with(GUARD), "{reason}");
    rig.orders.send(FleetOrder::Stop).unwrap();
    let end = rig.attended.await.unwrap();
    assert!(end.leftovers.is_empty(), "{end:?}");
}
