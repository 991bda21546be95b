//! A program that sets every option of every place, and is built without any feature.

use std::time::Duration;

use podpool::error::BuildError;
use podpool::options::{
    ControlNames, FailureLimit, GivenNames, Isolation, KubernetesOptions, LocalOptions, Notices,
    PubSubOptions, PullPolicy,
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
        .kubernetes(kubernetes)
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
