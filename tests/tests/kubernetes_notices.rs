//! The notices of a fleet, on a real cluster. One test in this file, because a program has one global subscriber.

#![cfg(feature = "kubernetes")]

use std::time::Duration;

use podpool_tests::kubernetes::bed::{Bed, spec};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::notices::Notices;
use podpool_tests::kubernetes::ready;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

#[tokio::test]
async fn a_quota_leaves_fewer_workers_and_is_reported_in_seconds_with_its_end() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    own.quota(1).await;
    let spec = podpool::kubernetes::spec::WorkerSpec {
        namespace: Some(own.name.clone()),
        ..spec("hang")
    };
    let notices = Notices::listen();
    let mut bed = Bed::start(spec, 2).await;
    bed.needed(100);
    bed.running(1).await;
    let at = notices
        .until("1 of 2 workers run; 1 waits: a ResourceQuota")
        .await;
    println!("told after {at:?}");
    assert!(at < Duration::from_secs(20), "{at:?}");
    own.change_quota(2).await;
    bed.running(2).await;
    notices.until("2 of 2 workers run").await;
    let lines = notices.lines();
    println!("{lines:#?}");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    bed.stop().await;
    own.remove().await;
}
