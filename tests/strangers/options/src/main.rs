//! A program that sets every option of every place, and is built without any feature.

use std::time::Duration;

use podpool::error::BuildError;
use podpool::options::{
    ControlNames, EphemeralVolume, FailureLimit, GivenNames, GpuVendor, Isolation,
    KubernetesOptions, LocalOptions, NodeAffinity, Notices, PodAffinity, PodContainer,
    PubSubOptions, PullPolicy, Qos, Seccomp, Spread, TaintEffect, Tmpfs, Toleration,
};
use podpool::prelude::*;
use podpool::{Backend, Builder};

#[podpool::task(
    name = "every-option",
    version = "1",
    retries = 1,
    retry_on = always,
    backoff = "1ms..1s",
    timeout = "1m",
    memory = "64GiB",
    pack = false,
    finish_on_lost_lease
)]
fn add(one: u32, other: u32) -> Result<u32, std::num::TryFromIntError> {
    (u64::from(one) + u64::from(other)).try_into()
}

fn always(_: &std::num::TryFromIntError) -> bool {
    true
}

#[podpool::task]
fn prepare() {}

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

fn builder() -> Builder {
    let minute = Duration::from_secs(60);
    let names = GivenNames::new(("tasks", "tasks"), ("results", "results"))
        .control(ControlNames::new("control", "control"));
    let pubsub = PubSubOptions::default()
        .project("demo")
        .prefix("etl")
        .worker_emulator_host("10.0.0.1:8085")
        .names(names);
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
    PodPoolExecutor::builder()
        .kubernetes(placed(kubernetes))
        .pubsub(pubsub)
        .local(
            LocalOptions::default()
                .isolation(Isolation::Process)
                .memory(1 << 34),
        )
        .max_workers(2)
        .max_tasks_per_slot(100)
        .slot_memory(1 << 30)
        .grace(Duration::from_secs(1))
        .start_timeout(minute)
        .lease(minute)
        .retries(1)
        .deadline(60 * minute)
        .fail_run_after(FailureLimit::share(0.5, 10))
        .no_progress_timeout(10 * minute)
        .run("nightly")
        .initializer(prepare())
        .notices(Notices::Off)
        .output(|_| {})
        .output_buffer(1 << 20)
        .output_line_bytes(1 << 10)
        .output_rate(1 << 20)
        .signals(false)
}

#[tokio::main(flavor = "current_thread")]
#[podpool::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = builder().backend(Backend::Local).build().await?;
    let call = add(2, 3)
        .key("five")
        .retries(2)
        .timeout(Duration::from_secs(30))
        .memory(1 << 28)
        .priority(7);
    println!("{}", pool.submit(call).await?);
    let declared = pool.submit(add(2, 3)).await.unwrap_err();
    println!("{declared}");
    pool.shutdown().await?;
    match builder().backend(Backend::Kubernetes).build().await {
        Err(BuildError::FeatureMissing { feature, .. }) => println!("needs {feature}"),
        other => println!("{other:?}"),
    }
    Ok(())
}
