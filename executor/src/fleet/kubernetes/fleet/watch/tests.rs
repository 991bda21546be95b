//! A watch whose resource version is too old.

use std::sync::Mutex;
use std::time::Duration;

use podpool_core::fleet::FleetEvent;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::super::cohorts::{Effect, Limits};
use super::super::super::diagnose::tests::table::objects;
use super::super::fake_api::{Answer, FakeApi};
use super::*;

/// Longer than the watch pauses before it lists again, many times over.
const BOUND: Duration = Duration::from_secs(30);

/// How many pods each list shows, in order.
const LISTS: [usize; 3] = [2, 2, 1];

/// One Job with its pods. A watch of pods after any but the last list is answered with 410: etcd was compacted.
fn answers(path: &str, lists: &Mutex<usize>) -> Answer {
    let watch = path.contains("watch=true");
    let mut seen = lists.lock().unwrap();
    match path {
        _ if path.contains("/pods") && watch && *seen < LISTS.len() => Answer::Now(200, too_old()),
        _ if watch => Answer::Open,
        _ if path.contains("/pods") => {
            let shown = LISTS[(*seen).min(LISTS.len() - 1)];
            *seen += 1;
            let pods: Vec<Value> = (0..shown).map(pod).collect();
            Answer::list("v1", "PodList", &pods)
        }
        _ if path.contains("/jobs") => Answer::list("batch/v1", "JobList", &[job()]),
        _ => Answer::list("v1", "EventList", &[]),
    }
}

/// What the API server sends to a watch whose resource version etcd no longer has.
// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>
fn too_old() -> Value {
    json!({"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired",
        "message": "The resourceVersion for the provided watch is too old.",
    }})
}

fn pod(index: usize) -> Value {
    let mut pod = objects("running").remove(0);
    pod["metadata"]["name"] = json!(format!("pp-backfill-2026-11-c0-{index}-x7k2p"));
    pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] =
        json!(index.to_string());
    pod
}

fn job() -> Value {
    objects("job-replacement-delayed").remove(0)
}

fn state() -> Cohorts {
    let second = Duration::from_secs(1);
    let mut state = Cohorts::new(Limits {
        max_workers: 2,
        slots: 1,
        start: 60 * second,
        schedule: 300 * second,
    });
    state.on_needed(Instant::now(), ClassId::DEFAULT, 2);
    state
}

#[tokio::test]
async fn a_watch_that_is_too_old_lists_again_without_a_notice_and_misses_no_deletion() {
    let lists = Mutex::new(0);
    let api = FakeApi::start(move |path| answers(path, &lists)).await;
    let cluster = api.cluster().await;
    let run = RunId::new("backfill-2026-11").unwrap();
    let mut watches = Watches::new(&cluster, &run);
    let mut state = state();
    let mut lists = 0;
    let mut effects = Vec::new();
    let gone = |effect: &Effect| matches!(effect, Effect::Report(FleetEvent::Gone(_)));
    while !effects.iter().any(gone) {
        let event = timeout(BOUND, watches.next())
            .await
            .expect("nothing is listed");
        lists += usize::from(matches!(event, ClusterEvent::Pod(Ok(Event::InitDone))));
        let now = Instant::now();
        let cut_off = watches.apply(now, event, &cluster, |_| true, &mut state);
        // A watch that is cut off leads to a question to the API, which answers: so no notice follows.
        if cut_off {
            assert_eq!(cluster.answers().await, Ok(()));
            state.on_answered(now);
        }
        effects.extend(state.take_effects());
        if lists < LISTS.len() {
            assert!(
                !effects.iter().any(gone),
                "both pods were listed again: {effects:?}"
            );
        }
    }
    assert_eq!(lists, LISTS.len());
    let told = effects
        .iter()
        .find(|effect| matches!(effect, Effect::Notify(_)));
    assert!(told.is_none(), "{told:?}");
    let lost = effects.iter().filter_map(|effect| match effect {
        Effect::Report(FleetEvent::Gone(gone)) => Some(&*gone.worker),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), ["pp-backfill-2026-11-c0-1-x7k2p"]);
    assert!(!watches.is_denied());
}
