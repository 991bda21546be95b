//! The start of a pool whose workers are on a cluster.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::broker::pubsub::{PubSubBroker, check_lease};
use crate::broker::run_payloads::asked_for;
use crate::client::join::{Elsewhere, Run};
use crate::client::options::PubSubOptions;
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::kubernetes::reach::ClusterFleet;
use crate::fleet::kubernetes::spec::{SpecError, WorkerSpec};
use crate::master::handle::Handle;
use crate::worker::build_id;

use super::run_key::fresh_key;
use super::{Builder, ledger, setting};

/// The variable for the prefix of topics and subscriptions.
const PREFIX: &str = "PODPOOL_PREFIX";
/// Bytes a second that a worker on a cluster may send: a message must carry four seconds of it.
// 8 MiB at 2 MiB a second; Pub/Sub carries messages of 10 MB. At double it would not.
const FORWARDED: RangeInclusive<u64> = 1 << 10..=2 << 20;
/// Workers, where no setting gives a number.
const WORKERS: usize = 10;

impl Builder {
    pub(super) async fn start_on_cluster(mut self) -> Result<Handle, BuildError> {
        let spec = self.worker_spec()?;
        // All settings are checked before the cluster or Pub/Sub is called: a wrong one costs no time and leaves
        // nothing.
        let broker = self.pubsub_broker(&spec.env)?;
        let name = self.run_name()?;
        let wanted = self.wanted_run()?;
        let (run, key, epoch) = match self.hooks.succession.take() {
            // The key of the older master: its workers verify messages with it, and know no other.
            Some(succession) => succession,
            None => (self.run_id(name.as_ref()), fresh_key()?, 1),
        };
        let workers = self.pods()?;
        let payload_store = asked_for(self.payload_store.take());
        let slots = (spec.slots(), spec.start_time());
        let elsewhere = Elsewhere {
            key,
            epoch,
            lasts: spec.run_deadline(),
            termination: spec.grace_time(),
            idle: spec.idle_time(),
            build: build_id::of_this_program().map_err(failed("read the file of this program"))?,
            same_build: self.kubernetes.same_build,
            outlives: true,
        };
        let run = Run {
            settings: self.into_settings(run, name, slots)?,
            broker: Arc::new(broker),
            fleet: Box::new(ClusterFleet {
                spec,
                max_workers: workers,
            }),
            workers,
            payload_store,
            ledger: None,
            elsewhere: Some(elsewhere),
        };
        ledger::start(run, wanted).await
    }
}

impl Builder {
    /// The checked settings of the workers, with those of the environment; they leave the builder.
    pub(super) fn worker_spec(&mut self) -> Result<WorkerSpec, BuildError> {
        let mut spec = std::mem::take(&mut self.kubernetes.spec);
        spec.start_timeout = self.start_timeout;
        let spec = spec.or_environment(variable).map_err(refused)?;
        spec.check().map_err(refused)?;
        if let Some(rate) = self.kubernetes.output_rate {
            self.output_limits.forwarded = checked_rate(rate)?;
        }
        Ok(spec)
    }

    /// Pub/Sub as it is set, with the lease of the run checked.
    pub(super) fn pubsub_broker(
        &mut self,
        worker_env: &[(String, String)],
    ) -> Result<PubSubBroker, BuildError> {
        let options = std::mem::take(&mut self.pubsub);
        let broker = broker(options, worker_env, variable(PREFIX))?;
        if let Some(lease) = self.lease {
            check_lease(lease)
                .map_err(|error| setting("lease", format_args!("{lease:?}"), error))?;
        }
        Ok(broker)
    }

    /// The checked number of workers.
    pub(super) fn pods(&self) -> Result<u32, BuildError> {
        self.workers(WORKERS)
    }
}

/// A variable of this process that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Pub/Sub with these options; `prefix` is the environment's.
fn broker(
    options: PubSubOptions,
    worker_env: &[(String, String)],
    prefix: Option<String>,
) -> Result<PubSubBroker, BuildError> {
    let emulator = options.worker_emulator_host.as_deref();
    let mut broker = PubSubBroker::new().worker_emulator_host(emulator, worker_env)?;
    if let Some(prefix) = options.prefix.or(prefix) {
        broker = broker.prefix(prefix);
    }
    if let Some(project) = options.project {
        broker = broker.project(project);
    }
    if let Some(names) = options.names {
        broker = broker.names(names);
    }
    Ok(broker)
}

fn checked_rate(bytes: u64) -> Result<u64, BuildError> {
    if FORWARDED.contains(&bytes) {
        return Ok(bytes);
    }
    let reason = "a worker sends 1 KiB to 2 MiB a second";
    Err(setting("KubernetesOptions::output_rate", bytes, reason))
}

/// The error of an option or a variable that cannot be used.
// A timeout of the builder's is checked with the options of the cluster, which has other bounds than this machine.
fn refused(error: SpecError) -> BuildError {
    let SpecError {
        setting: name,
        value,
        reason,
    } = error;
    let name = match name.as_str() {
        "start_timeout" => format!("{name} (PODPOOL_START_TIMEOUT)"),
        variable if variable.starts_with("PODPOOL_") => name,
        // Files of secrets alone have no variable.
        "secret_file" => format!("KubernetesOptions::{name}"),
        option => format!("KubernetesOptions::{option} ({})", variable_of(option)),
    };
    setting(&name, value, reason)
}

/// The variable of an option, which may be the one that was set.
fn variable_of(option: &str) -> String {
    let name = match option {
        "pull_secret" | "env_from_secret" | "label" => format!("{option}s"),
        "env" => "worker_env".to_owned(),
        option => option.to_owned(),
    };
    format!("PODPOOL_{}", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables;

    #[test]
    fn each_option_is_named_with_a_variable_that_exists() {
        for option in [
            "image",
            "namespace",
            "service_account",
            "pull_secret",
            "env_from_secret",
            "cpu",
            "memory",
            "slots_per_worker",
            "grace",
            "run_deadline",
            "idle_timeout",
            "schedule_timeout",
            "label",
            "env",
        ] {
            let variable = variable_of(option);
            assert!(variables::is_known(&variable), "{variable}");
        }
    }
}
