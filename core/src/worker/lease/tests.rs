//! Tests of leases that are due or lost.

use super::*;

const LEASE: Duration = Duration::from_secs(60);

fn id(name: &str) -> LeaseId {
    LeaseId::new(name)
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_between_a_sixth_and_a_third() {
    let start = Instant::now();
    let mut leases = Leases::new(LEASE);
    leases.hold(id("a"), start);
    assert!(leases.due(start + LEASE / 7).is_empty());
    assert_eq!(leases.due(start + LEASE / 6), [id("a")]);
    assert!(
        leases.due(start + LEASE / 3).is_empty(),
        "one renewal at a time"
    );
    assert!(!leases.renewed(&id("a"), start + LEASE / 6, &Ok(())));
    assert!(
        leases.expired(start + LEASE).is_empty(),
        "counted from the renewal"
    );
    assert_eq!(leases.expired(start + LEASE / 6 + LEASE), [id("a")]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_is_a_loss_and_a_fault_is_not() {
    let start = Instant::now();
    let mut leases = Leases::new(LEASE);
    leases.hold(id("a"), start);
    let fault = QueueError::Unavailable {
        queue: "q".into(),
        reason: "busy".into(),
    };
    assert!(!leases.renewed(&id("a"), start, &Err(fault)));
    assert!(leases.renewed(&id("a"), start, &Err(QueueError::LeaseLost(id("a")))));
    assert!(
        !leases.renewed(&id("a"), start, &Err(QueueError::LeaseLost(id("a")))),
        "only once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_lease_is_not_renewed() {
    let start = Instant::now();
    let mut leases = Leases::new(LEASE);
    leases.hold(id("a"), start);
    leases.forget(&id("a"));
    assert!(leases.due(start + LEASE).is_empty());
    assert!(leases.expired(start + LEASE).is_empty());
}
