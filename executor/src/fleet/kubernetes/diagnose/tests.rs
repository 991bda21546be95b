//! Every verdict, from the status that a cluster sends.

#![expect(
    clippy::needless_pass_by_value,
    reason = "statuses are written where they are used"
)]

use k8s_openapi::api::batch::v1::Job;
use podpool_core::outcome::Exit;
use serde_json::{Value, json};

use super::*;

mod end;
pub(crate) mod table;

/// A pod of one worker with this status; `metadata` is merged over nothing.
fn pod(metadata: Value, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {
            "nodeName": "node1",
            "containers": [{
                "name": "worker",
                "resources": {"limits": {"memory": "64Mi"}},
            }],
        },
        "status": status,
    }))
    .unwrap()
}

fn container(state: Value) -> Value {
    json!([{
        "name": "worker", "image": "prices:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }])
}

fn judge(status: Value) -> Verdict {
    judge_pod(&pod(json!({}), status), Context::default())
}

fn ended(reason: &str, code: i32) -> Value {
    json!({"terminated": {
        "reason": reason, "exitCode": code,
        "startedAt": "2026-11-21T08:00:00Z", "finishedAt": "2026-11-21T08:00:30Z",
    }})
}

fn failed(reason: &str, code: i32) -> Gone {
    gone(judge(json!({
        "phase": "Failed", "containerStatuses": container(ended(reason, code)),
    })))
}

fn gone(verdict: Verdict) -> Gone {
    match verdict {
        Verdict::Gone(gone) => *gone,
        other => panic!("the pod should be gone, not {other:?}"),
    }
}

#[test]
fn a_pod_that_is_set_up_is_starting() {
    assert_eq!(judge(json!({})), Verdict::Starting);
    assert_eq!(judge(json!({"phase": "Pending"})), Verdict::Starting);
}

#[test]
fn a_pod_is_assigned_until_its_node_takes_it() {
    let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
    let assigned = json!({"phase": "Pending", "conditions": scheduled});
    assert_eq!(judge(assigned), Verdict::Assigned);
    let taken = json!({
        "phase": "Pending", "conditions": scheduled, "startTime": "2026-11-21T08:00:00Z",
    });
    assert_eq!(judge(taken), Verdict::Starting);
}

#[test]
fn a_running_container_runs_until_its_node_becomes_silent() {
    let status = |ready: &str, containers_ready: &str| {
        json!({
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": ready},
                {"type": "ContainersReady", "status": containers_ready},
            ],
            "containerStatuses": container(json!({"running": {"startedAt": "2026-11-21T08:00:00Z"}})),
        })
    };
    assert_eq!(judge(status("True", "True")), Verdict::Running);
    assert_eq!(judge(status("False", "False")), Verdict::Running);
    assert_eq!(judge(status("False", "True")), Verdict::Silent);
    let leaving = pod(
        json!({"deletionTimestamp": "2026-11-21T08:01:00Z"}),
        status("True", "True"),
    );
    assert_eq!(judge_pod(&leaving, Context::default()), Verdict::Leaving);
    let given_up = Context {
        silent: true,
        removed: false,
    };
    let gone = gone(judge_pod(&leaving, given_up));
    assert_eq!(gone.end, End::Lost);
    assert_eq!(gone.reason, "its node fell silent");
}

#[test]
fn what_warnings_add_nothing_to_is_left_out() {
    for reason in ["BackOff", "Failed", "Unhealthy", ""] {
        assert_eq!(judge_pod_note(reason, "m"), None);
    }
    assert_eq!(judge_job_note("SuccessfulCreate", "m"), None);
}

#[test]
fn the_indexes_of_a_job_whose_workers_left_are_read() {
    let of = |text: Option<&str>| -> Vec<u32> {
        let job: Job = serde_json::from_value(json!({
            "metadata": {}, "spec": {"completions": 9, "template": {}},
            "status": {"completedIndexes": text},
        }))
        .unwrap();
        completed_indexes(&job).collect()
    };
    assert_eq!(of(Some("1,3-5,8")), [1, 3, 4, 5, 8]);
    assert_eq!(of(Some("0-4294967295")).len(), 9, "no more than it has");
    for none in [None, Some(""), Some("x,-,3-")] {
        assert_eq!(of(none), [0; 0], "{none:?}");
    }
}

#[test]
fn interim_conditions_of_a_job_count() {
    let job = |kind: &str, reason: &str| -> JobVerdict {
        let job: Job = serde_json::from_value(json!({
            "metadata": {},
            "status": {"conditions": [
                {"type": "Suspended", "status": "False"},
                {"type": kind, "status": "True", "reason": reason, "message": "m"},
            ]},
        }))
        .unwrap();
        judge_job(&job)
    };
    for kind in ["FailureTarget", "Failed"] {
        assert_eq!(
            job(kind, "PodFailurePolicy"),
            JobVerdict::Refused("m".to_owned())
        );
        assert!(matches!(
            job(kind, "DeadlineExceeded"),
            JobVerdict::Overdue(_)
        ));
        assert_eq!(
            job(kind, "FailedIndexes"),
            JobVerdict::Failed("FailedIndexes: m".to_owned())
        );
    }
    for kind in ["SuccessCriteriaMet", "Complete"] {
        assert_eq!(job(kind, "CompletionsReached"), JobVerdict::Done);
    }
    assert_eq!(job("Another", "Reason"), JobVerdict::Going);
    let held: Job = serde_json::from_value(json!({
        "metadata": {}, "spec": {"suspend": true, "template": {}},
    }))
    .unwrap();
    assert!(matches!(judge_job(&held), JobVerdict::Held(_)));
}
