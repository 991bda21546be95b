//! The start of a pool whose workers are on a cluster.

use std::sync::Arc;

use crate::broker::pubsub::{PubSubBroker, check_lease};
use crate::broker::run_payloads::asked_for;
use crate::client::join::{Elsewhere, Run};
use crate::client::options::PubSubOptions;
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::kubernetes::job;
use crate::fleet::kubernetes::reach::ClusterFleet;
use crate::fleet::kubernetes::spec::{SpecError, rows};
use crate::master::handle::Handle;
use crate::worker::build_id;

use super::run_key::fresh_key;
use super::{Builder, ledger, setting};

/// The variable for the prefix of topics and subscriptions.
const PREFIX: &str = "PODPOOL_PREFIX";
/// Workers, where no setting gives a number.
const WORKERS: usize = 10;

impl Builder {
    pub(super) async fn start_on_cluster(mut self) -> Result<Handle, BuildError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut spec = std::mem::take(&mut self.kubernetes.spec);
        spec.start_timeout = self.start_timeout;
        let spec = spec.resolved().map_err(cluster_option)?;
        #[cfg(not(feature = "image"))]
        if spec.asks_for_a_made_image() {
            return Err(BuildError::FeatureMissing {
                backend: "image of this program (KubernetesOptions::registry, PODPOOL_REGISTRY)"
                    .to_owned(),
                feature: "image",
            });
        }
        spec.check().map_err(cluster_option)?;
        job::check(&spec).map_err(cluster_option)?;
        if let Some(rate) = spec.output_rate {
            self.output_limits.forwarded = rate;
        }
        // All settings are checked before the cluster or Pub/Sub is called: a wrong one costs no time and leaves
        // nothing.
        let broker = broker(
            std::mem::take(&mut self.pubsub),
            &spec.env,
            variable(PREFIX),
        )?;
        if let Some(lease) = self.lease {
            check_lease(lease)
                .map_err(|error| setting("lease", format_args!("{lease:?}"), error))?;
        }
        let name = self.run_name()?;
        let wanted = self.wanted_run()?;
        let (run, key, epoch) = match self.hooks.succession.take() {
            // The key of the older master: its workers verify messages with it, and know no other.
            Some(succession) => succession,
            None => (self.run_id(name.as_ref()), fresh_key()?, 1),
        };
        let workers = self.workers(WORKERS)?;
        let payload_store = asked_for(self.payload_store.take());
        let slots = (spec.slots(), spec.start_time());
        let elsewhere = Elsewhere {
            key,
            epoch,
            lasts: spec.run_deadline(),
            termination: spec.grace_time(),
            idle: spec.idle_time(),
            build: build_id::of_this_program().map_err(failed("read the file of this program"))?,
            same_build: spec.same_build.unwrap_or(false),
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

/// The error of an option, a variable, a file or a template that cannot be used.
// A timeout of the builder's is checked with the options of the cluster, which has other bounds than this machine.
pub(crate) fn cluster_option(error: SpecError) -> BuildError {
    let SpecError {
        setting: name,
        value,
        reason,
    } = error;
    let row = rows().find(|row| row.option == name);
    let name = match (row, &*name) {
        (Some(row), "start_timeout") => format!("{name} ({})", row.variable),
        (Some(row), _) => format!("KubernetesOptions::{name} ({})", row.variable),
        // It is a function, so it has no variable.
        (None, "patch_pod") => format!("KubernetesOptions::{name}"),
        // A variable, or a file.
        (None, _) => name,
    };
    setting(&name, value, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables;

    #[test]
    fn each_option_is_named_with_a_variable_that_exists() {
        assert!(rows().count() > 60, "the table has lost rows");
        for row in rows() {
            assert!(variables::is_known(row.variable), "{}", row.variable);
            let error = SpecError {
                setting: row.option.to_owned(),
                value: String::new(),
                reason: String::new(),
            };
            let shown = cluster_option(error).to_string();
            assert!(shown.contains(row.option), "{shown}");
            assert!(shown.contains(row.variable), "{shown}");
        }
    }
}
