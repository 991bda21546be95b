//! Options of every place in one program, which compiles with and without the features.

use std::time::Duration;

use podpool::error::BuildError;
use podpool::options::{
    ControlNames, EphemeralVolume, GivenNames, GpuVendor, Isolation, KubernetesOptions,
    LocalOptions, NodeAffinity, Notices, PodAffinity, PodContainer, PubSubOptions, PullPolicy, Qos,
    Seccomp, Spread, TaintEffect, Tmpfs, Toleration,
};
use podpool::{Backend, Builder};
use podpool_tests::faults::tasks::echo;
use podpool_tests::faults::{built, describe, end, within};

podpool::test_slots!();

/// A pool on which every option is set.
fn all() -> Builder {
    let minute = Duration::from_secs(60);
    let kubernetes = KubernetesOptions::default()
        .image("registry.example/team/backfill:1.4")
        .pull_policy(PullPolicy::IfNotPresent)
        .pull_secret("registry")
        .namespace("prices")
        .service_account("worker")
        .cpu(500)
        .memory(1 << 30)
        .slots_per_worker(2)
        .output_rate(1 << 16)
        .env("RUST_LOG", "info")
        .env_from_secret("prices")
        .secret_file("prices", "token", "/secrets/token")
        .label("team", "data")
        .grace(minute)
        .run_deadline(60 * minute)
        .idle_timeout(5 * minute)
        .schedule_timeout(5 * minute)
        .registry("registry.example/team")
        .base_image(format!("debian@sha256:{}", "0".repeat(64)))
        .registry_insecure("localhost:5000")
        .require_same_build();
    let pubsub = PubSubOptions::default()
        .project("demo")
        .prefix("etl")
        .worker_emulator_host("10.0.0.1:8085")
        .names(
            GivenNames::new(("tasks", "tasks"), ("results", "results"))
                .control(ControlNames::new("control", "control")),
        );
    describe(2)
        .kubernetes(placed(kubernetes))
        .pubsub(pubsub)
        .local(LocalOptions::default().isolation(Isolation::Process))
        .max_tasks_per_slot(100)
        .slot_memory(1 << 30)
        .grace(Duration::from_secs(1))
        .start_timeout(minute)
        .lease(minute)
        .retries(1)
        .run("nightly")
        .notices(Notices::Off)
        .output(|_| {})
        .output_buffer(1 << 20)
        .output_line_bytes(1 << 10)
        .output_rate(1 << 20)
        .signals(false)
}

/// The options of the pods' place, volumes and rights.
fn placed(options: KubernetesOptions) -> KubernetesOptions {
    options
        .cpu_limit(1_000)
        .memory_limit(2 << 30)
        .scratch(1 << 30)
        .scratch_limit(2 << 30)
        .gpu(1)
        .gpu_vendor(GpuVendor::Nvidia)
        .gpu_type("nvidia-l4")
        .resource("example.com/dongle", 1)
        .qos(Qos::Burstable)
        .env_from_config_map("prices")
        .secret_env("TOKEN", "prices", "token")
        .config_map_env("STAGE", "prices", "stage")
        .config_map_file("prices", "assets", "/etc/prices/assets")
        .pvc("cache", "/cache")
        .pvc_read_only("reference", "/reference")
        .ephemeral_volume(EphemeralVolume::new("/work", 1 << 30).storage_class("fast"))
        .tmpfs(Tmpfs::new("/fast", 1 << 20).temp_dir())
        .shm(1 << 20)
        .annotation("team", "data")
        .node_selector("disk", "ssd")
        .toleration(Toleration::equals("dedicated", "etl").effect(TaintEffect::NoSchedule))
        .node_affinity(NodeAffinity::any_of("zone", ["a", "b"]).preferred(5))
        .pod_affinity(PodAffinity::apart("kubernetes.io/hostname"))
        .spread(Spread::over("zone").max_skew(2).strict())
        .spot()
        .compute_class("batch")
        .priority_class("low")
        .runtime_class("gvisor")
        .run_as_user(1_000)
        .run_as_group(1_000)
        .fs_group(1_000)
        .read_only_root(true)
        .seccomp(Seccomp::RuntimeDefault)
        .drop_capabilities(["ALL"])
        .add_capability("NET_BIND_SERVICE")
        .port("metrics", 9_090)
        .host_alias("10.0.0.7", ["db"])
        .init_container(PodContainer::new("fetch", "fetch:1"))
        .sidecar(PodContainer::new("proxy", "proxy:1"))
        .keep_finished(Duration::from_secs(60))
        .kueue_queue("etl")
        .kueue_priority("nightly")
        .pod_template("pod.yaml")
}

#[tokio::test]
async fn options_of_other_places_have_no_effect_here() {
    let pool = built(all()).await;
    assert_eq!(pool.slots(), 2, "of this machine, where a worker has one");
    assert_eq!(within("a task", pool.submit(echo(7))).await.unwrap(), 7);
    end(pool).await;
}

#[tokio::test]
async fn threads_on_a_cluster_are_refused_by_the_options_name() {
    let threads = LocalOptions::default().isolation(Isolation::InProcess);
    let refused = all().backend(Backend::Kubernetes).local(threads).build();
    let error = within("the refusal", refused).await.unwrap_err();
    if cfg!(feature = "kubernetes") {
        assert!(
            matches!(&error, BuildError::Setting { name, .. } if name == "LocalOptions::isolation"),
            "{error}"
        );
    } else {
        let missing = matches!(error, BuildError::FeatureMissing { .. });
        assert!(missing, "nothing else would help: {error}");
    }
}

/// Where the cluster is compiled in, each option is checked before anything is reached.
#[cfg(feature = "kubernetes")]
#[tokio::test]
async fn an_option_that_cannot_be_used_is_named() {
    type Change = fn(KubernetesOptions) -> KubernetesOptions;
    let changes: [(&str, Change); 9] = [
        ("image", |options| options.image("a b")),
        ("cpu", |options| options.cpu(0)),
        ("memory", |options| options.memory(1)),
        ("grace", |options| options.grace(Duration::from_secs(1))),
        ("env", |options| options.env("PODPOOL_CPU", "1")),
        ("tmpfs", |options| {
            options.tmpfs(Tmpfs::new("fast", 1 << 30))
        }),
        ("label", |options| options.label("podpool.dev/run", "mine")),
        ("pod_template", |options| {
            options.pod_template("/no/such/pod.yaml")
        }),
        ("patch_pod", |options| {
            options.patch_pod(|pod| pod.metadata.labels = None)
        }),
    ];
    for (option, change) in changes {
        let options = change(KubernetesOptions::default().image("backfill:1"));
        let builder = describe(1).backend(Backend::Kubernetes).kubernetes(options);
        let error = within("the refusal", builder.build()).await.unwrap_err();
        let expected = format!("KubernetesOptions::{option}");
        assert!(
            matches!(&error, BuildError::Setting { name, .. } if name.starts_with(&expected)),
            "{error}"
        );
    }
}

/// A setting with its source, and none of a missing feature.
#[test]
fn settings_name_what_counts() {
    let options = KubernetesOptions::default().cpu(500).env("TOKEN", "s3cret");
    let settings = options.settings();
    if cfg!(feature = "kubernetes") {
        let lines: Vec<_> = settings.unwrap().iter().map(ToString::to_string).collect();
        let has = |line: &str| lines.iter().any(|other| other == line);
        assert!(has("cpu = 500m (the program)"), "{lines:#?}");
        assert!(has("env.TOKEN = (not shown) (the program)"), "{lines:#?}");
        assert!(has("grace = 30s (default)"), "{lines:#?}");
    } else {
        let missing = matches!(settings, Err(BuildError::FeatureMissing { .. }));
        assert!(missing);
    }
}
