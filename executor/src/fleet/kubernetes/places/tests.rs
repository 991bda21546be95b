//! Pods on nodes that are read, that may not be read, and of which no answer comes.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

const DIGEST: &str = "sha256:0b6a027b5cf322f09f6706c754e086a232ec1ddba835c8a15c6cb74ef0d43c29";

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    labels.iter().map(owned).collect()
}

/// A pod on this node, whose container has begun where it has an image.
fn pod(name: &str, node: Option<&str>, image: Option<&str>) -> Pod {
    let running = ContainerState {
        running: Some(ContainerStateRunning::default()),
        ..ContainerState::default()
    };
    let container = ContainerStatus {
        name: CONTAINER.to_owned(),
        image_id: image.unwrap_or_default().to_owned(),
        state: image.map(|_| running),
        ..ContainerStatus::default()
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: node.map(str::to_owned),
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            container_statuses: Some(vec![container]),
            ..PodStatus::default()
        }),
    }
}

fn told(places: &mut Places) -> Vec<String> {
    let line = |event| match event {
        FleetEvent::Placed { worker, place } => {
            assert_eq!(place.pod.as_ref(), Some(&worker));
            format!("{worker}: {place}")
        }
        other => panic!("{other:?}"),
    };
    places.take().into_iter().map(line).collect()
}

fn asked(places: &mut Places, asking: usize) -> Vec<String> {
    let mut asked = Vec::new();
    while let Some(node) = places.next_question(asking + asked.len()) {
        asked.push(node.to_string());
    }
    asked
}

#[test]
fn a_pod_is_reported_when_it_runs_and_its_node_was_read_once() {
    let mut places = Places::default();
    places.seen(&pod("a", None, None));
    places.seen(&pod("a", Some("n1"), None));
    assert_eq!(
        asked(&mut places, 0),
        [""; 0],
        "it may still come to another node"
    );
    let image = format!("registry.example/team/flights@{DIGEST}");
    places.seen(&pod("a", Some("n1"), Some(&image)));
    places.seen(&pod("b", Some("n1"), Some(&image)));
    assert_eq!(asked(&mut places, 0), ["n1"]);
    assert_eq!(told(&mut places), [""; 0]);
    let gke = [
        (ZONE, "europe-west4-a"),
        ("cloud.google.com/gke-spot", "true"),
    ];
    places.answered(&"n1".into(), Answer::Labels(labels(&gke)));
    let place = "zone europe-west4-a, spot, image sha256:0b6a027b5cf3";
    assert_eq!(
        told(&mut places),
        [format!("a: {place}"), format!("b: {place}")]
    );
    // Nothing new, and a third pod on a node that is known.
    places.seen(&pod("a", Some("n1"), Some(&image)));
    places.seen(&pod("c", Some("n1"), Some("")));
    assert_eq!(asked(&mut places, 0), [""; 0]);
    assert_eq!(told(&mut places), ["c: zone europe-west4-a, spot"]);
    places.seen(&pod("c", Some("n1"), Some(DIGEST)));
    assert_eq!(told(&mut places), [format!("c: {place}")], "more is known");
    places.gone(&pod("c", None, None));
    assert_eq!(places.pods.len(), 2);
}

#[test]
fn without_the_right_to_read_nodes_the_rest_is_reported_and_no_node_is_asked_again() {
    let mut places = Places::default();
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        places.seen(&pod(name, Some(node), Some(DIGEST)));
    }
    assert_eq!(asked(&mut places, MOST_ASKED - 1), ["n1"]);
    places.answered(
        &"n1".into(),
        Answer::Refused("nodes is forbidden".to_owned()),
    );
    let image = "image sha256:0b6a027b5cf3";
    assert_eq!(
        told(&mut places),
        [format!("a: {image}"), format!("b: {image}")]
    );
    places.seen(&pod("c", Some("n3"), Some(DIGEST)));
    assert_eq!(asked(&mut places, 0), [""; 0]);
    assert_eq!(told(&mut places), [format!("c: {image}")]);
}

#[test]
fn a_node_that_was_not_read_is_asked_for_its_next_pod() {
    let mut places = Places::default();
    places.seen(&pod("a", Some("n1"), Some(DIGEST)));
    assert_eq!(asked(&mut places, 0), ["n1"]);
    places.answered(&"n1".into(), Answer::Failed("no answer".to_owned()));
    assert_eq!(told(&mut places).len(), 1);
    places.seen(&pod("b", Some("n1"), Some(DIGEST)));
    assert_eq!(asked(&mut places, 0), ["n1"]);
    places.answered(&"n1".into(), Answer::Labels(labels(&[(ZONE, "z1")])));
    assert_eq!(told(&mut places), ["b: zone z1, image sha256:0b6a027b5cf3"]);
    places.seen(&pod("a", Some("n1"), Some(DIGEST)));
    assert_eq!(told(&mut places), ["a: zone z1, image sha256:0b6a027b5cf3"]);
}

#[test]
fn no_more_nodes_are_read_at_once_than_so_many() {
    let mut places = Places::default();
    for number in 0..20 {
        places.seen(&pod(
            &format!("p{number}"),
            Some(&format!("n{number}")),
            Some(DIGEST),
        ));
    }
    assert_eq!(asked(&mut places, 0).len(), MOST_ASKED);
    assert_eq!(asked(&mut places, MOST_ASKED), [""; 0]);
    assert_eq!(asked(&mut places, MOST_ASKED - 1).len(), 1);
}

#[test]
fn a_node_is_spot_by_the_labels_of_its_provider() {
    for (found, expected) in [
        (
            &[("cloud.google.com/gke-preemptible", "true")][..],
            Some(true),
        ),
        (&[("cloud.google.com/gke-nodepool", "pool")], Some(false)),
        (&[("eks.amazonaws.com/capacityType", "SPOT")], Some(true)),
        (
            &[("eks.amazonaws.com/capacityType", "ON_DEMAND")],
            Some(false),
        ),
        (&[("karpenter.sh/capacity-type", "spot")], Some(true)),
        (&[("karpenter.sh/capacity-type", "on-demand")], Some(false)),
        (
            &[("kubernetes.azure.com/scalesetpriority", "spot")],
            Some(true),
        ),
        (&[("kubernetes.azure.com/agentpool", "pool")], Some(false)),
        (
            &[("kubernetes.io/hostname", "kind-worker"), (ZONE, "")],
            None,
        ),
    ] {
        let place = NodePlace::of(&labels(found));
        assert_eq!((place.spot, place.zone), (expected, None), "{found:?}");
    }
}

#[test]
fn a_digest_is_found_in_the_ids_of_all_runtimes() {
    let pulled = format!("docker-pullable://registry.example/it@{DIGEST}");
    for id in [
        &*pulled,
        DIGEST,
        &format!("docker.io/library/import@{DIGEST}"),
    ] {
        assert_eq!(digest(id), Some(DIGEST), "{id}");
    }
    for id in ["", "registry.example/it:latest", "docker://0b6a027b5cf3"] {
        assert_eq!(digest(id), None, "{id}");
    }
}
