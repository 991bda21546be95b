//! The settings of users for their workers: image, size, rights, times.
//!
//! A setting of the program precedes the environment, the environment precedes the default. Everything is checked
//! before anything is made on a cluster, and an error names the setting.

mod check;
mod registry;
mod units;

use std::fmt;
use std::time::Duration;

pub use self::units::{parse_bytes, parse_cores, parse_duration};
pub use crate::fleet::worker_spec::{PullPolicy, SecretFile, WorkerSpec};

/// Longest time a run may last: queues keep messages no longer.
// Pub/Sub keeps a message for 31 days at most. <https://cloud.google.com/pubsub/docs/replay-overview>
pub const MAX_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

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
    fn new(setting: &str, value: impl fmt::Display, reason: impl Into<String>) -> Self {
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

    /// The same, with the settings that were left out read from variables, which `variable` returns by name. An empty
    /// variable counts as none.
    ///
    /// # Errors
    /// [`SpecError`], with the variable's name, when one cannot be read.
    pub fn or_environment(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SpecError> {
        let env = Environment(&|name: &str| variable(name).filter(|value| !value.is_empty()));
        let word = |word: &str| Ok(word.to_owned());
        env.fill(&mut self.image, "PODPOOL_IMAGE", word)?;
        env.fill(
            &mut self.pull_policy,
            "PODPOOL_PULL_POLICY",
            PullPolicy::parse,
        )?;
        env.fill(&mut self.namespace, "PODPOOL_NAMESPACE", word)?;
        env.fill(&mut self.service_account, "PODPOOL_SERVICE_ACCOUNT", word)?;
        env.fill(&mut self.cpu, "PODPOOL_CPU", parse_cores)?;
        env.fill(&mut self.memory, "PODPOOL_MEMORY", parse_bytes)?;
        env.fill(
            &mut self.slots_per_worker,
            "PODPOOL_SLOTS_PER_WORKER",
            |n| {
                n.parse()
                    .map_err(|_| "use a number from 1 to 1024".to_owned())
            },
        )?;
        env.fill(&mut self.grace, "PODPOOL_GRACE", parse_duration)?;
        env.fill(&mut self.deadline, "PODPOOL_RUN_DEADLINE", parse_duration)?;
        env.fill(
            &mut self.idle_timeout,
            "PODPOOL_IDLE_TIMEOUT",
            parse_duration,
        )?;
        env.fill(
            &mut self.start_timeout,
            "PODPOOL_START_TIMEOUT",
            parse_duration,
        )?;
        env.fill(
            &mut self.schedule_timeout,
            "PODPOOL_SCHEDULE_TIMEOUT",
            parse_duration,
        )?;
        env.fill_list(&mut self.pull_secrets, "PODPOOL_PULL_SECRETS");
        env.fill_list(&mut self.env_from_secrets, "PODPOOL_ENV_FROM_SECRETS");
        env.fill(&mut self.registry, "PODPOOL_REGISTRY", word)?;
        env.fill(&mut self.base_image, "PODPOOL_BASE_IMAGE", word)?;
        env.fill_list(&mut self.registry_insecure, "PODPOOL_REGISTRY_INSECURE");
        self.labels_from(&env)?;
        self.variables_from(&env)?;
        Ok(self)
    }

    /// Labels that the program sets take precedence over the environment, each key by itself.
    fn labels_from(&mut self, env: &Environment<'_>) -> Result<(), SpecError> {
        const NAME: &str = "PODPOOL_LABELS";
        for pair in (env.0)(NAME).iter().flat_map(|list| list.split(',')) {
            let Some((key, value)) = pair.trim().split_once('=') else {
                return Err(SpecError::new(NAME, pair, "use key=value, with commas"));
            };
            self.labels
                .entry(key.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        Ok(())
    }

    /// Variables that the program sets take precedence over its environment, each name by itself.
    fn variables_from(&mut self, env: &Environment<'_>) -> Result<(), SpecError> {
        const NAME: &str = "PODPOOL_WORKER_ENV";
        let Some(list) = (env.0)(NAME) else {
            return Ok(());
        };
        for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.trim().split_once('=').ok_or_else(|| {
                let reason = "use NAME=value, with commas between them; a value that has a comma is set by `KubernetesOptions::env`";
                SpecError::new(NAME, pair, reason)
            })?;
            if !self.env.iter().any(|(set, _)| set == name) {
                self.env.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    /// Tasks that a worker runs at a time.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots_per_worker.unwrap_or(1)
    }

    /// CPU that a worker requests, in thousandths of a core.
    #[must_use]
    pub fn cpu_millicores(&self) -> u64 {
        self.cpu.unwrap_or(1_000)
    }

    /// Memory of a worker, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.unwrap_or(2 << 30)
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

/// Looks variables up, and fills what the program left out.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn fill<T>(
        &self,
        setting: &mut Option<T>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<(), SpecError> {
        if setting.is_some() {
            return Ok(());
        }
        if let Some(value) = (self.0)(name) {
            let parsed =
                parse(value.trim()).map_err(|reason| SpecError::new(name, &value, reason))?;
            *setting = Some(parsed);
        }
        Ok(())
    }

    fn fill_list(&self, setting: &mut Vec<String>, name: &str) {
        if setting.is_empty()
            && let Some(list) = (self.0)(name)
        {
            let names = list.split(',').map(str::trim).filter(|n| !n.is_empty());
            setting.extend(names.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests;
