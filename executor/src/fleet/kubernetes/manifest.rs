//! Objects for others to apply: the rights of a master, the master as a Job or CronJob, its network, and the pods that it
//! makes, as YAML for kubectl, Helm or Kustomize.
//!
//! ```
//! use podpool::manifest::{self, Manifest};
//!
//! # fn write() -> Result<(), manifest::ManifestError> {
//! let backfill = Manifest::new("backfill", "etl", "registry.example/team/backfill:1.4")
//!     .project("my-project")
//!     .schedule("15 2 * * *");
//! println!("{}---\n{}", manifest::rbac(&backfill)?, manifest::cronjob(&backfill)?);
//! # Ok(())
//! # }
//! # write().unwrap();
//! ```
//!
//! The same settings give the same text. Names are those that were given, labels are `app.kubernetes.io/*`, each document
//! is one object, and no text contains `{{`, which Helm would take for its own. Secrets are named and never contained.

mod check;
mod master;
mod network;
mod role;
#[cfg(test)]
mod tests;
mod worker;
mod yaml;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::spec::{SpecError, WorkerSpec};

/// The settings of the objects.
///
/// Names are labels of RFC 1123: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends. They
/// are checked when text is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "settings have no effect until text is made of them"]
pub struct Manifest {
    name: String,
    namespace: String,
    image: String,
    makes_namespace: bool,
    master_account: Option<String>,
    worker_account: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    env_from_secrets: Vec<String>,
    schedule: Option<String>,
    time_zone: Option<String>,
    project: Option<String>,
    emulator: Option<String>,
    ledger: Option<Claim>,
    labels: BTreeMap<String, String>,
    cpu: String,
    memory: String,
    workers: WorkerSpec,
}

/// The volume of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    size: String,
    class: Option<String>,
}

/// A setting of a manifest that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} of a manifest cannot be {value:?}: {reason}; no text was made")]
#[non_exhaustive]
pub struct ManifestError {
    /// The setting: a method of [`Manifest`].
    pub setting: String,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub reason: String,
}

impl ManifestError {
    fn new(
        setting: impl Into<String>,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            setting: setting.into(),
            value: value.into(),
            reason: reason.into(),
        }
    }
}

impl From<SpecError> for ManifestError {
    fn from(error: SpecError) -> Self {
        Self::new(
            format!("workers ({})", error.setting),
            error.value,
            error.reason,
        )
    }
}

impl Manifest {
    /// Objects of this name in this namespace, whose master and workers are of this image.
    pub fn new(
        name: impl Into<String>,
        namespace: impl Into<String>,
        image: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            namespace: namespace.into(),
            image: image.into(),
            makes_namespace: false,
            master_account: None,
            worker_account: None,
            args: Vec::new(),
            env: Vec::new(),
            env_from_secrets: Vec::new(),
            schedule: None,
            time_zone: None,
            project: None,
            emulator: None,
            ledger: None,
            labels: BTreeMap::new(),
            cpu: "500m".to_owned(),
            memory: "512Mi".to_owned(),
            workers: WorkerSpec::default(),
        }
    }

    /// Lets [`rbac`] contain the namespace, which enforces the restricted Pod Security Standard. Default: it exists.
    pub const fn namespace_too(mut self) -> Self {
        self.makes_namespace = true;
        self
    }

    /// The master's service account. Default: the name and `-master`.
    pub fn master_account(mut self, name: impl Into<String>) -> Self {
        self.master_account = Some(name.into());
        self
    }

    /// The workers' service account: an identity for the cloud, without rights in the cluster. Default: the name and
    /// `-worker`.
    pub fn worker_account(mut self, name: impl Into<String>) -> Self {
        self.worker_account = Some(name.into());
        self
    }

    /// An argument of the master's program; may be called more than once.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A variable of the master; may be called more than once. It takes precedence over those that the manifest sets. Its
    /// value is in the text: give secrets by [`env_from_secret`](Self::env_from_secret).
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A secret whose every key becomes a variable of the master.
    pub fn env_from_secret(mut self, name: impl Into<String>) -> Self {
        self.env_from_secrets.push(name.into());
        self
    }

    /// When a [`cronjob`] starts its master: five fields, as cron has them.
    pub fn schedule(mut self, schedule: impl Into<String>) -> Self {
        self.schedule = Some(schedule.into());
        self
    }

    /// The time zone of the schedule. Default: `Etc/UTC`.
    pub fn time_zone(mut self, zone: impl Into<String>) -> Self {
        self.time_zone = Some(zone.into());
        self
    }

    /// The project of Pub/Sub. Default: the one that the program sets, or finds.
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// The address of Pub/Sub's emulator, as `host:port`, as pods reach it. Default: Google's service.
    pub fn emulator(mut self, address: impl Into<String>) -> Self {
        self.emulator = Some(address.into());
        self
    }

    /// A volume of this size, such as `10Gi`, for the ledger of runs. A master that was killed is started again, and picks
    /// its run up. Default: no ledger, and a master is started once.
    pub fn ledger(mut self, size: impl Into<String>) -> Self {
        let class = self.ledger.take().and_then(|claim| claim.class);
        self.ledger = Some(Claim {
            size: size.into(),
            class,
        });
        self
    }

    /// The storage class of the ledger's volume: of a disk, and not of a network file system. Default: the cluster's; no
    /// effect without [`ledger`](Self::ledger).
    pub fn storage_class(mut self, class: impl Into<String>) -> Self {
        if let Some(claim) = &mut self.ledger {
            claim.class = Some(class.into());
        }
        self
    }

    /// A label of every object.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// CPU that the master requests, such as `500m`, which is the default.
    pub fn cpu(mut self, cores: impl Into<String>) -> Self {
        self.cpu = cores.into();
        self
    }

    /// Memory of the master, its request and its limit, such as `512Mi`, which is the default.
    pub fn memory(mut self, bytes: impl Into<String>) -> Self {
        self.memory = bytes.into();
        self
    }

    /// Settings of the workers.
    pub(crate) fn with_workers(mut self, workers: WorkerSpec) -> Self {
        self.workers = workers;
        self
    }

    fn master(&self) -> String {
        let own = || format!("{}-master", self.name);
        self.master_account.clone().unwrap_or_else(own)
    }

    fn worker(&self) -> String {
        let own = || format!("{}-worker", self.name);
        self.worker_account.clone().unwrap_or_else(own)
    }

    /// The labels of an object with this part in the whole.
    fn labels(&self, component: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let own = [
            ("name", self.name.as_str()),
            ("component", component),
            ("part-of", "podpool"),
        ];
        labels
            .extend(own.map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned())));
        labels
    }

    /// The metadata of an object in the namespace.
    fn meta(&self, name: &str, component: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }
}

/// The rights: service accounts of master and workers, the smallest Role for a master, its RoleBinding; with
/// [`Manifest::namespace_too`] the namespace. Comments have the commands that grant roles of the cloud.
///
/// # Errors
/// [`ManifestError`] for the first setting that cannot be used; here and below.
pub fn rbac(manifest: &Manifest) -> Result<String, ManifestError> {
    manifest.check()?;
    role::text(manifest)
}

/// The master as a Job, and the claim of its ledger's volume. The workers' Jobs are deleted with it.
///
/// # Errors
/// [`ManifestError`].
pub fn job(manifest: &Manifest) -> Result<String, ManifestError> {
    manifest.check()?;
    master::job_text(manifest)
}

/// The master as a CronJob, and the claim of its ledger's volume. Needs a [schedule](Manifest::schedule).
///
/// # Errors
/// [`ManifestError`].
pub fn cronjob(manifest: &Manifest) -> Result<String, ManifestError> {
    manifest.check()?;
    master::cronjob_text(manifest)
}

/// What masters and workers may call, and that nobody calls them.
///
/// # Errors
/// [`ManifestError`].
pub fn networkpolicy(manifest: &Manifest) -> Result<String, ManifestError> {
    manifest.check()?;
    network::text(manifest)
}

/// The pods that a master makes, as a `PodTemplate`: for policies and reviews, and for those who keep it beside their
/// other objects. A master does not read it.
///
/// # Errors
/// [`ManifestError`].
pub fn template(manifest: &Manifest) -> Result<String, ManifestError> {
    manifest.check()?;
    worker::text(manifest)
}
