//! Settings of the cluster back-end alone.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::RunId;

use crate::broker::pubsub::{GivenNames, PubSubBroker, check_lease};
use crate::broker::run_payloads::asked_for;
use crate::client::join::{self, Elsewhere, Run};
use crate::error::BuildError;
use crate::error::start::failed;
use crate::fleet::kubernetes::job::NAME_LABEL;
use crate::fleet::kubernetes::reach::ClusterFleet;
use crate::fleet::kubernetes::spec::{PullPolicy, SecretFile, SpecError, WorkerSpec};
use crate::master::handle::Handle;
use crate::worker::build_id;

use super::run_key::fresh_key;
use super::{Builder, setting};

/// The variable for the prefix of topics and subscriptions.
const PREFIX: &str = "PODPOOL_PREFIX";
/// Workers, where no setting gives a number.
const WORKERS: usize = 10;

/// Settings of the cluster back-end.
#[derive(Debug, Default)]
pub(super) struct ClusterSettings {
    spec: WorkerSpec,
    project: Option<String>,
    prefix: Option<String>,
    names: Option<GivenNames>,
    succession: Option<(RunId, [u8; 32], u64)>,
    same_build: bool,
}

/// Settings of the cluster back-end. Each has a variable, which counts where the program does not call the method.
impl Builder {
    /// The workers' image, which holds this very program. Needed; or `PODPOOL_IMAGE`.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.cluster.spec.image = Some(image.into());
        self
    }

    /// When nodes pull the image. Default: the cluster's own; or `PODPOOL_PULL_POLICY`.
    pub const fn pull_policy(mut self, policy: PullPolicy) -> Self {
        self.cluster.spec.pull_policy = Some(policy);
        self
    }

    /// A secret with which nodes pull the image; or `PODPOOL_PULL_SECRETS`, with commas.
    pub fn pull_secret(mut self, name: impl Into<String>) -> Self {
        self.cluster.spec.pull_secrets.push(name.into());
        self
    }

    /// The namespace of everything that is made. Default: the kubeconfig's, or the master's own; or
    /// `PODPOOL_NAMESPACE`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.cluster.spec.namespace = Some(name.into());
        self
    }

    /// The workers' service account, for the cloud's identity. Default: the namespace's; or
    /// `PODPOOL_SERVICE_ACCOUNT`.
    pub fn service_account(mut self, name: impl Into<String>) -> Self {
        self.cluster.spec.service_account = Some(name.into());
        self
    }

    /// CPU that a worker requests, in thousandths of a core. Default 1,000; or `PODPOOL_CPU`.
    pub const fn worker_cpu(mut self, millicores: u64) -> Self {
        self.cluster.spec.cpu = Some(millicores);
        self
    }

    /// Memory of a worker, its request and its limit, in bytes. Default 2 GiB; or `PODPOOL_MEMORY`.
    pub const fn worker_memory(mut self, bytes: u64) -> Self {
        self.cluster.spec.memory = Some(bytes);
        self
    }

    /// Bytes a second of printed lines that one worker sends to the master, all its slots together; four times as
    /// much goes at once after a silence. Lines above the rate are in the pod's own log, and a line reports how many
    /// they were. Default: 64 KiB. From 1 KiB to 2 MiB; `build()` refuses anything else.
    pub const fn worker_output_rate(mut self, bytes: u64) -> Self {
        self.output_limits.forwarded = bytes;
        self
    }

    /// A variable of the workers; or `PODPOOL_WORKER_ENV`, as `NAME=value,NAME=value`. The master's own environment
    /// does not go to them.
    pub fn worker_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.cluster.spec.env.push((name.into(), value.into()));
        self
    }

    /// A secret of the namespace whose every key becomes a variable of the workers.
    pub fn env_from_secret(mut self, name: impl Into<String>) -> Self {
        self.cluster.spec.env_from_secrets.push(name.into());
        self
    }

    /// A key of a secret, as a file of the workers at this absolute path.
    pub fn secret_file(
        mut self,
        secret: impl Into<String>,
        key: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        self.cluster.spec.secret_files.push(SecretFile {
            secret: secret.into(),
            key: key.into(),
            path: path.into(),
        });
        self
    }

    /// A label for Jobs and pods; or `PODPOOL_LABELS`, as `key=value,key=value`.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let labels = &mut self.cluster.spec.labels;
        labels.insert(key.into(), value.into());
        self
    }

    /// Tasks that a worker runs at a time. Default 1; or `PODPOOL_SLOTS_PER_WORKER`.
    pub const fn slots_per_worker(mut self, slots: u32) -> Self {
        self.cluster.spec.slots_per_worker = Some(slots);
        self
    }

    /// From a worker's SIGTERM to its SIGKILL. Default 30 s, 6 s to an hour; or `PODPOOL_GRACE`.
    pub const fn worker_grace(mut self, grace: Duration) -> Self {
        self.cluster.spec.grace = Some(grace);
        self
    }

    /// How long the run may last; then everything of it may be removed. Default 7 days, a minute to 30 days; or
    /// `PODPOOL_RUN_DEADLINE`.
    pub const fn run_deadline(mut self, deadline: Duration) -> Self {
        self.cluster.spec.deadline = Some(deadline);
        self
    }

    /// A worker without work and without a master leaves after this. Default 5 min, 10 s at least; or
    /// `PODPOOL_IDLE_TIMEOUT`. `Duration::MAX`: not before the run ends.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.cluster.spec.idle_timeout = Some(timeout);
        self
    }

    /// How long workers may wait for a node or a quota before the pool breaks. Default 5 min, 1 s at least; or
    /// `PODPOOL_SCHEDULE_TIMEOUT`. `Duration::MAX`: until the run's deadline.
    pub const fn schedule_timeout(mut self, timeout: Duration) -> Self {
        self.cluster.spec.schedule_timeout = Some(timeout);
        self
    }

    /// The project of topics and subscriptions. Default: `PODPOOL_PROJECT`, then `GOOGLE_CLOUD_PROJECT`.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.cluster.project = Some(project.into());
        self
    }

    /// The prefix of the names of topics and subscriptions. Default `podpool`; or `PODPOOL_PREFIX`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.cluster.prefix = Some(prefix.into());
        self
    }

    /// Topics and subscriptions that an administrator made, for one run at a time: of two that meet there the younger
    /// ends with [`NamesInUse`](crate::ShutdownError::NamesInUse). Default: a run makes its own.
    pub fn names(mut self, names: GivenNames) -> Self {
        self.cluster.names = Some(names);
        self
    }

    /// Refuses workers whose program is another build than this one: the pool breaks when one greets, before it runs a
    /// task. Default: another build of the same target is a notice. A build is known by the GNU build-id note of its
    /// file, or by a hash of the file; so the image must hold this very file, and not one that was built again from the
    /// same source.
    pub const fn require_same_build(mut self) -> Self {
        self.cluster.same_build = true;
        self
    }

    /// Takes a run over from an older master, for tests until a ledger does it.
    #[doc(hidden)]
    pub fn succeed(mut self, run: RunId, key: [u8; 32], epoch: u64) -> Self {
        self.cluster.succession = Some((run, key, epoch));
        self
    }

    pub(super) async fn start_on_cluster(mut self) -> Result<Handle, BuildError> {
        // Taken out, because `into_settings` consumes the rest of the builder below.
        let mut settings = std::mem::take(&mut self.cluster);
        settings.spec.start_timeout = self.start_timeout;
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let refused = |error: SpecError| setting(&error.setting, &error.value, &error.reason);
        let mut spec = settings.spec.or_environment(variable).map_err(refused)?;
        spec.check().map_err(refused)?;
        // All settings are checked before the cluster or Pub/Sub is called: a wrong one costs no time and leaves
        // nothing.
        let emulator = self.pubsub.worker_emulator_host.as_deref();
        let mut broker = PubSubBroker::new().worker_emulator_host(emulator, &spec.env)?;
        if let Some(prefix) = settings.prefix.or_else(|| variable(PREFIX)) {
            broker = broker.prefix(prefix);
        }
        if let Some(project) = settings.project {
            broker = broker.project(project);
        }
        if let Some(names) = settings.names {
            broker = broker.names(names);
        }
        if let Some(lease) = self.lease {
            check_lease(lease)
                .map_err(|error| setting("lease", format_args!("{lease:?}"), error))?;
        }
        let name = self.run_name()?;
        let (run, key, epoch) = match settings.succession {
            // The key of the older master: its workers verify messages with it, and know no other.
            Some(succession) => succession,
            None => (self.run_id(name.as_ref()), fresh_key()?, 1),
        };
        if let Some(name) = &name {
            spec.labels.insert(NAME_LABEL.to_owned(), name.to_string());
        }
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
            same_build: settings.same_build,
        };
        join::start(Run {
            settings: self.into_settings(run, name, slots)?,
            broker: Arc::new(broker),
            fleet: Box::new(ClusterFleet {
                spec,
                max_workers: workers,
            }),
            workers,
            payload_store,
            elsewhere: Some(elsewhere),
        })
        .await
    }
}
