//! Pods that have ended.

use super::*;

#[test]
fn out_of_memory_is_read_from_the_reason_whatever_the_exit_code() {
    for code in [137, 0] {
        let gone = failed("OOMKilled", code);
        assert_eq!(gone.end, End::OutOfMemory(Some(64 << 20)));
        assert!(gone.reason.contains("64 MiB"), "{}", gone.reason);
    }
}

#[test]
fn exits_are_distinguished() {
    for (code, end) in [
        (0, End::Left),
        (83, End::Left),
        (75, End::Lost),
        (143, End::Lost),
        (1, End::Died(Exit::Code(1))),
        (101, End::Died(Exit::Code(101))),
        (134, End::Died(Exit::Signal(6))),
        (137, End::Died(Exit::Signal(9))),
        (139, End::Died(Exit::Signal(11))),
        (255, End::Died(Exit::Code(255))),
        (78, End::Died(Exit::Code(78))),
    ] {
        let gone = failed(if code == 0 { "Completed" } else { "Error" }, code);
        assert_eq!(gone.end, end, "exit code {code}");
        assert_eq!(gone.fatal, code == 78, "exit code {code}");
        assert!(gone.brief);
        assert!(gone.by_itself, "exit code {code}");
        assert_eq!(gone.node.as_deref(), Some("node1"));
        assert!(gone.at.is_some());
    }
}

#[test]
fn a_disrupted_or_deleted_pod_is_lost_whatever_its_exit_code() {
    for (word, code) in [("Error", 137), ("OOMKilled", 137), ("Error", 78)] {
        for cause in [
            "PreemptionByScheduler",
            "EvictionByEvictionAPI",
            "DeletionByTaintManager",
            "DeletionByPodGC",
            "TerminationByKubelet",
            "Another",
        ] {
            let gone = gone(judge(json!({
                "phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": cause, "message": "m"}],
                "containerStatuses": container(ended(word, code)),
            })));
            assert_eq!(gone.end, End::Lost, "{cause}");
            assert!(!gone.fatal, "{cause}");
        }
        let status = json!({"phase": "Running", "containerStatuses": container(ended(word, code))});
        let deleted = pod(
            json!({"deletionTimestamp": "2026-11-21T08:01:00Z"}),
            status.clone(),
        );
        assert_eq!(gone(judge_pod(&deleted, Context::default())).end, End::Lost);
        let silent = Context {
            silent: true,
            removed: false,
        };
        assert_eq!(
            gone(judge_pod(&pod(json!({}), status), silent)).end,
            End::Lost
        );
    }
}

#[test]
fn a_worker_that_its_node_evicts_rejects_or_loses_is_lost() {
    for (reason, message, words) in [
        (
            "Evicted",
            "The node was low on resource: memory.",
            "low on resource",
        ),
        ("Shutdown", "Node is shutting down", "shut down"),
        ("Terminated", "imminent node shutdown", "shut down"),
        ("NodeLost", "", "gone"),
        (
            "OutOfmemory",
            "Node didn't have enough resource",
            "rejected it",
        ),
    ] {
        let status = json!({"phase": "Failed", "reason": reason, "message": message});
        let gone = gone(judge(status));
        assert_eq!(gone.end, End::Lost, "{reason}");
        assert!(gone.reason.contains(words), "{}", gone.reason);
    }
    assert_eq!(failed("ContainerStatusUnknown", 137).end, End::Lost);
    let own = gone(judge(json!({
        "phase": "Failed", "reason": "Evicted",
        "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
        "containerStatuses": container(ended("Error", 137)),
    })));
    assert_eq!(own.end, End::Died(Exit::Signal(9)));
}

#[test]
fn a_pod_that_was_removed_while_it_ran_is_lost() {
    let running = pod(
        json!({}),
        json!({
            "phase": "Running",
            "containerStatuses": container(json!({"running": {}})),
        }),
    );
    let removed = Context {
        silent: false,
        removed: true,
    };
    let gone = gone(judge_pod(&running, removed));
    assert_eq!((gone.end, &*gone.reason), (End::Lost, "removed"));
}

#[test]
fn a_program_that_is_not_in_the_image_is_reported_as_such() {
    let gone = gone(judge(json!({
        "phase": "Failed",
        "containerStatuses": container(json!({"terminated": {
            "reason": "StartError", "exitCode": 128, "startedAt": "1970-01-01T00:00:00Z",
            "finishedAt": "2026-11-21T08:00:30Z",
            "message": "exec: \"/worker\": stat /worker: no such file or directory",
        }})),
    })));
    assert_eq!(gone.end, End::Died(Exit::Code(128)));
    assert!(gone.brief);
    assert!(
        gone.reason.contains("not in the image") && gone.reason.contains("/worker"),
        "{}",
        gone.reason
    );
}

#[test]
fn a_termination_message_becomes_a_running_list_or_part_of_the_reason() {
    let with = |message: &str, minutes: u32| {
        gone(judge(json!({
            "phase": "Failed",
            "containerStatuses": container(json!({"terminated": {
                "reason": "Error", "exitCode": 65, "message": message,
                "startedAt": "2026-11-21T08:00:00Z",
                "finishedAt": format!("2026-11-21T08:{minutes:02}:00Z"),
            }})),
        })))
    };
    let said = with("task prices has another shape", 0);
    assert!(said.reason.ends_with("task prices has another shape"));
    assert!(said.running.is_empty());
    let listed = with(r#"{"running":[["0f",3,9,2]]}"#, 5);
    assert_eq!(listed.running.len(), 1);
    assert!(!listed.reason.contains("running"), "{}", listed.reason);
    assert!(!listed.brief);
}
