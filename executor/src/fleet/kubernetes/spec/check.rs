//! Settings that cannot be used, found before anything is made.

use std::time::Duration;

use super::units::MOST_MILLICORES;
use super::{MAX_DEADLINE, SecretFile, SpecError, WorkerSpec};

/// More memory than any node has, in bytes.
const MOST_MEMORY: u64 = 1 << 50;

/// Variables that the fleet itself gives to workers.
const RESERVED: &str = "PODPOOL_";

impl WorkerSpec {
    /// Checks everything that can be checked without a cluster.
    ///
    /// # Errors
    /// [`SpecError`] for the first setting that cannot be used.
    pub fn check(&self) -> Result<(), SpecError> {
        self.check_image()?;
        self.check_registry()?;
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
            return self.check_made_image();
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
            .map(|name| ("service_account", name, 253));
        let pull = self
            .pull_secrets
            .iter()
            .map(|name| ("pull_secret", name, 253));
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
        if let Some(cpu) = self.cpu.filter(|cpu| *cpu >= MOST_MILLICORES) {
            let reason = "no node has a thousand cores; the unit is a thousandth of a core";
            return Err(SpecError::new("cpu", cpu, reason));
        }
        if let Some(memory) = self.memory.filter(|memory| *memory > MOST_MEMORY) {
            let reason = "no node has more than 1 PiB; the unit is a byte";
            return Err(SpecError::new("memory", memory, reason));
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
        // A grace of 6 s leaves 1 s for tasks, because a task that has not ended 5 s before the SIGKILL is stopped.
        // Pub/Sub keeps queues for 31 days, so a run may last 30.
        let bounds = [
            ("grace", self.grace, 6, Some(3600)),
            (
                "run_deadline",
                self.deadline,
                60,
                Some(MAX_DEADLINE.as_secs()),
            ),
            // A longer time than any run can last is no limit.
            ("idle_timeout", self.idle_timeout, 10, None),
            ("start_timeout", self.start_timeout, 1, None),
            ("schedule_timeout", self.schedule_timeout, 1, None),
        ];
        for (setting, time, least, most) in bounds {
            let Some(time) = time else { continue };
            let too_long = most.is_some_and(|most| time > Duration::from_secs(most));
            if time < Duration::from_secs(least) || too_long {
                let reason = match most {
                    Some(most) => format!("use {least} s to {most} s"),
                    None => format!("use {least} s or more"),
                };
                return Err(SpecError::new(setting, format_args!("{time:?}"), reason));
            }
        }
        Ok(())
    }
}

/// A name as most objects of Kubernetes have it; dots are for the longer kind only.
fn is_object_name(name: &str, longest: usize) -> bool {
    // A label of RFC 1123 has 63 characters and no dot; a subdomain has 253.
    // <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
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
    // <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
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
    // The characters that every version of Kubernetes accepts in the name of a variable.
    // <https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/>
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
    // The key becomes the name of a file in the volume. <https://kubernetes.io/docs/concepts/configuration/secret/>
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
    // Both are volumes of the pod already; a second mount there would hide the run's Secret or the only writable
    // directory.
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
