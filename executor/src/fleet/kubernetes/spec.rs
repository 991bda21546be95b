//! The settings of users for their workers: image, size, rights, times.
//!
//! The program precedes variables, variables precede `podpool.toml`, the file precedes the pod template, and that the
//! default. Each setting is a row of the table in `rows.rs`: the three sources are read by the same function, and
//! checked, shown and written into a pod by the others of that row. Everything is checked before anything is made on a
//! cluster, and an error names the setting.

mod check;
mod config_file;
pub(crate) mod draft;
mod given;
pub(crate) mod names;
mod registry;
mod row;
mod rows;
mod settings;
mod template;
mod units;

use std::fmt;
use std::time::Duration;

use podpool_core::id::RunId;
use serde_json::Value;

pub use self::config_file::ConfigFile;
use self::row::Row;
pub(crate) use self::rows::rows;
pub use self::template::Template;
pub use self::units::{parse_bytes, parse_cores, parse_duration};
use crate::fleet::worker_spec::Source;
pub use crate::fleet::worker_spec::{
    Claim, ConfigMapFile, KeyOf, PodPatch, PullPolicy, SecretFile, Sources, WorkerSpec,
};

/// Longest time a run may last: queues keep messages no longer.
// Pub/Sub keeps a message for 31 days at most. <https://cloud.google.com/pubsub/docs/replay-overview>
pub const MAX_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long Kubernetes keeps an ended Job that was not removed, in seconds.
// An hour in which a person can look at it; the cluster then removes what a killed master left.
// <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>
pub(crate) const KEPT: i32 = 3_600;

/// A setting that cannot be used. Nothing was made on the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {value:?}: {reason}; nothing was started")]
pub struct SpecError {
    /// The setting's or the variable's name.
    pub setting: String,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub reason: String,
}

impl SpecError {
    pub(crate) fn new(setting: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self {
            setting: setting.to_owned(),
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

impl WorkerSpec {
    /// Workers of this image, and everything else left to the environment and the defaults.
    #[must_use]
    pub fn of_image(image: impl Into<String>) -> Self {
        Self {
            image: Some(image.into()),
            ..Self::default()
        }
    }

    /// The same, with everything that was left out: from variables of this process, the file, and the template.
    ///
    /// # Errors
    /// [`SpecError`], when one of them cannot be read.
    pub fn resolved(self) -> Result<Self, SpecError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = ConfigFile::find(variable)?;
        self.or_environment(variable)?
            .or_file(file.as_ref())?
            .with_template()
    }

    /// The same, with the settings that were left out read from variables, which `variable` returns by name. An empty
    /// variable counts as none.
    ///
    /// # Errors
    /// [`SpecError`], with the variable's name, when one cannot be read.
    pub fn or_environment(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SpecError> {
        for row in rows() {
            let text = variable(row.variable);
            let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            let given = Value::from(text.trim());
            let source = Source::Variable(row.variable.to_owned());
            self.fill(row, &given, &source)
                .map_err(|reason| SpecError::new(row.variable, row.quoted(&given), reason))?;
        }
        Ok(self)
    }

    /// The same, with the settings that were left out read from the file.
    ///
    /// # Errors
    /// [`SpecError`], with the file's and the key's name, when one cannot be read.
    pub fn or_file(mut self, file: Option<&ConfigFile>) -> Result<Self, SpecError> {
        let Some(file) = file else { return Ok(self) };
        for row in rows() {
            let Some(given) = file.value(row.key) else {
                continue;
            };
            let source = Source::File(file.path().to_owned());
            self.fill(row, given, &source)
                .map_err(|reason| file.error(row.key, row.quoted(given), reason))?;
        }
        // A path in a file is relative to that file.
        if let (Some(path), Some(Source::File(_))) =
            (&self.pod_template, self.sources.get("pod_template"))
        {
            self.pod_template = Some(file.directory().join(path));
        }
        Ok(self)
    }

    /// The same, with the pod template's content.
    ///
    /// # Errors
    /// [`SpecError`], when the file cannot be read, or is no pod.
    pub fn with_template(mut self) -> Result<Self, SpecError> {
        if let Some(path) = &self.pod_template {
            self.template = Some(Template::read(path)?);
        }
        Ok(self)
    }

    /// Fills a setting, and remembers where it came from.
    fn fill(&mut self, row: &Row, given: &Value, source: &Source) -> Result<(), String> {
        for name in (row.read)(self, given)? {
            let name = settings::name(row, &name);
            self.sources.insert(name, source.clone());
        }
        Ok(())
    }

    /// The image of the template's container.
    pub(crate) fn template_image(&self) -> Option<&str> {
        self.template.as_ref()?.worker()?.image.as_deref()
    }

    /// What the template's container requests of a resource, or else its limit, as text.
    fn template_amount(&self, resource: &str) -> Option<&str> {
        let resources = self.template.as_ref()?.worker()?.resources.as_ref()?;
        let requests = resources.requests.as_ref();
        let requested = requests.and_then(|all| all.get(resource));
        let limited = || resources.limits.as_ref()?.get(resource);
        requested.or_else(limited).map(|amount| &*amount.0)
    }

    /// The workers' image, of the program, a variable, the file or the template.
    #[must_use]
    pub fn worker_image(&self) -> Option<&str> {
        self.image.as_deref().or_else(|| self.template_image())
    }

    /// Whether a queue of the cluster admits the Jobs: then they are made suspended, and the queue resumes them.
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        self.kueue_queue.is_some()
    }

    /// A pod of these settings, without the fleet's own, as it is written for a run.
    pub(crate) fn begin(&self, run: &RunId) -> draft::Draft {
        draft::Draft::begin(self.template.as_ref(), run.to_string(), KEPT)
    }

    /// Tasks that a worker runs at a time.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots_per_worker.unwrap_or(1)
    }

    /// CPU that a worker requests, in thousandths of a core.
    #[must_use]
    pub fn cpu_millicores(&self) -> u64 {
        let of_template = || parse_cores(self.template_amount("cpu")?).ok();
        self.cpu.or_else(of_template).unwrap_or(1_000)
    }

    /// Memory that a worker requests, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let of_template = || parse_bytes(self.template_amount("memory")?).ok();
        self.memory.or_else(of_template).unwrap_or(2 << 30)
    }

    /// The limit of a worker's memory, in bytes.
    #[must_use]
    pub fn memory_limit_bytes(&self) -> u64 {
        let of_template = || {
            let resources = self.template.as_ref()?.worker()?.resources.as_ref()?;
            let limit = resources.limits.as_ref()?.get("memory")?;
            // An option for the memory is a limit too, in place of the template's.
            parse_bytes(&limit.0).ok().filter(|_| self.memory.is_none())
        };
        let limit = self.memory_limit.or_else(of_template);
        limit.unwrap_or_else(|| self.memory_bytes())
    }

    /// From SIGTERM to SIGKILL.
    #[must_use]
    pub fn grace_time(&self) -> Duration {
        self.grace.unwrap_or(Duration::from_secs(30))
    }

    /// How long the run may last.
    #[must_use]
    pub fn run_deadline(&self) -> Duration {
        self.deadline.unwrap_or(Duration::from_secs(7 * 24 * 3600))
    }

    /// When an idle worker without a master leaves.
    #[must_use]
    pub fn idle_time(&self) -> Duration {
        let time = self.idle_timeout.unwrap_or(Duration::from_secs(300));
        time.min(MAX_DEADLINE)
    }

    /// How long image and settings may be refused, and a slot may take to be ready.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        // Bounded by the longest run: a longer time has no effect.
        let time = self.start_timeout.unwrap_or(Duration::from_secs(60));
        time.min(MAX_DEADLINE)
    }

    /// How long workers may wait for a node or a quota.
    #[must_use]
    pub fn schedule_time(&self) -> Duration {
        let time = self.schedule_timeout.unwrap_or(Duration::from_secs(300));
        time.min(MAX_DEADLINE)
    }
}

#[cfg(test)]
mod tests;
