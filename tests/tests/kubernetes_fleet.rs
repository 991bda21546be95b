//! A fleet on a real cluster: workers come, go and are replaced, and nothing is left behind.

#![cfg(feature = "kubernetes")]

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DeleteParams;
use podpool::kubernetes::fleet::{Garbage, gc};
use podpool_core::fleet::{End, FleetEvent};
use podpool_core::id::{Attempt, ExecutionId, TaskId, WorkerId};
use podpool_core::outcome::Exit;
use podpool_tests::kubernetes::bed::{Bed, runs, spec, spec_with_words};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::ready;
use serde_json::json;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

#[tokio::test]
async fn a_cohort_starts_and_ends() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 2).await;
    let began = Instant::now();
    bed.needed(100);
    assert_eq!(bed.running(2).await.len(), 2);
    println!("two workers after {:?}", began.elapsed());
    assert_eq!(*bed.asked.prepared.lock().unwrap(), [(0, 2)]);
    let jobs = bed.jobs().await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].name_any(), format!("pp-{}-c0", bed.run));
    bed.end().await;
}

#[tokio::test]
async fn workers_that_leave_by_themselves_are_waited_for() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("exit:0"), 1).await;
    bed.needed(1);
    let gone = bed.gone().await;
    assert_eq!(gone.end, End::Left);
    assert!(gone.node.is_some() && gone.at.is_some());
    bed.needed(0);
    bed.end().await;
}

#[tokio::test]
async fn a_deleted_pod_is_lost_and_another_runs_within_ten_seconds() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 2).await;
    bed.needed(100);
    let victim = bed.running(2).await[0].name_any();
    let began = Instant::now();
    let now = DeleteParams::default();
    bed.cluster.pods().delete(&victim, &now).await.unwrap();
    bed.sight
        .until(|pods| {
            let others = pods.iter().filter(|pod| pod.name_any() != victim);
            others.filter(|pod| runs(pod)).count() >= 2
        })
        .await;
    let took = began.elapsed();
    println!("replaced after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let gone = bed.gone().await;
    assert_eq!((&*gone.worker, gone.end), (&*victim, End::Lost));
    println!("{}", gone.reason);
    // Two replacements come: the fleet's top-up cohort at once, and that of the Job's own controller after a back-off.
    // The later one is a worker too many.
    match bed.event().await {
        FleetEvent::Surplus(name) => assert!(name.starts_with(&format!("pp-{}-c0-", bed.run))),
        other => panic!("a worker should be surplus, not {other:?}"),
    }
    println!("surplus after {:?}", began.elapsed());
    bed.stop().await;
}

#[tokio::test]
async fn a_worker_that_exits_with_1_died_and_left_a_list_of_its_tasks() {
    if !ready(PROGRAM) {
        return;
    }
    let words = r#"{"running":[["00000000deadbeef",7,41,2]]}"#;
    let mut bed = Bed::start(spec_with_words("exit:1", words), 1).await;
    bed.needed(1);
    let gone = bed.gone().await;
    assert_eq!(gone.end, End::Died(Exit::Code(1)));
    let execution = ExecutionId {
        worker: WorkerId(0xdead_beef),
        number: 7,
    };
    assert_eq!(gone.running, [(execution, TaskId(41), Attempt(2))]);
    bed.stop().await;
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_out_of_memory() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("eat"), 1).await;
    bed.needed(1);
    let gone = bed.gone().await;
    println!("{}", gone.reason);
    assert_eq!(gone.end, End::OutOfMemory(Some(64 << 20)));
    bed.stop().await;
}

#[tokio::test]
async fn few_rights_are_enough_and_the_strictest_pod_rules_are_kept() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    // Without the right to list events only the diagnoses have less detail.
    let master = own
        .master(json!([
            {"apiGroups": ["batch"], "resources": ["jobs"],
             "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
        ]))
        .await;
    let mut bed = Bed::start_as(master, own.cluster.clone(), spec("hang"), 2);
    bed.needed(1);
    bed.running(1).await;
    // The second cohort adds itself to the owners of the Secret by a patch: the master has no right to read the Secret.
    bed.needed(2);
    bed.running(2).await;
    assert_eq!(*bed.asked.prepared.lock().unwrap(), [(0, 1), (1, 1)]);
    let secret = bed
        .cluster
        .secrets()
        .get(&format!("pp-{}", bed.run))
        .await
        .unwrap();
    assert_eq!(secret.owner_references().len(), 2, "{secret:?}");
    bed.stop().await;
    own.remove().await;
}

/// A Job is deleted with what the living master is part of: nothing, once the master has left the run, and then what the
/// next one is part of.
#[tokio::test]
async fn the_job_of_a_run_that_was_left_gets_the_next_masters_owner() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let (first, second) = (own.owner("first").await, own.owner("second").await);
    let spec = podpool::kubernetes::spec::WorkerSpec {
        namespace: Some(own.name.clone()),
        ..spec("hang")
    };
    let as_first = own.cluster.clone().owned_by(Some(first.clone()));
    let mut bed = Bed::start_as(as_first, own.cluster.clone(), spec.clone(), 1);
    bed.needed(1);
    bed.running(1).await;
    assert_eq!(bed.jobs().await[0].owner_references(), [first]);
    let mut bed = bed.leave_to(own.cluster.clone(), spec.clone(), 1).await;
    assert_eq!(bed.jobs().await[0].owner_references(), []);
    bed.needed(1);
    bed.running(1).await;
    let as_second = own.cluster.clone().owned_by(Some(second.clone()));
    let bed = bed.leave_to(as_second, spec, 1).await;
    bed.needed(1);
    bed.owned_by(&second).await;
    bed.stop().await;
    own.remove().await;
}

#[tokio::test]
async fn gc_removes_what_is_past_its_deadline_and_the_fleet_notices_it() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let spec = podpool::kubernetes::spec::WorkerSpec {
        namespace: Some(own.name.clone()),
        deadline: Some(Duration::from_secs(3_600)),
        ..spec("hang")
    };
    let mut bed = Bed::start(spec, 1).await;
    bed.needed(1);
    bed.running(1).await;
    let deadline: i64 = bed.jobs().await[0].annotations()["podpool.dev/deadline"]
        .parse()
        .unwrap();
    let early = Garbage::PastDeadline(deadline - 1);
    assert_eq!(
        gc(&own.cluster, &early).await.unwrap(),
        Vec::<String>::new()
    );
    let removed = gc(&own.cluster, &Garbage::PastDeadline(deadline))
        .await
        .unwrap();
    assert_eq!(
        removed,
        [
            format!("secret/pp-{}", bed.run),
            format!("job/pp-{}-c0", bed.run)
        ]
    );
    let reason = bed.broken().await;
    assert!(reason.contains("deleted"), "{reason}");
    bed.stop().await;
    own.remove().await;
}

#[tokio::test]
async fn a_run_is_removed_by_name_alone() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 1).await;
    bed.needed(1);
    bed.running(1).await;
    let removed = gc(&bed.cluster, &Garbage::Run(bed.run.clone()))
        .await
        .unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
    bed.broken().await;
    bed.stop().await;
}

#[tokio::test]
async fn a_fleet_whose_dispatcher_is_gone_removes_itself() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 1).await;
    bed.needed(1);
    bed.running(1).await;
    bed.abandon().await;
}

#[tokio::test]
async fn a_stop_while_the_first_cohort_is_made_leaves_nothing() {
    if !ready(PROGRAM) {
        return;
    }
    let bed = Bed::start(spec("hang"), 2).await;
    bed.needed(10);
    bed.stop().await;
    let mut bed = Bed::start(spec("hang"), 2).await;
    bed.needed(10);
    bed.sight.until(|pods| !pods.is_empty()).await;
    bed.stop().await;
}

#[tokio::test]
async fn a_master_that_comes_back_takes_its_workers_over() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 2).await;
    bed.needed(10);
    let before = bed.running(2).await;
    let mut bed = bed.succeed(spec("hang"), 3).await;
    bed.needed(10);
    let after = bed.running(3).await;
    for worker in before {
        assert!(
            after.iter().any(|pod| pod.name_any() == worker.name_any()),
            "{} was not kept",
            worker.name_any()
        );
    }
    assert_eq!(after.len(), 3);
    bed.stop().await;
}

#[tokio::test]
async fn another_master_of_the_same_run_is_refused() {
    if !ready(PROGRAM) {
        return;
    }
    let mut bed = Bed::start(spec("hang"), 1).await;
    bed.needed(10);
    bed.running(1).await;
    let cluster = bed.cluster.clone();
    let mut other = Bed::start_run(
        cluster.clone(),
        cluster,
        spec("hang"),
        1,
        bed.run.clone(),
        b"another key",
    );
    other.needed(10);
    let reason = other.broken().await;
    assert!(reason.contains("another master"), "{reason}");
    // The refused master must leave the workers of the first master alone.
    other.end_beside_another().await;
    assert_eq!(bed.jobs().await.len(), 1);
    bed.running(1).await;
    bed.stop().await;
}
