//! The image of the pod in which this master runs: its workers run the same.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use podpool_core::instant::after;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::super::client::{Ask, Cluster};
use super::error::{ImageError, because};
use super::reference::is_host;

/// The kubelet writes the status of a container some moments after its start.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);
/// By which people name the container of a pod that matters:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container>.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The image of a pod, and the secrets with which nodes pull it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnImage {
    pub(super) image: String,
    pub(super) pull_secrets: Vec<String>,
}

/// Reads the image of this pod.
///
/// # Errors
/// When the pod's name is not known, or the pod may not be read.
pub(super) async fn image(cluster: &Cluster, home: &str) -> Result<OwnImage, ImageError> {
    const ADVICE: &str = "or name the workers' image (KubernetesOptions::image, PODPOOL_IMAGE)";
    let Some(name) = Cluster::own_pod() else {
        return Err(ImageError::new(format_args!(
            "the name of this master's pod is not known, so neither is its image; set PODPOOL_POD to it, {ADVICE}"
        )));
    };
    let pods = cluster.pods_of(home);
    let end = after(Instant::now(), PATIENCE);
    loop {
        let asked = cluster.call(Ask("get", "pods"), || pods.get(&name)).await;
        let pod = asked.map_err(because(format!(
            "the image of this master's pod {name} in namespace {home} cannot be read (grant get on pods there, set PODPOOL_POD to its name, {ADVICE})"
        )))?;
        if let Some(own) = of_pod(&pod) {
            info!(
                pod = name,
                image = own.image,
                "workers run the image of this pod"
            );
            return Ok(own);
        }
        if Instant::now() >= end {
            return Err(ImageError::new(format_args!(
                "the status of this master's pod {name} states no image within {PATIENCE:?}; set PODPOOL_POD to the pod's name, {ADVICE}"
            )));
        }
        sleep(LOOK).await;
    }
}

/// The image of a pod's container; none while its status does not state it. In a pod of several containers it is that
/// of the default one, else of the first.
fn of_pod(pod: &Pod) -> Option<OwnImage> {
    let spec = pod.spec.as_ref()?;
    let default = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(DEFAULT_CONTAINER));
    let named = default.and_then(|name| spec.containers.iter().find(|it| it.name == *name));
    let container = named.or_else(|| spec.containers.first())?;
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses
        .iter()
        .find(|status| status.name == container.name)?;
    if status.image_id.is_empty() {
        return None;
    }
    let secrets = spec.image_pull_secrets.iter().flatten();
    Some(OwnImage {
        image: by_digest(&status.image_id, container)?,
        pull_secrets: secrets.map(|secret| secret.name.clone()).collect(),
    })
}

/// The image as nodes can pull it.
fn by_digest(id: &str, container: &Container) -> Option<String> {
    // Docker's shim writes a scheme in front.
    let id = id.split_once("://").map_or(id, |(_, id)| id);
    let repository = id.split_once('@').map(|(repository, _)| repository);
    match repository {
        Some(repository) if repository.split('/').next().is_some_and(is_host) => {
            Some(id.to_owned())
        }
        // An image that was loaded onto the nodes, and never was in a registry, has an id alone, by which nothing can
        // be pulled: its name is what the nodes have.
        _ => container.image.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn pod(ids: &[(&str, &str)], annotations: &Value) -> Pod {
        let containers: Vec<_> = ids
            .iter()
            .map(|(name, _)| json!({"name": name, "image": format!("{name}:1")}))
            .collect();
        let statuses: Vec<_> = ids
            .iter()
            .map(|(name, id)| json!({"name": name, "image": "x", "imageID": id, "ready": true, "restartCount": 0}))
            .collect();
        let pod = json!({
            "metadata": {"name": "m", "annotations": annotations},
            "spec": {"containers": containers, "imagePullSecrets": [{"name": "registry"}]},
            "status": {"containerStatuses": statuses},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn the_image_is_named_by_its_digest() {
        let id = format!("registry.example/team/flights@{DIGEST}");
        for shown in [id.clone(), format!("docker-pullable://{id}")] {
            let own = of_pod(&pod(&[("main", &shown)], &json!({}))).unwrap();
            assert_eq!(
                (own.image, own.pull_secrets),
                (id.clone(), vec!["registry".to_owned()])
            );
        }
    }

    #[test]
    fn an_image_that_was_loaded_keeps_its_name() {
        let own = of_pod(&pod(&[("main", DIGEST)], &json!({}))).unwrap();
        assert_eq!(own.image, "main:1");
    }

    #[test]
    fn the_default_container_counts_and_then_the_first() {
        let id = |name: &str| format!("registry.example/{name}@{DIGEST}");
        let (one, other) = (id("one"), id("other"));
        let ids = [("one", &*one), ("other", &*other)];
        assert_eq!(of_pod(&pod(&ids, &json!({}))).unwrap().image, one);
        let named = json!({DEFAULT_CONTAINER: "other"});
        assert_eq!(of_pod(&pod(&ids, &named)).unwrap().image, other);
    }

    #[test]
    fn a_status_without_an_image_is_waited_for() {
        assert_eq!(of_pod(&pod(&[("main", "")], &json!({}))), None);
        assert_eq!(of_pod(&Pod::default()), None);
    }
}
