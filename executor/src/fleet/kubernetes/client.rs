//! Access to the cluster: which one, and every call with a timeout and an error that names what to do.

mod error;
mod login;
pub(super) mod refused;

use std::env;
use std::fmt;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::LogParams;
use kube::config::KubeConfigOptions;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::job::CONTAINER;
use super::places::Answer;
use super::termination_message::TerminationMessage;
pub(super) use error::chain;

pub use error::{Ask, ClusterError, Refused};

/// The longest that one request may take.
// Longer than a healthy API server takes under load.
const TIMEOUT: Duration = Duration::from_secs(15);
/// An API server that works answers a small request within this time.
const ANSWER: Duration = Duration::from_secs(5);
/// The longest that the first request may take with all its tries, and how long a connection may take.
// `build()` must name a wrong address within seconds; see README.
const REACH: Duration = Duration::from_secs(10);
// Two attempts and their pauses fit into `REACH`.
const CONNECT: Duration = Duration::from_secs(4);
/// How many lines of a log are read, and how long that may take.
// Enough for a panic message with its place; `kubectl logs` shows the rest.
const LINES: i64 = 20;
const LOG: Duration = Duration::from_secs(5);
/// Pauses between the tries of a request that did not get through.
// The first bridges a connection that was closed while idle, the second the restart of an API server behind a load
// balancer.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// A cluster and the namespace in it.
///
/// It belongs to the runtime in which it was made: a task there carries its requests.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
    url: String,
    owner: Option<OwnerReference>,
    /// The namespace of this process's own pod, where the cluster is the one that runs it.
    home: Option<String>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("url", &self.url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Finds the cluster, by `KUBECONFIG`, else as a pod's own, else as kubectl would, and calls it once.
    ///
    /// # Errors
    /// When there is no configuration, or the cluster does not answer within 10 s; either names what to set.
    pub async fn connect(namespace: Option<&str>) -> Result<Self, ClusterError> {
        let (config, inside) = configuration().await?;
        let home = config.default_namespace.clone();
        let cluster = Self::with_config(config, namespace).await;
        let mut cluster = cluster.map_err(|error| error.advised(inside))?;
        // An owner has to be in the namespace of the objects that it owns: the garbage collector takes an owner in
        // another namespace for absent, and would delete the Jobs.
        // <https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>
        if inside && cluster.namespace == home {
            cluster.owner = cluster.find_owner().await;
        }
        cluster.home = inside.then_some(home);
        Ok(cluster)
    }

    /// Calls the cluster of this configuration once.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn with_config(
        mut config: Config,
        namespace: Option<&str>,
    ) -> Result<Self, ClusterError> {
        config.connect_timeout = Some(CONNECT);
        // Another crate may have brought a second provider; without a choice the first connection would panic.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let url = config.cluster_url.to_string();
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        let client = login::client(config)
            .await
            .map_err(|error| ClusterError::passing(format!("cannot connect to {url}: {error}")))?;
        let cluster = Self {
            client,
            namespace,
            url,
            owner: None,
            home: None,
        };
        // The version needs no right of its own, so this request shows whether the cluster is reached, and nothing
        // else. Two tries with `CONNECT` and the first pause take 8.2 s; the timeout cuts the third try off.
        let asked = cluster.call(Ask("get", "version"), || cluster.client.apiserver_version());
        let version = timeout(REACH, asked).await.unwrap_or_else(|_| {
            let url = &cluster.url;
            let reason = format!("cannot get version at {url}: no answer within {REACH:?}");
            Err(ClusterError::passing(reason))
        })?;
        info!(url = %cluster.url, namespace = %cluster.namespace, version = %version.git_version, "found the cluster");
        Ok(cluster)
    }

    /// The namespace of everything that is made.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where the API is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Job or pod in which the master itself runs.
    #[must_use]
    pub fn owner(&self) -> Option<&OwnerReference> {
        self.owner.as_ref()
    }

    /// The same with this owner of all Jobs that are made from now on.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<OwnerReference>) -> Self {
        self.owner = owner;
        self
    }

    /// The Jobs of the namespace.
    #[must_use]
    pub fn jobs(&self) -> Api<Job> {
        self.api()
    }

    /// Its pods.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    /// Its Secrets.
    #[must_use]
    pub fn secrets(&self) -> Api<Secret> {
        self.api()
    }

    /// Its events.
    #[must_use]
    pub fn events(&self) -> Api<Event> {
        self.api()
    }

    /// The namespace of this process's own pod; none outside the cluster.
    #[cfg(feature = "image")]
    pub(super) fn home(&self) -> Option<&str> {
        self.home.as_deref()
    }

    /// The pods of another namespace.
    #[cfg(feature = "image")]
    pub(super) fn pods_of(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The nodes of the whole cluster. Few masters may list them: a Role of a namespace does not give the right.
    #[must_use]
    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// The last lines that a worker printed, some hundred bytes in one line; empty if it printed nothing.
    ///
    /// # Errors
    /// Why they cannot be read, and what to do.
    pub async fn last_lines(&self, pod: &str) -> Result<String, String> {
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            tail_lines: Some(LINES),
            ..LogParams::default()
        };
        let pods = self.pods();
        let asked = self.call(Ask("get", "pods/log"), || pods.logs(pod, &params));
        match timeout(LOG, asked).await {
            Ok(Ok(log)) => Ok(TerminationMessage::read(&log).text),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {LOG:?}")),
        }
    }

    /// The labels of a node: an object of the whole cluster, which the master may read only where that was granted.
    pub(super) async fn node_labels(&self, node: &str) -> Answer {
        let nodes = self.nodes();
        // Metadata alone: a node's status lists every image that it has.
        match timeout(ANSWER, nodes.get_metadata(node)).await {
            Ok(Ok(node)) => Answer::Labels(node.metadata.labels.unwrap_or_default()),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                Answer::Refused(status.message)
            }
            Ok(Err(error)) => Answer::Failed(chain(&error)),
            Err(_) => Answer::Failed(format!("no answer within {ANSWER:?}")),
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Sends a request, again if it does not get through. Requests must be such that a second one does no harm.
    ///
    /// A request that timed out may have been carried out. So a creation that is repeated may be answered with
    /// `Exists`, and a deletion with `NotFound`: the callers accept both.
    ///
    /// # Errors
    /// The last failure, with the API's own message.
    pub async fn call<T, F>(&self, ask: Ask, request: impl Fn() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let mut pauses = PAUSES.iter();
        loop {
            let failure = match timeout(TIMEOUT, request()).await {
                Ok(Ok(answer)) => return Ok(answer),
                // The API has answered. A repetition would mostly be answered in the same way, and the callers repeat
                // what may pass after longer pauses.
                Ok(Err(kube::Error::Api(status))) => return Err(self.refused(ask, &status)),
                Ok(Err(error)) => chain(&error),
                Err(_) => format!("no answer within {TIMEOUT:?}"),
            };
            let Some(pause) = pauses.next() else {
                let Ask(verb, resource) = ask;
                return Err(ClusterError::passing(format!(
                    "cannot {verb} {resource} at {}: {failure}",
                    self.url
                )));
            };
            debug!(?ask, failure, "asking the cluster again");
            // The sum over three tries is 46.2 s: a caller that cannot wait so long has a timeout of its own.
            sleep(*pause).await;
        }
    }

    /// Whether the API answers anything at all, or why not.
    pub(super) async fn answers(&self) -> Result<(), String> {
        match timeout(ANSWER, self.client.apiserver_version()).await {
            // An error with a status is an answer too.
            Ok(Ok(_) | Err(kube::Error::Api(_))) => Ok(()),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("no answer within {ANSWER:?}")),
        }
    }

    /// The API's refusal with what to do about it.
    pub(super) fn refused(&self, ask: Ask, status: &kube::core::Status) -> ClusterError {
        let Ask(verb, resource) = ask;
        let namespace = &self.namespace;
        let (kind, advice) = refused::judge(ask, namespace, status);
        let advice = if advice.is_empty() {
            advice
        } else {
            format!("; {advice}")
        };
        let reason = format!(
            "cannot {verb} {resource} in namespace {namespace}: {}{advice}",
            status.message
        );
        ClusterError::of(kind, reason)
    }

    /// The name of the pod in which this process runs, if it runs in one.
    pub(super) fn own_pod() -> Option<String> {
        // A pod's host name is the pod's name by default; a pod that sets another one needs `PODPOOL_POD`.
        // <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>
        let name = env::var("PODPOOL_POD").or_else(|_| env::var("HOSTNAME"));
        name.ok()
    }

    /// The Job or pod of the master, so that its workers are deleted with it. Without the right to read its pod, the
    /// workers have no owner.
    async fn find_owner(&self) -> Option<OwnerReference> {
        let name = Self::own_pod()?;
        let pods = self.pods();
        let asked = self.call(Ask("get", "pods"), || pods.get(&name));
        let pod = timeout(REACH, asked).await.unwrap_or_else(|_| {
            let reason = format!("cannot get pod {name}: no answer within {REACH:?}");
            Err(ClusterError::passing(reason))
        });
        let pod = pod
            .inspect_err(|error| {
                warn!(%error, "the workers' Jobs have no owner and stay when this master's pod is deleted; set PODPOOL_POD to the pod's name");
            })
            .ok()?;
        let owners = pod.metadata.owner_references.unwrap_or_default();
        // The Job rather than its pod: the Job may replace the master's pod, and the workers are to outlast one pod.
        let job = owners.into_iter().find(|owner| owner.kind == "Job");
        let reference = |owner: OwnerReference| OwnerReference {
            // The reference is for deletion only: the owner's controller must not count our Jobs as its own.
            controller: None,
            // To set this, the master would need the right to update the owner's finalizers where the admission plugin
            // `OwnerReferencesPermissionEnforcement` is on.
            // <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/>
            block_owner_deletion: None,
            ..owner
        };
        job.map(reference).or_else(|| {
            Some(OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: name.clone(),
                uid: pod.metadata.uid?,
                ..OwnerReference::default()
            })
        })
    }
}

/// The configuration, and whether it is that of the pod in which this process runs. A kubeconfig that an image happens
/// to hold must not take precedence over the cluster that runs the image; a kubeconfig that `KUBECONFIG` names must.
async fn configuration() -> Result<(Config, bool), ClusterError> {
    // The kubelet sets this variable in every container.
    // <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>
    let inside = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let lost = |error: &dyn std::error::Error| {
        ClusterError::passing(format!(
            "cannot find a cluster: {}; set KUBECONFIG",
            chain(error)
        ))
    };
    if env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty()) {
        let config = Config::from_kubeconfig(&KubeConfigOptions::default()).await;
        return Ok((config.map_err(|error| lost(&error))?, false));
    }
    if inside {
        return Ok((Config::incluster().map_err(|error| lost(&error))?, true));
    }
    let config = Config::infer().await.map_err(|error| lost(&error))?;
    Ok((config, false))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    async fn not_reached(address: &str) -> (String, Duration) {
        let config = Config::new(address.parse().unwrap());
        let began = Instant::now();
        let reached = Cluster::with_config(config, Some("default")).await;
        let error = reached.expect_err("nothing listens there").advised(false);
        (error.to_string(), began.elapsed())
    }

    #[tokio::test]
    async fn an_api_that_refuses_is_reported_soon_with_the_variable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (said, took) = not_reached(&address).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        for words in [&*address, "KUBECONFIG"] {
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
    }

    /// On a paused clock, which advances while nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn an_api_that_does_not_answer_is_an_error_within_ten_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (said, took) = not_reached(&address).await;
        assert!(took <= REACH, "{took:?}");
        assert!(said.contains("KUBECONFIG"), "{said}");
    }
}
