//! Every setting, once by the program, once by variables, and once by the file `golden/podpool.toml`.

use crate::fleet::worker_spec::WorkerSpec;
use crate::options::{
    EphemeralVolume, GpuVendor, KubernetesOptions, NodeAffinity, PodAffinity, PodContainer,
    PullPolicy, Qos, Seccomp, Spread, TaintEffect, Tmpfs, Toleration,
};
use std::time::Duration;

const GIB: u64 = 1 << 30;

/// By the program.
pub(super) fn everything() -> WorkerSpec {
    let options = sized(KubernetesOptions::default());
    let options = placed(filled(options));
    let mut spec = restricted(options).spec;
    // It is an option of the builder's.
    spec.start_timeout = Some(Duration::from_secs(90));
    spec
}

fn sized(options: KubernetesOptions) -> KubernetesOptions {
    options
        .image("registry.example/prices:1.4")
        .pull_policy(PullPolicy::IfNotPresent)
        .pull_secret("registry")
        .registry("registry.example/team")
        .base_image(format!("debian@sha256:{}", "a".repeat(64)))
        .registry_insecure("localhost:5000")
        .namespace("etl")
        .service_account("podpool-worker")
        .priority_class("batch-low")
        .runtime_class("gvisor")
        .cpu(500)
        .cpu_limit(2_000)
        .memory(4 * GIB)
        .memory_limit(5 * GIB)
        .scratch(10 * GIB)
        .scratch_limit(12 * GIB)
        .gpu(1)
        .gpu_vendor(GpuVendor::Nvidia)
        .gpu_type("nvidia-l4")
        .resource("example.com/dongle", 2)
        .qos(Qos::Burstable)
        .slots_per_worker(4)
        .grace(Duration::from_secs(60))
        .run_deadline(Duration::from_secs(2 * 86_400))
        .keep_finished(Duration::from_secs(600))
        .idle_timeout(Duration::from_secs(120))
        .schedule_timeout(Duration::from_secs(600))
        .output_rate(128 << 10)
        .require_same_build()
        .kueue_queue("etl")
        .kueue_priority("nightly")
}

fn filled(options: KubernetesOptions) -> KubernetesOptions {
    options
        .env("REGION", "eu")
        .env("RUST_LOG", "info")
        .env_from_secret("prices-api")
        .env_from_config_map("prices-config")
        .secret_env("DB_PASSWORD", "db", "password")
        .config_map_env("STAGE", "prices-config", "stage")
        .secret_file("db", "password", "/etc/db/password")
        .config_map_file("prices-config", "assets.json", "/etc/prices/assets.json")
        .pvc("cache", "/cache")
        .pvc_read_only("reference", "/reference")
        .ephemeral_volume(EphemeralVolume::new("/work", 100 * GIB).storage_class("fast"))
        .tmpfs(Tmpfs::new("/fast", GIB).temp_dir())
        .shm(512 << 20)
        .label("team", "prices")
        .annotation("cluster-autoscaler.kubernetes.io/safe-to-evict", "false")
}

fn placed(options: KubernetesOptions) -> KubernetesOptions {
    options
        .node_selector("disk", "ssd")
        .node_selector("zone", "a")
        .toleration(Toleration::equals("dedicated", "etl").effect(TaintEffect::NoSchedule))
        .toleration(
            Toleration::exists("flaky")
                .effect(TaintEffect::NoExecute)
                .seconds(300),
        )
        .node_affinity(NodeAffinity::any_of(
            "kubernetes.io/arch",
            ["amd64", "arm64"],
        ))
        .node_affinity(NodeAffinity::above("generation", 3).preferred(10))
        .pod_affinity(PodAffinity::apart("kubernetes.io/hostname").preferred(100))
        .pod_affinity(PodAffinity::near("topology.kubernetes.io/zone").label("app", "cache"))
        .spread(Spread::over("topology.kubernetes.io/zone").max_skew(2))
        .spot()
        .compute_class("batch")
}

fn restricted(options: KubernetesOptions) -> KubernetesOptions {
    options
        .run_as_user(1000)
        .run_as_group(1001)
        .fs_group(1002)
        .read_only_root(false)
        .seccomp(Seccomp::Localhost("profiles/etl.json".to_owned()))
        .drop_capabilities(["ALL"])
        .add_capability("NET_BIND_SERVICE")
        .port("metrics", 9090)
        .host_alias("10.0.0.7", ["db.internal", "db"])
        .init_container(
            PodContainer::new("fetch", "registry.example/fetch:1")
                .command(["/fetch", "--all"])
                .env("TARGET", "/work"),
        )
        .sidecar(
            PodContainer::new("proxy", "registry.example/proxy:2")
                .args(["--port", "5432"])
                .env_from_secret("proxy")
                .cpu(100)
                .memory(64 << 20),
        )
}

/// By variables.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("PODPOOL_IMAGE", "registry.example/prices:1.4"),
    ("PODPOOL_PULL_POLICY", "ifnotpresent"),
    ("PODPOOL_PULL_SECRETS", "registry"),
    ("PODPOOL_REGISTRY", "registry.example/team"),
    (
        "PODPOOL_BASE_IMAGE",
        "debian@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    ("PODPOOL_REGISTRY_INSECURE", "localhost:5000"),
    ("PODPOOL_NAMESPACE", "etl"),
    ("PODPOOL_SERVICE_ACCOUNT", "podpool-worker"),
    ("PODPOOL_PRIORITY_CLASS", "batch-low"),
    ("PODPOOL_RUNTIME_CLASS", "gvisor"),
    ("PODPOOL_CPU", "500m"),
    ("PODPOOL_CPU_LIMIT", "2"),
    ("PODPOOL_MEMORY", "4Gi"),
    ("PODPOOL_MEMORY_LIMIT", "5120Mi"),
    ("PODPOOL_SCRATCH", "10Gi"),
    ("PODPOOL_SCRATCH_LIMIT", "12Gi"),
    ("PODPOOL_GPU", "1"),
    ("PODPOOL_GPU_VENDOR", "NVIDIA"),
    ("PODPOOL_GPU_TYPE", "nvidia-l4"),
    ("PODPOOL_RESOURCES", "example.com/dongle=2"),
    ("PODPOOL_QOS", "burstable"),
    ("PODPOOL_SLOTS_PER_WORKER", "4"),
    ("PODPOOL_WORKER_ENV", "REGION=eu, RUST_LOG=info"),
    ("PODPOOL_ENV_FROM_SECRETS", "prices-api"),
    ("PODPOOL_ENV_FROM_CONFIG_MAPS", "prices-config"),
    ("PODPOOL_SECRET_ENV", "DB_PASSWORD=db/password"),
    ("PODPOOL_CONFIG_MAP_ENV", "STAGE=prices-config/stage"),
    ("PODPOOL_SECRET_FILES", "db/password=/etc/db/password"),
    (
        "PODPOOL_CONFIG_MAP_FILES",
        "prices-config/assets.json=/etc/prices/assets.json",
    ),
    ("PODPOOL_PVCS", "cache=/cache,reference=/reference:ro"),
    ("PODPOOL_EPHEMERAL_VOLUMES", "/work=100Gi:fast"),
    ("PODPOOL_TMPFS", "/fast=1Gi:temp_dir"),
    ("PODPOOL_SHM", "512Mi"),
    ("PODPOOL_LABELS", "team=prices"),
    (
        "PODPOOL_ANNOTATIONS",
        "cluster-autoscaler.kubernetes.io/safe-to-evict=false",
    ),
    ("PODPOOL_NODE_SELECTOR", "disk=ssd,zone=a"),
    (
        "PODPOOL_TOLERATIONS",
        r#"["dedicated=etl:NoSchedule", {"key": "flaky", "effect": "NoExecute", "seconds": 300}]"#,
    ),
    (
        "PODPOOL_NODE_AFFINITY",
        r#"[{"key": "kubernetes.io/arch", "values": ["amd64", "arm64"]},
            {"key": "generation", "operator": "Gt", "values": ["3"], "weight": 10}]"#,
    ),
    (
        "PODPOOL_POD_AFFINITY",
        r#"[{"apart": "kubernetes.io/hostname", "weight": 100},
            {"near": "topology.kubernetes.io/zone", "labels": "app=cache"}]"#,
    ),
    ("PODPOOL_SPREAD", "topology.kubernetes.io/zone=2"),
    ("PODPOOL_SPOT", "any"),
    ("PODPOOL_COMPUTE_CLASS", "batch"),
    ("PODPOOL_RUN_AS_USER", "1000"),
    ("PODPOOL_RUN_AS_GROUP", "1001"),
    ("PODPOOL_FS_GROUP", "1002"),
    ("PODPOOL_READ_ONLY_ROOT", "false"),
    ("PODPOOL_SECCOMP", "Localhost/profiles/etl.json"),
    ("PODPOOL_DROP_CAPABILITIES", "ALL"),
    ("PODPOOL_ADD_CAPABILITIES", "NET_BIND_SERVICE"),
    ("PODPOOL_PORTS", "metrics=9090"),
    ("PODPOOL_HOST_ALIASES", "10.0.0.7=db.internal db"),
    (
        "PODPOOL_INIT_CONTAINERS",
        r#"[{"name": "fetch", "image": "registry.example/fetch:1", "command": ["/fetch", "--all"],
             "env": {"TARGET": "/work"}}]"#,
    ),
    (
        "PODPOOL_SIDECARS",
        r#"{"name": "proxy", "image": "registry.example/proxy:2", "args": ["--port", "5432"],
            "env_from_secrets": "proxy", "cpu": "100m", "memory": "64Mi"}"#,
    ),
    ("PODPOOL_GRACE", "60s"),
    ("PODPOOL_RUN_DEADLINE", "48h"),
    ("PODPOOL_KEEP_FINISHED", "10m"),
    ("PODPOOL_IDLE_TIMEOUT", "2m"),
    ("PODPOOL_START_TIMEOUT", "1.5m"),
    ("PODPOOL_SCHEDULE_TIMEOUT", "10m"),
    ("PODPOOL_WORKER_OUTPUT_RATE", "128Ki"),
    ("PODPOOL_REQUIRE_SAME_BUILD", "true"),
    ("PODPOOL_KUEUE_QUEUE", "etl"),
    ("PODPOOL_KUEUE_PRIORITY", "nightly"),
];
