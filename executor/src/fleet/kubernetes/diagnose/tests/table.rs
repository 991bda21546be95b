//! The failures of a cluster: each as the objects that API server and kubelet write, with its verdict and its text.
//!
//! The objects are in `fixtures/NAME.json`, the texts in `fixtures/NAME.txt`; `PODPOOL_BLESS=1` writes the texts again.
//! ARCHITECTURE.md has the same table for people. What the state of the fleet makes of a row, and after how many
//! seconds, is tested beside that state, with the same rows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Event, Node};
use kube::core::Status;

use super::super::super::client::refused;
use super::super::super::client::{Ask, Refused};
use super::*;

/// A row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The name of its fixture.
    pub(crate) fixture: &'static str,
    /// The verdict.
    pub(crate) means: Means,
    /// What its text has: the thing, and the option to change.
    pub(crate) says: &'static [&'static str],
}

/// The verdict of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// Nothing is wrong.
    Starts,
    SetUp,
    Assigned,
    Runs,
    Silent,
    /// A gate or a queue holds it.
    Held,
    /// It does not start, and is given this time.
    Stuck(Patience),
    /// No node has room now.
    Unplaced,
    /// No node is large enough, and no autoscaler could add one.
    TooLarge,
    /// No node is large enough; this is what an autoscaler says.
    Grows(&'static str),
    Left,
    /// Back to the queue, uncharged.
    Lost,
    /// A task may be charged.
    Died(Exit),
    OutOfMemory,
    /// An exit code that holds for all workers.
    Fatal,
    JobGoes,
    JobDone,
    JobRefused,
    JobOverdue,
    JobFailed,
    JobDeleted,
    /// The API refuses to make a Job.
    Api(Refused),
}

use Means::{
    Api, Assigned, Died, Fatal, Grows, Held, JobDeleted, JobDone, JobFailed, JobGoes, JobOverdue,
    JobRefused, Left, Lost, OutOfMemory, Runs, SetUp, Silent, Starts, Stuck, TooLarge, Unplaced,
};
use Patience::{AsBefore, Final, Node as OfNode, Pull, Registry, Schedule, SecondLook, Start};

const fn row(fixture: &'static str, means: Means, says: &'static [&'static str]) -> Row {
    Row {
        fixture,
        means,
        says,
    }
}

const IMAGE: &str = "registry.example/team/backfill:1.4";

/// Every row, in the order of ARCHITECTURE.md.
pub(crate) const ROWS: &[Row] = &[
    // The API refuses a Job.
    row(
        "job-create-forbidden",
        Api(Refused::Forbidden),
        &["podpool-master", "grant the master create on jobs", "etl"],
    ),
    row(
        "job-create-no-namespace",
        Api(Refused::NotFound),
        &[
            "\"etl\"",
            "PODPOOL_NAMESPACE",
            "KubernetesOptions::namespace",
        ],
    ),
    row(
        "job-create-invalid",
        Api(Refused::Invalid),
        &["tolerations[0].operator", "KubernetesOptions::toleration"],
    ),
    row(
        "job-create-exists",
        Api(Refused::Exists),
        &["pp-backfill-2026-11-c0"],
    ),
    row(
        "job-create-quota",
        Api(Refused::Passing),
        &["small", "count/jobs.batch", "raise the ResourceQuota"],
    ),
    row(
        "job-create-namespace-ending",
        Api(Refused::Ending),
        &["etl is being removed", "PODPOOL_NAMESPACE"],
    ),
    row(
        "job-create-webhook-denied",
        Api(Refused::Invalid),
        &["validate.kyverno", "policy of the cluster"],
    ),
    // The API refuses pods to the Job.
    row(
        "quota-full",
        Stuck(Schedule),
        &["small", "used: pods=3", "max_workers"],
    ),
    row(
        "quota-too-small",
        Stuck(Final),
        &[
            "smaller than one worker",
            "limited: limits.memory=1Gi",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "quota-needs-limits",
        Stuck(Final),
        &["small", "limits.cpu", "LimitRange"],
    ),
    row(
        "limit-range",
        Stuck(Final),
        &[
            "maximum memory usage per Container is 1Gi",
            "KubernetesOptions::cpu (PODPOOL_CPU)",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "pod-security",
        Stuck(Final),
        &["istio-init", "PodSecurity", "PODPOOL_NAMESPACE"],
    ),
    row(
        "webhook-denied",
        Stuck(Final),
        &[
            "validation.gatekeeper.sh",
            "must provide labels",
            "option that it names",
        ],
    ),
    row(
        "policy-denied",
        Stuck(Final),
        &["image-registries", "policy of the cluster"],
    ),
    row(
        "webhook-down",
        Stuck(Schedule),
        &["istiod", "does not answer"],
    ),
    row(
        "service-account-missing",
        Stuck(SecondLook),
        &[
            "prices-worker",
            "KubernetesOptions::service_account (PODPOOL_SERVICE_ACCOUNT)",
        ],
    ),
    row(
        "priority-class-missing",
        Stuck(SecondLook),
        &["batch-low", "KubernetesOptions::priority_class"],
    ),
    row(
        "runtime-class-missing",
        Stuck(SecondLook),
        &["gvisor", "KubernetesOptions::runtime_class"],
    ),
    row(
        "namespace-ending",
        Stuck(Final),
        &["namespace etl", "PODPOOL_NAMESPACE"],
    ),
    // The Job itself.
    row(
        "job-kueue",
        Held,
        &[
            "Kueue",
            "\"batch\"",
            "KubernetesOptions::kueue_queue",
            "max_workers",
        ],
    ),
    row("job-suspended", Held, &["suspended", "resume"]),
    row(
        "job-pod-failure-policy",
        JobRefused,
        &["exit code 78", "pp-backfill-2026-11-c0-0-x7k2p"],
    ),
    row(
        "job-deadline",
        JobOverdue,
        &[
            "deadline",
            "KubernetesOptions::run_deadline (PODPOOL_RUN_DEADLINE)",
        ],
    ),
    row(
        "job-failed-indexes",
        JobFailed,
        &["FailedIndexes", "indexes 0"],
    ),
    row(
        "job-max-failed-indexes",
        JobFailed,
        &["MaxFailedIndexesExceeded", "indexes 0,1"],
    ),
    row("job-backoff-limit", JobFailed, &["BackoffLimitExceeded"]),
    row("job-complete", JobDone, &[]),
    row("job-replacement-delayed", JobGoes, &[]),
    row("job-deleted", JobDeleted, &["were deleted", "by hand"]),
    // No node.
    row(
        "unschedulable-cpu-memory",
        Unplaced,
        &[
            "enough cpu and memory",
            "2 Insufficient cpu",
            "KubernetesOptions::cpu (PODPOOL_CPU)",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "unschedulable-gpu",
        Unplaced,
        &[
            "Insufficient nvidia.com/gpu",
            "enough nvidia.com/gpu",
            "KubernetesOptions::gpu",
        ],
    ),
    row(
        "too-large",
        TooLarge,
        &[
            "1048576 GiB of memory",
            "the largest node has 7.7 GiB",
            "Insufficient memory",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "too-large-autoscaler-adds",
        Grows("adds"),
        &["16 cores", "KubernetesOptions::cpu (PODPOOL_CPU)"],
    ),
    row(
        "too-large-autoscaler-declines",
        Grows("declines"),
        &["16 cores", "KubernetesOptions::cpu (PODPOOL_CPU)"],
    ),
    row(
        "too-large-autoscaler-backs-off",
        Grows("backs off"),
        &["16 cores", "KubernetesOptions::cpu (PODPOOL_CPU)"],
    ),
    row(
        "too-large-autoscaler-silent",
        Grows("silent"),
        &["16 cores", "KubernetesOptions::cpu (PODPOOL_CPU)"],
    ),
    row(
        "unschedulable-node-selector",
        Stuck(Schedule),
        &["node affinity/selector", "KubernetesOptions::node_selector"],
    ),
    row(
        "unschedulable-taint",
        Stuck(Schedule),
        &["{team: ml}", "KubernetesOptions::toleration"],
    ),
    row(
        "unschedulable-cordoned",
        Stuck(Schedule),
        &["every node is cordoned", "kubectl uncordon"],
    ),
    row(
        "unschedulable-too-many-pods",
        Stuck(Schedule),
        &["Too many pods", "slots_per_worker"],
    ),
    row(
        "unschedulable-volume",
        Stuck(Schedule),
        &["\"models\" not found", "KubernetesOptions::pvc"],
    ),
    row("scheduling-gated", Held, &["kueue.x-k8s.io/topology"]),
    row("assigned", Assigned, &[]),
    // On the node.
    row("container-creating", Starts, &[]),
    row("container-creating-set-up", SetUp, &[]),
    row("pod-initializing", SetUp, &[]),
    row(
        "mount-secret-missing",
        Stuck(SecondLook),
        &["\"db\" not found", "KubernetesOptions::secret_file"],
    ),
    row(
        "mount-secret-key-missing",
        Stuck(SecondLook),
        &["secret key: password", "KubernetesOptions::secret_file"],
    ),
    row(
        "mount-run-secret-missing",
        Stuck(SecondLook),
        &["pp-backfill-2026-11", "restart the run"],
    ),
    row(
        "mount-config-map-missing",
        Stuck(SecondLook),
        &["\"routes\" not found", "KubernetesOptions::config_map_file"],
    ),
    row(
        "mount-config-map-key-missing",
        Stuck(SecondLook),
        &["eu.json", "KubernetesOptions::config_map_file"],
    ),
    row(
        "mount-fails",
        Stuck(Schedule),
        &["10.20.0.5:/models", "tries again"],
    ),
    row(
        "attach-fails",
        Stuck(Schedule),
        &["pvc-1c9e", "tries again"],
    ),
    row("sandbox-fails", Stuck(Schedule), &["calico", "tries again"]),
    row(
        "image-not-found",
        Stuck(Pull),
        &[IMAGE, "KubernetesOptions::image (PODPOOL_IMAGE)"],
    ),
    row(
        "image-not-found-back-off",
        Stuck(Pull),
        &[IMAGE, "KubernetesOptions::image (PODPOOL_IMAGE)"],
    ),
    row(
        "image-back-off-without-cause",
        Stuck(AsBefore),
        &[IMAGE, "KubernetesOptions::image (PODPOOL_IMAGE)"],
    ),
    row(
        "image-denied",
        Stuck(Pull),
        &[
            IMAGE,
            "KubernetesOptions::pull_secret (PODPOOL_PULL_SECRETS)",
        ],
    ),
    row(
        "image-denied-docker-hub",
        Stuck(Pull),
        &[
            "docker.io/team",
            "KubernetesOptions::pull_secret",
            "KubernetesOptions::image",
        ],
    ),
    row(
        "image-rate-limit",
        Stuck(Registry),
        &[
            "docker.io/team",
            "limits their rate",
            "KubernetesOptions::pull_secret",
        ],
    ),
    row(
        "image-registry-silent",
        Stuck(Registry),
        &[IMAGE, "i/o timeout", "KubernetesOptions::image"],
    ),
    row(
        "image-registry-refuses",
        Stuck(Pull),
        &[IMAGE, "connection refused", "KubernetesOptions::image"],
    ),
    row(
        "image-no-registry",
        Stuck(Pull),
        &[IMAGE, "no such host", "KubernetesOptions::image"],
    ),
    row(
        "image-registry-untrusted",
        Stuck(Pull),
        &[IMAGE, "certificate", "KubernetesOptions::image"],
    ),
    row(
        "image-other-architecture",
        Stuck(Pull),
        &[
            IMAGE,
            "another architecture",
            "KubernetesOptions::node_selector",
        ],
    ),
    row("image-disk-full", Stuck(Registry), &[IMAGE, "disk is full"]),
    row(
        "image-invalid-name",
        Stuck(Final),
        &[
            "registry.example/Team/backfill:1.4",
            "must be lowercase",
            "KubernetesOptions::image (PODPOOL_IMAGE)",
        ],
    ),
    row(
        "image-never-pull",
        Stuck(Final),
        &[
            IMAGE,
            "node-1",
            "KubernetesOptions::pull_policy (PODPOOL_PULL_POLICY)",
        ],
    ),
    row(
        "image-inspect",
        Stuck(OfNode),
        &[IMAGE, "node-1", "KubernetesOptions::image"],
    ),
    row(
        "config-secret-missing",
        Stuck(SecondLook),
        &[
            "\"prices-api\" not found",
            "KubernetesOptions::env_from_secret (PODPOOL_ENV_FROM_SECRETS)",
        ],
    ),
    row(
        "config-secret-key-missing",
        Stuck(SecondLook),
        &[
            "key token in Secret etl/prices-api",
            "KubernetesOptions::secret_env",
        ],
    ),
    row(
        "config-config-map-missing",
        Stuck(SecondLook),
        &[
            "\"routes\" not found",
            "KubernetesOptions::env_from_config_map",
        ],
    ),
    row(
        "config-runs-as-root",
        Stuck(Final),
        &[IMAGE, "will run as root", "KubernetesOptions::image"],
    ),
    row(
        "config-unknown",
        Stuck(Start),
        &["secret cache", "KubernetesOptions::env_from_secret"],
    ),
    row(
        "create-fails",
        Stuck(OfNode),
        &["reserved for", "node node-1"],
    ),
    row(
        "run-exec-format",
        Stuck(Final),
        &[
            IMAGE,
            "another architecture",
            "node-1",
            "KubernetesOptions::node_selector",
        ],
    ),
    row(
        "run-no-such-file",
        Stuck(Final),
        &[IMAGE, "/worker", "ENTRYPOINT", "KubernetesOptions::image"],
    ),
    row(
        "run-no-permission",
        Stuck(Final),
        &[
            IMAGE,
            "/worker",
            "executable for all",
            "KubernetesOptions::image",
        ],
    ),
    row(
        "sidecar-image-not-found",
        Stuck(Pull),
        &[
            "\"istio-proxy\"",
            "docker.io/istio/proxyv2:1.27.1",
            "KubernetesOptions::sidecar",
        ],
    ),
    // The worker runs, or has ended.
    row("running", Runs, &[]),
    row("sidecar-ended", Runs, &[]),
    row("drained", Left, &["exit code 0"]),
    row("sidecar-outlives-worker", Left, &["exit code 0"]),
    row(
        "oom-killed",
        OutOfMemory,
        &[
            "2 GiB",
            "OOMKilled, exit code 137",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
            "slots_per_worker",
        ],
    ),
    row(
        "oom-killed-exit-0",
        OutOfMemory,
        &[
            "a process of it",
            "exit code 0",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "killed-without-oom",
        Died(Exit::Signal(9)),
        &["SIGKILL", "not by its memory limit"],
    ),
    row(
        "start-error",
        Died(Exit::Code(128)),
        &[
            "/worker",
            "not in the image",
            "ENTRYPOINT",
            "KubernetesOptions::image",
        ],
    ),
    row(
        "exec-format-error",
        Died(Exit::Code(255)),
        &[
            IMAGE,
            "another architecture",
            "node-1",
            "KubernetesOptions::node_selector",
        ],
    ),
    row(
        "panicked",
        Died(Exit::Code(101)),
        &["panic", "no such table: prices"],
    ),
    row(
        "aborted",
        Died(Exit::Signal(6)),
        &["SIGABRT", "memory allocation"],
    ),
    row("segfault", Died(Exit::Signal(11)), &["SIGSEGV"]),
    row("exit-64", Fatal, &["exit code 64", "arguments", "--fast"]),
    row(
        "exit-65",
        Fatal,
        &["exit code 65", "task prices has another shape"],
    ),
    row(
        "exit-77",
        Fatal,
        &[
            "exit code 77",
            "pp-backfill-2026-11-tasks",
            "grant roles/pubsub.subscriber",
        ],
    ),
    row("exit-78", Fatal, &["exit code 78", "does not exist"]),
    row("exit-75", Lost, &["exit code 75", "cannot reach"]),
    row("exit-83", Left, &["exit code 83"]),
    row("exit-143", Lost, &["SIGTERM"]),
    row("preempted", Lost, &["higher priority"]),
    row("node-drained", Lost, &["drained"]),
    row("node-tainted", Lost, &["tainted or not ready"]),
    row("node-gone", Lost, &["its node is gone"]),
    row("node-shut-down", Lost, &["imminent node shutdown"]),
    row("node-shut-down-before", Lost, &["its node was shut down"]),
    row("preempted-by-node", Lost, &["critical pod"]),
    row(
        "evicted-memory",
        Lost,
        &[
            "ran out of memory",
            "was using 1981Mi, request is 2Gi",
            "KubernetesOptions::memory (PODPOOL_MEMORY)",
        ],
    ),
    row(
        "evicted-disk",
        Lost,
        &["ran out of disk", "KubernetesOptions::scratch"],
    ),
    row(
        "evicted-own-empty-dir",
        Died(Exit::Signal(9)),
        &["volume \"tmp\"", "\"10Gi\"", "KubernetesOptions::scratch"],
    ),
    row(
        "evicted-own-container",
        Died(Exit::Signal(9)),
        &[
            "exceeded its local ephemeral storage limit",
            "KubernetesOptions::scratch",
        ],
    ),
    row(
        "evicted-own-pod",
        Died(Exit::Signal(9)),
        &[
            "total limit of containers 10Gi",
            "KubernetesOptions::scratch",
        ],
    ),
    row(
        "rejected-disk-pressure",
        Lost,
        &["DiskPressure", "its node rejected it"],
    ),
    row(
        "rejected-out-of-cpu",
        Lost,
        &["OutOfcpu", "its node rejected it"],
    ),
    row(
        "pod-deadline",
        Lost,
        &[
            "deadline that podpool does not set",
            "KubernetesOptions::run_deadline",
        ],
    ),
    row("node-silent", Silent, &[]),
    row("node-lost", Lost, &["its node is gone"]),
    row("status-unknown", Lost, &["ContainerStatusUnknown"]),
    row("deleted-by-hand", Lost, &["deleted"]),
    row(
        "init-failed",
        Lost,
        &[
            "\"istio-init\"",
            "exit code 1",
            "iptables-restore",
            "KubernetesOptions::init_container",
        ],
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/kubernetes/diagnose/fixtures")
}

/// The objects of a fixture: one, or those of a list.
pub(crate) fn objects(fixture: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(format!("{fixture}.json")));
    let object: Value = serde_json::from_str(&text.unwrap()).unwrap();
    match object.get("items") {
        Some(items) => items.as_array().unwrap().clone(),
        None => vec![object],
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

/// What is known of a pod when its status arrives: `node-lost` was silent before.
pub(crate) fn context(fixture: &str) -> Context {
    Context {
        silent: fixture == "node-lost",
        removed: false,
    }
}

/// The verdict and the text of a fixture. The last object that says something counts: a warning after its pod, nodes
/// after a pod that has none.
fn judged(fixture: &str) -> (Means, String) {
    let objects = objects(fixture);
    let mut said = None;
    let mut nodes = Nodes::default();
    let mut events = Vec::new();
    for object in &objects {
        let kind = object["kind"].as_str().unwrap_or("WatchEvent");
        match kind {
            "Pod" => said = Some(of_pod(judge_pod(&read(object), context(fixture)))),
            "Job" => said = Some(of_job(judge_job(&read(object)))),
            "Node" => nodes.add(&read::<Node>(object)),
            "Status" => said = Some(of_status(&read(object))),
            "Event" => {
                let event: Event = read(object);
                said = of_event(&event).or(said);
                events.push(event);
            }
            "WatchEvent" => {
                assert_eq!(object["type"], "DELETED");
                said = Some((JobDeleted, JOBS_DELETED.to_owned()));
            }
            other => panic!("{fixture} has a {other}"),
        }
    }
    if objects.iter().any(|object| object["kind"] == "Node") {
        let Verdict::Unplaced { needs, .. } = judge_pod(&read(&objects[0]), Context::default())
        else {
            panic!("{fixture}: nodes belong to a pod that has none")
        };
        let Room::TooLarge { reason, may_grow } = room(&needs, &nodes) else {
            panic!("{fixture}: a node has room")
        };
        let means = match (may_grow, autoscaler(&events)) {
            (false, _) => TooLarge,
            (true, Autoscaler::Adds) => Grows("adds"),
            (true, Autoscaler::Declines(why)) if why.contains("backoff") => Grows("backs off"),
            (true, Autoscaler::Declines(_)) => Grows("declines"),
            (true, Autoscaler::Silent) => Grows("silent"),
        };
        return (means, reason);
    }
    said.expect("the fixture says nothing")
}

fn of_pod(verdict: Verdict) -> (Means, String) {
    let nothing = String::new();
    match verdict {
        Verdict::Starting => (Starts, nothing),
        Verdict::SetUp => (SetUp, nothing),
        Verdict::Assigned => (Assigned, nothing),
        Verdict::Running => (Runs, nothing),
        Verdict::Silent => (Silent, nothing),
        Verdict::Leaving => panic!("no fixture leaves"),
        Verdict::Waiting { word } => (Held, word),
        Verdict::CannotStart { reason, patience } => (Stuck(patience), reason),
        Verdict::Unplaced { reason, .. } => (Unplaced, reason),
        Verdict::Gone(gone) => {
            let means = match gone.end {
                _ if gone.fatal => Fatal,
                End::Left => Left,
                End::Died(exit) => Died(exit),
                End::OutOfMemory(_) => OutOfMemory,
                _ => Lost,
            };
            (means, gone.reason)
        }
    }
}

fn of_job(verdict: JobVerdict) -> (Means, String) {
    match verdict {
        JobVerdict::Going => (JobGoes, String::new()),
        JobVerdict::Done => (JobDone, String::new()),
        JobVerdict::Held(why) => (Held, why),
        JobVerdict::Refused(why) => (JobRefused, why),
        JobVerdict::Overdue(why) => (JobOverdue, why),
        JobVerdict::Failed(why) => (JobFailed, why),
    }
}

fn of_event(event: &Event) -> Option<(Means, String)> {
    let reason = event.reason.as_deref().unwrap();
    let message = event.message.as_deref().unwrap();
    let verdict = match event.involved_object.kind.as_deref().unwrap() {
        "Job" => judge_job_note(reason, message),
        _ => judge_pod_note(reason, message),
    };
    verdict.map(of_pod)
}

fn of_status(status: &Status) -> (Means, String) {
    let (kind, advice) = refused::judge(Ask("create", "jobs"), "etl", status);
    let text = format!("{}; {advice}", status.message);
    (Api(kind), text.trim_end_matches("; ").to_owned())
}

/// Compares a text with the file beside its fixture.
fn same(fixture: &str, text: &str) {
    let path = folder().join(format!("{fixture}.txt"));
    let text = format!("{text}\n");
    if std::env::var_os("PODPOOL_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "{fixture}: look at it, then PODPOOL_BLESS=1");
}

#[test]
fn every_failure_has_its_verdict_its_words_and_its_text() {
    for row in ROWS {
        let (means, text) = judged(row.fixture);
        assert_eq!(means, row.means, "{}: {text}", row.fixture);
        for words in row.says {
            assert!(
                text.contains(words),
                "{}: {words:?} is not in {text:?}",
                row.fixture
            );
        }
        // A text without an option or a thing to look at helps nobody.
        assert!(
            text.is_empty() == row.says.is_empty(),
            "{}: {text:?}",
            row.fixture
        );
        same(row.fixture, &text);
    }
}

#[test]
fn every_fixture_is_a_row_and_every_row_is_in_the_documents() {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".json") {
            files.insert(name.to_owned());
        }
    }
    let rows: BTreeSet<String> = ROWS.iter().map(|row| row.fixture.to_owned()).collect();
    assert_eq!(rows.len(), ROWS.len(), "a fixture has two rows");
    assert_eq!(files, rows);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let document = fs::read_to_string(document).unwrap();
    for name in &rows {
        assert!(
            document.contains(&format!("`{name}`")),
            "ARCHITECTURE.md does not have {name}"
        );
    }
}
