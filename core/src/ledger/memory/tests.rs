//! The reference against the conformance suite, and what it adds for tests.

use std::sync::Arc;

use super::*;
use crate::conformance::ledger::{Place, all};
use crate::id::RunName;
use crate::ledger::Master;

#[test]
fn the_reference_keeps_every_promise() {
    all(&|| {
        let ledger = MemoryLedger::new();
        Place::new(Arc::new(ledger.clone()), Arc::new(ledger))
    });
}

#[test]
fn a_forgotten_master_is_dead_and_appends_no_more() {
    let ledger = MemoryLedger::new();
    let name = RunName::new("nightly").unwrap();
    let opening = Opening {
        which: Which::Named {
            fresh: RunId::of(&name),
            name,
            mac_key: [0; 32],
        },
        master: Master::default(),
        take_over: false,
        now: SystemTime::UNIX_EPOCH,
    };
    let mut first = ledger.open(&opening).unwrap();
    ledger.forget(&first.run);
    let refused = first.ledger.append(&[], SystemTime::UNIX_EPOCH);
    assert!(refused.unwrap_err().to_string().contains("store"));
    let second = ledger.open(&opening).unwrap();
    assert_eq!((second.run, second.epoch), (first.run.clone(), 2));
    drop(first.ledger);
    let held = ledger.runs().unwrap().remove(0).unwrap().held;
    assert!(held, "the second one lives");
    // A run that is not there has no master to forget.
    ledger.forget(&RunId::random());
}
