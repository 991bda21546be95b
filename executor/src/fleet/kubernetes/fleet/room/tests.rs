//! What is asked about nodes, on the API server of the tests.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::super::super::diagnose::tests::table::{objects, read};
use super::super::super::diagnose::{Context, Verdict, judge_pod};
use super::super::fake_api::{Answer, FakeApi};
use super::*;

/// What the pod of a fixture asks for.
fn needs(fixture: &str) -> Needs {
    let pod: Pod = read(&objects(fixture)[0]);
    match judge_pod(&pod, Context::default()) {
        Verdict::Unplaced { needs, .. } => *needs,
        other => panic!("{fixture}: {other:?}"),
    }
}

fn of_kind(fixture: &str, kind: &str) -> Vec<Value> {
    let objects = objects(fixture).into_iter();
    objects.filter(|object| object["kind"] == kind).collect()
}

/// The report about the pod of a fixture, where nodes and events are answered so.
async fn report(
    fixture: &'static str,
    answers: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static,
) -> RoomReport {
    let api = FakeApi::start(move |path| {
        answers(path).unwrap_or_else(|| {
            if path.starts_with("/api/v1/nodes") {
                Answer::list("v1", "NodeList", &of_kind(fixture, "Node"))
            } else {
                assert!(path.starts_with("/api/v1/namespaces/etl/events"), "{path}");
                assert!(path.contains("involvedObject.name%3Dthe-pod"), "{path}");
                Answer::list("v1", "EventList", &of_kind(fixture, "Event"))
            }
        })
    })
    .await;
    find_room(&api.cluster().await, "the-pod", &needs(fixture)).await
}

#[tokio::test]
async fn a_worker_larger_than_every_node_is_found_and_so_are_the_words_of_an_autoscaler() {
    let RoomReport::TooLarge { reason, autoscaler } = report("too-large", |_| None).await else {
        panic!("no node is so large")
    };
    assert!(reason.contains("the largest node has 7.7 GiB"), "{reason}");
    assert_eq!(autoscaler, None, "the nodes are of no cloud");
    for (fixture, expected) in [
        ("too-large-autoscaler-adds", Autoscaler::Adds),
        ("too-large-autoscaler-silent", Autoscaler::Silent),
    ] {
        let found = report(fixture, |_| None).await;
        let RoomReport::TooLarge { autoscaler, .. } = found else {
            panic!("{fixture}: {found:?}")
        };
        assert_eq!(autoscaler, Some(expected), "{fixture}");
    }
}

#[tokio::test]
async fn all_pages_of_nodes_are_read() {
    let found = report("too-large", |path| {
        let nodes = of_kind("too-large", "Node");
        let mut page =
            json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"resourceVersion": "1"}});
        if path.contains("continue=second") {
            let mut large = nodes[0].clone();
            large["status"]["allocatable"]["memory"] = json!("2Pi");
            page["items"] = json!([large]);
        } else {
            page["metadata"]["continue"] = json!("second");
            page["items"] = json!(nodes);
        }
        Some(Answer::Now(200, page))
    })
    .await;
    assert_eq!(found, RoomReport::Enough);
}

#[tokio::test]
async fn without_rights_and_where_the_api_fails_nothing_is_concluded() {
    let denied = report("too-large", |_| Some(Answer::forbidden())).await;
    assert_eq!(denied, RoomReport::Denied);
    let failed = report("too-large", |_| {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
            "reason": "InternalError", "message": "etcdserver: leader changed",
        });
        Some(Answer::Now(500, status))
    })
    .await;
    assert_eq!(failed, RoomReport::Unknown);
    // The autoscaler may have said that it adds a node.
    let unheard = report("too-large-autoscaler-declines", |path| {
        path.contains("/events").then(Answer::forbidden)
    })
    .await;
    let RoomReport::TooLarge { autoscaler, .. } = unheard else {
        panic!("{unheard:?}")
    };
    assert_eq!(autoscaler, Some(Autoscaler::Adds));
}
