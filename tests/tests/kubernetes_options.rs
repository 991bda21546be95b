//! Options of pods on a real cluster: what the API server accepts, and what a worker finds.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::path::Path;
use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, LogParams, Patch, PatchParams, PostParams, ValidationDirective};
use kube::{Api, Client, ResourceExt};
use podpool::RunId;
use podpool::kubernetes::job::{self, Cohort};
use podpool::kubernetes::spec::{ConfigFile, WorkerSpec};
use podpool_core::broker::ClassId;
use podpool_core::fleet::End;
use podpool_core::id::WorkerId;
use podpool_tests::kubernetes::bed::{Bed, spec};
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::{BOUND, IMAGE, ready};
use serde_json::{Value, json};
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");

/// The file with every setting, by which the unit tests go too.
const EVERYTHING: &str =
    include_str!("../../executor/src/fleet/kubernetes/job/golden/podpool.toml");

/// A client for what the fleet's own does not do.
async fn client() -> Client {
    Client::try_default().await.unwrap()
}

/// The server accepts the Job, without a field that it does not know, and makes nothing.
async fn accepted(own: &Own, spec: &WorkerSpec) -> Job {
    let run = RunId::random();
    let cohort = Cohort {
        run: &run,
        number: 0,
        class: ClassId::DEFAULT,
        size: 2,
        lasts: Duration::from_secs(3_600),
        deadline: 1_796_000_000,
        secret: "00112233445566778899aabbccddeeff",
        owner: None,
        suspended: true,
    };
    let job = job::job(spec, &cohort).unwrap();
    let params = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some("podpool-test".to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let name = job.name_any();
    let patch = Patch::Apply(&job);
    own.cluster
        .jobs()
        .patch(&name, &params, &patch)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_server_accepts_a_job_with_every_option() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let file = ConfigFile::parse(Path::new("podpool.toml"), EVERYTHING).unwrap();
    let spec = WorkerSpec::default().or_file(Some(&file)).unwrap();
    spec.check().unwrap();
    let job = accepted(&own, &spec).await;
    assert_eq!(job.labels()["kueue.x-k8s.io/queue-name"], "etl");
    assert_eq!(job.labels()["team"], "prices");
    let job = serde_json::to_value(&job).unwrap();
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"][2]["tolerationSeconds"], 300, "{pod:#}");
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 600);
    accepted(&own, &WorkerSpec::of_image(IMAGE)).await;
    own.remove().await;
}

/// Secret, config map and priority class for the worker of the next test.
async fn provide(own: &Own, class: &str) {
    let client = client().await;
    let params = PostParams::default();
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": "db"},
        "stringData": {"password": "open sesame", "USER": "etl"},
    }))
    .unwrap();
    own.cluster
        .secrets()
        .create(&params, &secret)
        .await
        .unwrap();
    let map: ConfigMap = serde_json::from_value(json!({
        "metadata": {"name": "config"},
        "data": {"assets.json": "[1, 2]", "STAGE": "test"},
    }))
    .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &own.name);
    maps.create(&params, &map).await.unwrap();
    let priority: PriorityClass = serde_json::from_value(json!({
        "metadata": {"name": class},
        "value": 7,
        "preemptionPolicy": "Never",
    }))
    .unwrap();
    let classes: Api<PriorityClass> = Api::all(client);
    classes.create(&params, &priority).await.unwrap();
}

/// A worker with as many options as any cluster can honour.
fn rich(own: &Own, class: &str) -> WorkerSpec {
    let sidecar = json!([{"name": "beside", "image": IMAGE, "env": {"FLEET_POD": "stay"}}]);
    let first = json!([{"name": "first", "image": IMAGE, "env": {"FLEET_POD": "leave"}}]);
    let (sidecar, first) = (sidecar.to_string(), first.to_string());
    let files = "FLEET_POD_FILES=/etc/db/password /etc/assets.json";
    let variables = [
        ("PODPOOL_NAMESPACE", &*own.name),
        ("PODPOOL_PRIORITY_CLASS", class),
        ("PODPOOL_WORKER_ENV", files),
        ("PODPOOL_ENV_FROM_SECRETS", "db"),
        ("PODPOOL_ENV_FROM_CONFIG_MAPS", "config"),
        ("PODPOOL_SECRET_ENV", "DB_PASSWORD=db/password"),
        ("PODPOOL_CONFIG_MAP_ENV", "PHASE=config/STAGE"),
        ("PODPOOL_SECRET_FILES", "db/password=/etc/db/password"),
        (
            "PODPOOL_CONFIG_MAP_FILES",
            "config/assets.json=/etc/assets.json",
        ),
        ("PODPOOL_TMPFS", "/fast=8Mi:temp_dir"),
        ("PODPOOL_SHM", "4Mi"),
        ("PODPOOL_SCRATCH", "32Mi"),
        ("PODPOOL_LABELS", "team=prices"),
        ("PODPOOL_ANNOTATIONS", "prices/owner=two words"),
        ("PODPOOL_NODE_SELECTOR", "kubernetes.io/os=linux"),
        ("PODPOOL_TOLERATIONS", "dedicated=etl:NoSchedule"),
        (
            "PODPOOL_NODE_AFFINITY",
            r#"[{"key": "kubernetes.io/hostname", "operator": "Exists"}]"#,
        ),
        ("PODPOOL_SPREAD", "kubernetes.io/hostname"),
        ("PODPOOL_RUN_AS_USER", "1234"),
        ("PODPOOL_RUN_AS_GROUP", "1235"),
        ("PODPOOL_FS_GROUP", "1236"),
        ("PODPOOL_PORTS", "metrics=9090"),
        ("PODPOOL_HOST_ALIASES", "10.0.0.7=db.internal"),
        ("PODPOOL_SIDECARS", &sidecar),
        ("PODPOOL_INIT_CONTAINERS", &first),
    ];
    let spec = spec("show").or_environment(|name| {
        let pair = variables.iter().find(|(set, _)| *set == name);
        pair.map(|(_, text)| (*text).to_owned())
    });
    // The start of three containers takes longer than that of one.
    WorkerSpec {
        start_timeout: Some(Duration::from_secs(30)),
        ..spec.unwrap()
    }
}

/// What the worker prints, up to its last line.
async fn shown(bed: &Bed, pod: &Pod) -> Vec<String> {
    let params = LogParams {
        container: Some("worker".to_owned()),
        follow: true,
        ..LogParams::default()
    };
    let pods = bed.cluster.pods();
    let read = async {
        let log = pods.log_stream(&pod.name_any(), &params).await.unwrap();
        let mut lines = log.lines();
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            let line = line.unwrap();
            if line == "shown" {
                return all;
            }
            all.push(line);
        }
        panic!("the worker ended: {all:#?}");
    };
    timeout(BOUND, read)
        .await
        .expect("the worker shows nothing")
}

/// What API server and scheduler made of the options.
fn placed(pod: &Pod, class: &str) {
    let pod = serde_json::to_value(pod).unwrap();
    let (meta, spec) = (&pod["metadata"], &pod["spec"]);
    assert_eq!(meta["labels"]["team"], "prices");
    assert_eq!(meta["annotations"]["prices/owner"], "two words");
    assert_eq!(spec["priorityClassName"], class);
    assert_eq!(spec["priority"], 7, "of the class");
    assert_eq!(spec["nodeSelector"]["kubernetes.io/os"], "linux");
    let tolerations = spec["tolerations"].as_array().unwrap();
    let dedicated = |one: &Value| one["key"] == "dedicated" && one["value"] == "etl";
    assert!(tolerations.iter().any(dedicated), "{tolerations:#?}");
    assert_eq!(
        spec["topologySpreadConstraints"][0]["topologyKey"],
        "kubernetes.io/hostname"
    );
    let worker = &spec["containers"][0];
    assert_eq!(worker["ports"][0]["containerPort"], 9090);
    assert_eq!(worker["resources"]["limits"]["ephemeral-storage"], "32Mi");
    assert_eq!(pod["status"]["qosClass"], "Burstable");
    let sidecar = &pod["status"]["initContainerStatuses"][0];
    assert_eq!(sidecar["name"], "beside");
    assert!(sidecar["state"]["running"].is_object(), "{sidecar:#}");
}

#[tokio::test]
async fn a_worker_finds_what_its_options_say_under_the_strictest_rules() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    // A priority class is no part of a namespace.
    let class = format!("podpool-test-{}", WorkerId::random());
    provide(&own, &class).await;
    let mut bed = Bed::start(rich(&own, &class), 1).await;
    bed.needed(1);
    let pod = bed.worker_running().await;
    placed(&pod, &class);
    let lines = shown(&bed, &pod).await;
    let has = |line: &str| lines.iter().any(|other| other == line);
    for line in [
        "env DB_PASSWORD=open sesame",
        "env USER=etl",
        "env STAGE=test",
        "env PHASE=test",
        "env TMPDIR=/fast",
        "file /etc/db/password=open sesame",
        "file /etc/assets.json=[1, 2]",
        "made /fast/made",
    ] {
        assert!(has(line), "{line:?} is not in {lines:#?}");
    }
    let starts = |start: &str, with: &[&str]| {
        let mut all = lines.iter().filter(|line| line.starts_with(start));
        let found = all.any(|line| with.iter().all(|word| line.contains(word)));
        assert!(found, "{start:?} with {with:?} is not in {lines:#?}");
    };
    starts("mount tmpfs /fast tmpfs", &["size=8192k"]);
    starts("mount tmpfs /dev/shm tmpfs", &["size=4096k"]);
    starts("mount ", &[" / ", "ro,"]);
    starts("status Uid:", &["1234"]);
    starts("status Gid:", &["1235"]);
    starts("status Groups:", &["1236"]);
    starts("status CapEff:", &["0000000000000000"]);
    starts("status Seccomp:", &["2"]);
    starts("hosts ", &["10.0.0.7\tdb.internal"]);
    bed.stop().await;
    let classes: Api<PriorityClass> = Api::all(client().await);
    let now = DeleteParams::default();
    classes.delete(&class, &now).await.unwrap();
    own.remove().await;
}

#[tokio::test]
async fn a_worker_leaves_although_its_sidecar_goes_on() {
    if !ready(PROGRAM) {
        return;
    }
    let sidecar = json!([{"name": "beside", "image": IMAGE, "env": {"FLEET_POD": "stay"}}]);
    let spec = spec("exit:0")
        .or_environment(|name| (name == "PODPOOL_SIDECARS").then(|| sidecar.to_string()))
        .unwrap();
    let mut bed = Bed::start(spec, 1).await;
    bed.needed(1);
    assert_eq!(bed.gone().await.end, End::Left);
    bed.needed(0);
    bed.end().await;
}

#[tokio::test]
async fn the_strictest_rules_refuse_what_relaxes_them_and_the_option_is_named() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let spec = WorkerSpec {
        namespace: Some(own.name.clone()),
        run_as_user: Some(0),
        ..spec("hang")
    };
    let mut bed = Bed::start(spec, 1).await;
    bed.needed(1);
    let reason = bed.broken().await;
    assert!(reason.contains("restricted"), "{reason}");
    assert!(
        reason.contains("runAsNonRoot") || reason.contains("runAsUser"),
        "{reason}"
    );
    bed.stop().await;
    own.remove().await;
}
