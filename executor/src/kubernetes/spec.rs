//! What users may say of their workers: image, size, rights, times.
//!
//! A setting of the program wins over the environment, the environment over the default. Everything is checked before
//! anything is made on a cluster, and an error names the setting.

mod units;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use self::units::{parse_bytes, parse_cores, parse_duration};

/// Longest time a run may last: queues keep messages no longer.
pub const MAX_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Variables that the fleet itself gives to workers.
const RESERVED: &str = "PODPOOL_";

/// What users may say of their workers. What is left out comes from the environment, then from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The workers' image, which holds this very program. Needed; `PODPOOL_IMAGE`.
    pub image: Option<String>,
    /// When nodes pull the image. Default: the cluster's own (`IfNotPresent`, or `Always` for the tag `latest`);
    /// `PODPOOL_PULL_POLICY`.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with which nodes pull the image; `PODPOOL_PULL_SECRETS`, with commas.
    pub pull_secrets: Vec<String>,
    /// The namespace of everything that is made. Default: the one of the kubeconfig's context, or the master's own;
    /// `PODPOOL_NAMESPACE`.
    pub namespace: Option<String>,
    /// The workers' service account, for the cloud's identity; they get no token of it. Default: the namespace's;
    /// `PODPOOL_SERVICE_ACCOUNT`.
    pub service_account: Option<String>,
    /// CPU that a worker asks for, in thousandths of a core; there is no limit. Default 1,000; `PODPOOL_CPU`, such as
    /// `2` or `500m`.
    pub cpu: Option<u64>,
    /// Memory of a worker, its request and its limit, in bytes. Default 2 GiB; `PODPOOL_MEMORY`, such as `4Gi`.
    pub memory: Option<u64>,
    /// Variables of the workers. Names that begin with `PODPOOL_` are the fleet's.
    pub env: Vec<(String, String)>,
    /// Secrets of the namespace whose every key becomes a variable of the workers; `PODPOOL_ENV_FROM_SECRETS`.
    pub env_from_secrets: Vec<String>,
    /// Keys of secrets that workers see as files.
    pub secret_files: Vec<SecretFile>,
    /// Labels for Jobs and pods, beside those of the fleet; `PODPOOL_LABELS`, as `key=value,key=value`.
    pub labels: BTreeMap<String, String>,
    /// Tasks that a worker runs at a time. Default 1; `PODPOOL_SLOTS_PER_WORKER`.
    pub slots_per_worker: Option<u32>,
    /// From a worker's SIGTERM to its SIGKILL. Default 30 s; `PODPOOL_GRACE`.
    pub grace: Option<Duration>,
    /// How long the run may last; then its workers are ended, even if no master lives. Default 7 days, at most
    /// [`MAX_DEADLINE`]; `PODPOOL_RUN_DEADLINE`.
    pub deadline: Option<Duration>,
    /// A worker without work and without a master leaves after this. Default 5 min; `PODPOOL_IDLE_TIMEOUT`.
    pub idle_timeout: Option<Duration>,
    /// How long an image or a setting may be refused before the pool breaks. Default 60 s; `PODPOOL_START_TIMEOUT`.
    pub start_timeout: Option<Duration>,
    /// How long workers may wait for a node, a quota or a slow start before the pool breaks. Default 5 min;
    /// `PODPOOL_SCHEDULE_TIMEOUT`.
    pub schedule_timeout: Option<Duration>,
}

/// One key of a secret, as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The secret, in the workers' namespace.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// Where workers find it: an absolute path.
    pub path: String,
}

/// When nodes pull an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullPolicy {
    /// For every pod.
    Always,
    /// When the node has none of that name.
    IfNotPresent,
    /// Never: it must be there.
    Never,
}

impl PullPolicy {
    /// The word that Kubernetes knows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }

    fn parse(word: &str) -> Result<Self, String> {
        [Self::Always, Self::IfNotPresent, Self::Never]
            .into_iter()
            .find(|policy| policy.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| "use Always, IfNotPresent or Never".to_owned())
    }
}

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

    /// The same with what was left out filled from variables, which `variable` looks up by name. An empty variable
    /// counts as none.
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
        self.labels_from(&env)?;
        Ok(self)
    }

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

    /// Checks everything that can be checked without a cluster.
    ///
    /// # Errors
    /// [`SpecError`] for the first setting that cannot be used.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_image()?;
        self.check_names()?;
        self.check_sizes()?;
        self.check_times()?;
        for (key, value) in &self.labels {
            check_label(key, value)?;
        }
        for (name, value) in &self.env {
            check_variable(name, value)?;
        }
        self.secret_files.iter().try_for_each(check_secret_file)
    }

    fn check_image(&self) -> Result<(), SpecError> {
        let Some(image) = &self.image else {
            return Err(SpecError::new(
                "image",
                "",
                "workers need an image that holds this program: set it, or PODPOOL_IMAGE",
            ));
        };
        let sound = !image.is_empty()
            && image.len() <= 1024
            && image.bytes().all(|byte| byte.is_ascii_graphic());
        if sound {
            Ok(())
        } else {
            Err(SpecError::new(
                "image",
                image,
                "use a name such as registry.example/team/backfill:1.4",
            ))
        }
    }

    fn check_names(&self) -> Result<(), SpecError> {
        let namespace = self.namespace.iter().map(|name| ("namespace", name, 63));
        let account = self
            .service_account
            .iter()
            .map(|name| ("service account", name, 253));
        let pull = self
            .pull_secrets
            .iter()
            .map(|name| ("pull secret", name, 253));
        let env = self
            .env_from_secrets
            .iter()
            .map(|name| ("env_from_secret", name, 253));
        for (setting, name, longest) in namespace.chain(account).chain(pull).chain(env) {
            if !is_object_name(name, longest) {
                let reason = format!(
                    "use at most {longest} lower-case letters, digits and '-', with a letter or digit at both ends"
                );
                return Err(SpecError::new(setting, name, reason));
            }
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), SpecError> {
        if self.cpu == Some(0) {
            return Err(SpecError::new("cpu", 0, "use 1m or more"));
        }
        if self.memory.is_some_and(|bytes| bytes < 16 << 20) {
            let value = self.memory.unwrap_or_default();
            return Err(SpecError::new(
                "memory",
                value,
                "use 16Mi or more, in bytes or with a unit",
            ));
        }
        match self.slots_per_worker {
            Some(slots) if !(1..=1024).contains(&slots) => Err(SpecError::new(
                "slots_per_worker",
                slots,
                "use a number from 1 to 1024",
            )),
            _ => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), SpecError> {
        let bounds = [
            ("grace", self.grace, 6, 3600),
            ("deadline", self.deadline, 60, MAX_DEADLINE.as_secs()),
            (
                "idle_timeout",
                self.idle_timeout,
                10,
                MAX_DEADLINE.as_secs(),
            ),
            (
                "start_timeout",
                self.start_timeout,
                1,
                MAX_DEADLINE.as_secs(),
            ),
            (
                "schedule_timeout",
                self.schedule_timeout,
                1,
                MAX_DEADLINE.as_secs(),
            ),
        ];
        for (setting, time, least, most) in bounds {
            let Some(time) = time else { continue };
            if time < Duration::from_secs(least) || time > Duration::from_secs(most) {
                let reason = format!("use {least} s to {most} s");
                return Err(SpecError::new(setting, format_args!("{time:?}"), reason));
            }
        }
        Ok(())
    }

    /// Tasks that a worker runs at a time.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots_per_worker.unwrap_or(1)
    }

    /// CPU that a worker asks for, in thousandths of a core.
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
        self.idle_timeout.unwrap_or(Duration::from_secs(300))
    }

    /// How long image and settings may be refused.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        self.start_timeout.unwrap_or(Duration::from_secs(60))
    }

    /// How long workers may wait for a place.
    #[must_use]
    pub fn schedule_time(&self) -> Duration {
        self.schedule_timeout.unwrap_or(Duration::from_secs(300))
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

/// A name as most objects of Kubernetes have it; dots are for the longer kind only.
fn is_object_name(name: &str, longest: usize) -> bool {
    let dots = longest > 63;
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
            && bytes.first().copied().is_some_and(edge)
            && bytes.last().copied().is_some_and(edge)
    };
    name.len() <= longest && name.split('.').all(part) && (dots || !name.contains('.'))
}

/// The name part of a label's key, or a label's value: letters, digits, `-`, `_`, `.`, at most 63.
fn is_label_word(word: &str) -> bool {
    let bytes = word.as_bytes();
    word.len() <= 63
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn check_label(key: &str, value: &str) -> Result<(), SpecError> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_label_word(name) || prefix.is_some_and(|prefix| !is_object_name(prefix, 253)) {
        let reason = "a key is at most 63 letters, digits, '-', '_', '.', after a DNS name and '/' if it has a prefix";
        return Err(SpecError::new("label", key, reason));
    }
    let ours = prefix == Some("podpool.dev") || key == "app.kubernetes.io/managed-by";
    if ours || prefix.is_some_and(|p| p == "kubernetes.io" || p.ends_with("k8s.io")) {
        return Err(SpecError::new(
            "label",
            key,
            "this key belongs to the fleet or to Kubernetes; choose another",
        ));
    }
    if !value.is_empty() && !is_label_word(value) {
        let reason = format!(
            "the value of {key} may have at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends"
        );
        return Err(SpecError::new("label", value, reason));
    }
    Ok(())
}

fn check_variable(name: &str, value: &str) -> Result<(), SpecError> {
    let sound = !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !sound {
        let reason = "a name has letters, digits, '_', '-' and '.', and begins with no digit";
        return Err(SpecError::new("env", name, reason));
    }
    if name.starts_with(RESERVED) {
        let reason = "names that begin with PODPOOL_ are given to workers by the fleet";
        return Err(SpecError::new("env", name, reason));
    }
    if value.contains('\0') {
        // The value may be a secret: it is not shown.
        return Err(SpecError::new(
            "env",
            name,
            "its value holds a zero byte, which no process can be given",
        ));
    }
    Ok(())
}

fn check_secret_file(file: &SecretFile) -> Result<(), SpecError> {
    if !is_object_name(&file.secret, 253) {
        return Err(SpecError::new(
            "secret_file",
            &file.secret,
            "this is no name of a secret",
        ));
    }
    let key = file.key.as_bytes();
    let sound_key = !key.is_empty()
        && key.len() <= 253
        && key
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !sound_key {
        return Err(SpecError::new(
            "secret_file",
            &file.key,
            "a secret's keys have letters, digits, '-', '_' and '.'",
        ));
    }
    let path = &file.path;
    let taken = ["/etc/podpool", "/tmp"];
    let sound_path = path.starts_with('/')
        && path.len() > 1
        && !path.contains(':')
        && !path.split('/').any(|part| part == "..")
        && !taken.iter().any(|dir| {
            path.strip_prefix(dir)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    if sound_path {
        Ok(())
    } else {
        let reason = "use an absolute path without '..' and ':', outside of /tmp and /etc/podpool";
        Err(SpecError::new("secret_file", path, reason))
    }
}

#[cfg(test)]
mod tests;
