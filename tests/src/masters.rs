//! Masters that run in the cluster themselves: an image made of `runner-image/Dockerfile`, and the objects of
//! `runner-image/manifests`, in a namespace and a Pub/Sub project that no other test uses.
//!
//! Beside what [`pods`](crate::pods) needs: `kubectl`, and `PODPOOL_TEST_BUILD_IMAGE`, a command that builds a
//! directory's Dockerfile and brings the image to the nodes (`TAG DIRECTORY [options of the build]`).

#![expect(
    clippy::print_stdout,
    reason = "how long things took is worth knowing when a test fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{AsyncReadExt, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{DeleteParams, ListParams, LogParams};
use kube::runtime::wait::{Condition, await_condition, conditions};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource, ResourceExt};
use podpool::RunId;
use podpool::kubernetes::client::Cluster;
use podpool::kubernetes::fleet::{Garbage, gc};
use podpool::kubernetes::job::MANAGED_BY;
use podpool::pubsub::{Admin, Connection, Which};
use tokio::time::timeout;

use crate::kubernetes::bed::runs;
use crate::pods::needed;
use crate::scratch::Scratch;

/// The longest wait for one event; on a sound cluster no event takes so long.
const BOUND: Duration = Duration::from_secs(120);
/// From 1970 to a time after every deadline: the year 2286.
const FAR: Duration = Duration::from_secs(10_000_000_000);

const RUNNER_IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runner-image");

/// A namespace with everything of the manifests in it, but no master yet.
pub struct Masters {
    name: String,
    image: String,
    host: String,
    port: String,
    dir: Scratch,
    client: Client,
    cluster: Cluster,
    admin: Admin,
}

impl std::fmt::Debug for Masters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masters").field("name", &self.name).finish()
    }
}

impl Masters {
    /// Builds the image of `program`; `None` if the tools to build or to run the image are missing.
    ///
    /// # Panics
    /// If the image cannot be built, or a tool is missing where `CI=true`.
    pub async fn find(program: &str, image: &str) -> Option<Self> {
        let build = needed("PODPOOL_TEST_BUILD_IMAGE")?;
        needed("KUBECONFIG")?;
        let host = needed("PODPOOL_TEST_HOST")?;
        let emulator = needed("PUBSUB_EMULATOR_HOST")?;
        let port = emulator.rsplit_once(':').map_or("8085", |(_, port)| port);
        let dir = Scratch::new();
        let image = format!("localhost/{image}:test");
        build_once(&build, &image, program, dir.path());
        let name = format!("podpool-test-{}", RunId::random());
        let connection = Connection::builder().project(&name).open().unwrap();
        let config = Config::infer().await.unwrap();
        Some(Self {
            image,
            host,
            port: port.to_owned(),
            dir,
            client: Client::try_from(config).unwrap(),
            cluster: Cluster::connect(Some(&name)).await.unwrap(),
            admin: Admin::new(&connection),
            name,
        })
    }

    /// Applies the manifests, as runner-image/README.md describes: with a kustomization of our own beside them, and
    /// these patches in it.
    pub fn apply(&self, master: &str, patches: &[&str]) {
        let dir = self.dir.path().join("manifests");
        fs::create_dir(&dir).unwrap();
        for file in fs::read_dir(Path::new(RUNNER_IMAGE).join("manifests")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), dir.join(file.file_name())).unwrap();
        }
        let base = fs::read_to_string(dir.join("kustomization.yaml")).unwrap();
        let mut text = base + &self.kustomization(master);
        for patch in patches {
            let patch = patch.replace('\n', "\n      ");
            text.push_str(&format!("  - patch: |\n      {patch}\n"));
        }
        fs::write(dir.join("kustomization.yaml"), text).unwrap();
        fs::write(dir.join("emulator.yaml"), self.way_to_the_emulator()).unwrap();
        self.kubectl(&["apply", "-k", &dir.display().to_string()]);
    }

    fn kustomization(&self, master: &str) -> String {
        let Self {
            name,
            image,
            host,
            port,
            ..
        } = self;
        let (repository, tag) = image.rsplit_once(':').unwrap();
        format!(
            r#"  - {master}
  - emulator.yaml
namespace: {name}
images:
  - {{name: registry.example/program, newName: {repository}, newTag: {tag}}}
secretGenerator:
  - name: emulator
    literals: ["PUBSUB_EMULATOR_HOST={host}:{port}"]
generatorOptions:
  disableNameSuffixHash: true
patches:
  - patch: |
      apiVersion: v1
      kind: ConfigMap
      metadata:
        name: podpool-settings
        namespace: podpool
      data:
        PODPOOL_IMAGE: {image}
        PODPOOL_CPU: 50m
        PODPOOL_MEMORY: 256Mi
        PODPOOL_ENV_FROM_SECRETS: emulator
        PUBSUB_EMULATOR_HOST: {host}:{port}
        GOOGLE_CLOUD_PROJECT: {name}
"#
        )
    }

    /// The emulator has a port of its own, which no policy of the manifests lets through.
    fn way_to_the_emulator(&self) -> String {
        let port = &self.port;
        format!(
            r"apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: emulator
  namespace: podpool
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
    - ports:
        - {{protocol: TCP, port: {port}}}
"
        )
    }

    /// Runs kubectl in the namespace; returns its standard output.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let mut kubectl = Command::new("kubectl");
        let done = kubectl.args(["--namespace", &self.name]).args(arguments);
        let done = done.output().expect("kubectl is on the PATH");
        let words = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "kubectl {arguments:?}: {words}");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Follows what the master prints until its Job has succeeded; returns that output.
    pub async fn output(&self, job: &str) -> String {
        let began = Instant::now();
        let Ok(log) = timeout(BOUND, self.follow(job)).await else {
            panic!("{job} prints nothing more: {}", self.log(job).await);
        };
        let ended = |job: Option<&Job>| {
            let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
            conditions.is_some_and(|all| {
                let ends = |kind: &str| matches!(kind, "Complete" | "Failed");
                all.iter()
                    .any(|one| ends(&one.type_) && one.status == "True")
            })
        };
        let ended = timeout(BOUND, await_condition(self.api::<Job>(), job, ended)).await;
        println!("ended after {:?}", began.elapsed());
        let ended = ended.unwrap_or_else(|_| panic!("{job} has not ended: {log}"));
        let status = ended.unwrap().unwrap().status.unwrap();
        assert_eq!(status.succeeded, Some(1), "{log}");
        log
    }

    /// Reads the log from the first line on while the pod runs: a node may delete the log of a pod that has ended.
    async fn follow(&self, job: &str) -> String {
        let of_job = format!("batch.kubernetes.io/job-name={job}");
        let begun = |pod: &Pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            phase.is_some_and(|phase| phase != "Pending")
        };
        let pod = self.first(&of_job, begun).await;
        let params = LogParams {
            follow: true,
            ..LogParams::default()
        };
        let lines = self.api::<Pod>().log_stream(&pod.name_any(), &params).await;
        let mut log = String::new();
        lines.unwrap().read_to_string(&mut log).await.unwrap();
        log
    }

    /// Waits for a pod with these labels for which `wanted` holds.
    async fn first(&self, labels: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let of_these = watcher::Config::default().labels(labels);
        let mut news = pin!(watcher(self.api::<Pod>(), of_these));
        loop {
            match news.next().await.expect("a watch does not end").unwrap() {
                Event::Apply(pod) | Event::InitApply(pod) if wanted(&pod) => return pod,
                _ => {}
            }
        }
    }

    async fn log(&self, job: &str) -> String {
        let pods: Api<Pod> = self.api();
        let found = self.masters_pod(job).await;
        let params = LogParams::default();
        let log = pods.logs(&found.name_any(), &params).await;
        log.unwrap_or_else(|error| format!("{error}: {:#?}", found.status))
    }

    /// The master's pod.
    pub async fn masters_pod(&self, job: &str) -> Pod {
        let pods: Api<Pod> = self.api();
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let found = pods.list(&of_job).await.unwrap();
        found.items.into_iter().next().expect("the Job has a pod")
    }

    /// Waits until a worker runs; returns the Jobs of the workers.
    pub async fn workers(&self, job: &str) -> Vec<Job> {
        let began = Instant::now();
        if timeout(BOUND, self.first(&managed(), runs)).await.is_err() {
            panic!("no worker runs: {}", self.log(job).await);
        }
        println!("a worker runs after {:?}", began.elapsed());
        let of_fleet = ListParams::default().labels(&managed());
        let jobs: Api<Job> = self.api();
        jobs.list(&of_fleet).await.unwrap().items
    }

    /// Deletes the master's Job as `kubectl delete` does, and waits until the cluster has removed the master and all
    /// that goes with it.
    pub async fn delete(&self, job: &str) {
        let began = Instant::now();
        let pod = self.masters_pod(job).await;
        self.kubectl(&["delete", "job", job, "--wait=false"]);
        self.gone(&pod).await;
        println!("the master has gone after {:?}", began.elapsed());
        // The master has ended, so no process makes further Jobs, and the lists are complete.
        let of_fleet = ListParams::default().labels(&managed());
        for job in self.api::<Job>().list(&of_fleet).await.unwrap() {
            self.gone(&job).await;
        }
        for pod in self.api::<Pod>().list(&of_fleet).await.unwrap() {
            self.gone(&pod).await;
        }
        for secret in self.api::<Secret>().list(&of_fleet).await.unwrap() {
            self.gone(&secret).await;
        }
        println!("its workers have gone after {:?}", began.elapsed());
    }

    async fn gone<K>(&self, object: &K)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    {
        let (name, uid) = (object.name_any(), object.uid().unwrap());
        let deleted: Box<dyn Condition<K> + Send> = Box::new(conditions::is_deleted(&uid));
        let deleted = await_condition(self.api::<K>(), &name, move |object: Option<&K>| {
            deleted.matches_object(object)
        });
        match timeout(BOUND, deleted).await {
            Ok(deleted) => drop(deleted.unwrap()),
            Err(_) => panic!("{} {name} does not go: {object:#?}", K::kind(&())),
        }
    }

    /// Names of the objects that a run made in the cluster and that still exist, found by the library's own garbage
    /// collection and by lists of pods and Secrets.
    pub async fn left_in_cluster(&self) -> Vec<String> {
        let all = Garbage::PastDeadline(i64::MAX);
        let mut left = gc(&self.cluster, &all).await.unwrap();
        let of_fleet = ListParams::default().labels(&managed());
        let pods = self.api::<Pod>().list(&of_fleet).await.unwrap();
        left.extend(pods.iter().map(|pod| format!("pod/{}", pod.name_any())));
        let secrets = self.api::<Secret>().list(&of_fleet).await.unwrap();
        left.extend(
            secrets
                .iter()
                .map(|secret| format!("secret/{}", secret.name_any())),
        );
        left
    }

    /// Names of the topics and subscriptions that a run has left in Pub/Sub. The search deletes them.
    pub async fn left_in_pubsub(&self) -> Vec<String> {
        let collected = self
            .admin
            .collect(SystemTime::UNIX_EPOCH + FAR, &Which::PastDeadline);
        let collected = collected.await;
        let collected = collected.unwrap();
        assert!(collected.failed.is_empty(), "{collected:?}");
        collected.deleted
    }

    /// Removes the namespace.
    pub async fn remove(self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }
}

fn managed() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}

/// Builds an image once in a program: its tests share the image. The lock is held during a build, so that builds do
/// not run at once and take all cores.
fn build_once(build: &str, image: &str, program: &str, dir: &Path) {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.contains(image) {
        build_image(build, image, program, dir);
        built.insert(image.to_owned());
    }
}

/// Builds the Dockerfile around the program, in a directory that holds these two alone.
fn build_image(build: &str, image: &str, program: &str, dir: &Path) {
    let began = Instant::now();
    let context: PathBuf = dir.join("context");
    fs::create_dir(&context).unwrap();
    fs::copy(
        Path::new(RUNNER_IMAGE).join("Dockerfile"),
        context.join("Dockerfile"),
    )
    .unwrap();
    fs::copy(program, context.join("prices")).unwrap();
    let built = Command::new(build)
        .arg(image)
        .arg(&context)
        .args(["--build-arg", "PROGRAM=prices"])
        .status()
        .unwrap();
    assert!(built.success(), "{image} was not built: {built}");
    println!("built {image} in {:?}", began.elapsed());
}
