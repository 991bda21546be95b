//! Settings of manifests that cannot be used.

use super::super::spec::{parse_bytes, parse_cores};
use super::{Manifest, ManifestError};

/// The longest name of what makes Jobs: eleven characters follow it in the names of a CronJob's Jobs.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>
const LONGEST: usize = 52 - "-master".len();

impl Manifest {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        if self.name.len() > LONGEST {
            let reason = format!("use at most {LONGEST} characters: other names begin with it");
            return Err(ManifestError::new("name", &self.name, reason));
        }
        check_name("name", &self.name)?;
        check_name("namespace", &self.namespace)?;
        check_name("master_account", &self.master())?;
        check_name("worker_account", &self.worker())?;
        for secret in &self.env_from_secrets {
            check_dotted("env_from_secret", secret)?;
        }
        self.check_sizes()?;
        for (name, _) in &self.env {
            check_variable(name)?;
        }
        if let Some(schedule) = &self.schedule {
            check_schedule(schedule)?;
        }
        if let Some(address) = &self.emulator {
            port_of(address)?;
        }
        if let Some(project) = &self.project {
            check_project(project)?;
        }
        // Labels, the image, and the settings of the workers are checked as a run checks them.
        self.worker_spec().check()?;
        self.check_texts()
    }

    fn check_sizes(&self) -> Result<(), ManifestError> {
        let wrong = |setting: &str, value: &str| {
            let setting = setting.to_owned();
            let value = value.to_owned();
            move |reason: String| ManifestError::new(setting, value, reason)
        };
        let cores = parse_cores(&self.cpu).map_err(wrong("cpu", &self.cpu))?;
        let memory = parse_bytes(&self.memory).map_err(wrong("memory", &self.memory))?;
        let size = match &self.ledger {
            Some(claim) => parse_bytes(&claim.size).map_err(wrong("ledger", &claim.size))?,
            None => 1,
        };
        let least = [
            ("cpu", cores, 1, &self.cpu),
            ("memory", memory, 16 << 20, &self.memory),
            ("ledger", size, 1, &self.cpu),
        ];
        for (setting, amount, least, value) in least {
            if amount < least {
                return Err(ManifestError::new(setting, value, "it is too little"));
            }
        }
        let class = self.ledger.as_ref().and_then(|claim| claim.class.as_ref());
        class.map_or(Ok(()), |class| check_dotted("storage_class", class))
    }

    /// Helm would read `{{` as its own, wherever it is.
    fn check_texts(&self) -> Result<(), ManifestError> {
        let texts = self
            .args
            .iter()
            .map(|arg| ("arg", arg))
            .chain(self.env.iter().map(|(_, value)| ("env", value)))
            .chain(self.time_zone.iter().map(|it| ("time_zone", it)))
            .chain(self.workers.env.iter().map(|(_, value)| ("workers", value)))
            .chain([("image", &self.image)]);
        for (setting, text) in texts {
            if text.contains("{{") {
                let reason = "Helm takes {{ for its own; give the value by a secret";
                return Err(ManifestError::new(setting, text, reason));
            }
            if text.contains('\0') {
                let reason = "no process can be given a zero byte";
                return Err(ManifestError::new(setting, text, reason));
            }
        }
        Ok(())
    }
}

/// A label of RFC 1123.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>
fn check_name(setting: &str, name: &str) -> Result<(), ManifestError> {
    if name.len() <= 63 && is_label(name) {
        return Ok(());
    }
    let reason =
        "use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends";
    Err(ManifestError::new(setting, name, reason))
}

/// A subdomain of RFC 1123: labels with dots between them.
fn check_dotted(setting: &str, name: &str) -> Result<(), ManifestError> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    let reason = "use at most 253 lower-case letters, digits, '-' and '.'";
    Err(ManifestError::new(setting, name, reason))
}

fn is_label(name: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
}

fn check_variable(name: &str) -> Result<(), ManifestError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let sound = name.bytes().all(word) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit();
    if sound {
        return Ok(());
    }
    let reason = "a name has letters, digits and '_', and begins with no digit";
    Err(ManifestError::new("env", name, reason))
}

/// A project's id, of a domain or not. It is a part of comments too, so that no line may end in it.
/// <https://cloud.google.com/resource-manager/docs/creating-managing-projects>
fn check_project(project: &str) -> Result<(), ManifestError> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':');
    if !project.is_empty() && project.bytes().all(allowed) {
        return Ok(());
    }
    let reason = "a project's id has lower-case letters, digits and '-'";
    Err(ManifestError::new("project", project, reason))
}

/// Five fields of numbers, names, `*`, `,`, `-` and `/`, each within its range, or one of the macros of cron.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>
fn check_schedule(schedule: &str) -> Result<(), ManifestError> {
    const MACROS: [&str; 7] = [
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    const RANGES: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if MACROS.contains(&schedule) {
        return Ok(());
    }
    let wrong = |reason: &str| Err(ManifestError::new("schedule", schedule, reason));
    let fields: Vec<_> = schedule.split_whitespace().collect();
    if fields.len() != RANGES.len() {
        return wrong("use five fields: minute, hour, day, month, day of the week; `15 2 * * *`");
    }
    for (number, (field, (least, most))) in fields.into_iter().zip(RANGES).enumerate() {
        let value = |text: &str| -> Option<u32> {
            let lower = text.to_ascii_lowercase();
            let names: &[&str] = match number {
                3 => &MONTHS,
                4 => &DAYS,
                _ => &[],
            };
            let named = names.iter().position(|name| *name == lower);
            let named = named.and_then(|at| u32::try_from(at).ok());
            let value = named.map_or_else(|| text.parse().ok(), |at| Some(at + least))?;
            (least..=most).contains(&value).then_some(value)
        };
        if !field.split(',').all(|part| is_part(part, value)) {
            let reason = format!("{field:?} is no field of {least} to {most}");
            return wrong(&reason);
        }
    }
    Ok(())
}

/// `*`, `5`, `1-5`, each with a step behind it: `*/15`.
fn is_part(part: &str, value: impl Fn(&str) -> Option<u32>) -> bool {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let stepped = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
    let ranged = match range.split_once('-') {
        Some((from, to)) => {
            matches!((value(from), value(to)), (Some(from), Some(to)) if from <= to)
        }
        None => matches!(range, "*" | "?") || value(range).is_some(),
    };
    stepped && ranged
}

/// The port of an address.
pub(super) fn port_of(address: &str) -> Result<u16, ManifestError> {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let port = port.parse().ok().filter(|port| *port > 0);
    match port {
        Some(port) if !host.is_empty() && host.chars().all(sound) => Ok(port),
        _ => Err(ManifestError::new(
            "emulator",
            address,
            "use host:port as pods reach it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::new("backfill", "etl", "registry.example/backfill:1")
    }

    fn refused(manifest: &Manifest) -> String {
        manifest.check().unwrap_err().setting
    }

    #[test]
    fn names_are_labels_of_rfc_1123() {
        manifest().check().unwrap();
        for name in ["", "Backfill", "-a", "a-", "a.b", "a b", &"x".repeat(46)] {
            assert_eq!(
                refused(&Manifest::new(name, "etl", "i:1")),
                "name",
                "{name}"
            );
        }
        assert_eq!(refused(&Manifest::new("a", "Etl", "i:1")), "namespace");
        let account = manifest().master_account("a_b");
        assert_eq!(refused(&account), "master_account");
        let account = manifest().worker_account("x".repeat(64));
        assert_eq!(refused(&account), "worker_account");
        assert_eq!(
            refused(&manifest().env_from_secret("a..b")),
            "env_from_secret"
        );
        manifest().env_from_secret("a.b").check().unwrap();
    }

    #[test]
    fn schedules_have_five_fields_within_their_ranges() {
        for good in [
            "15 2 * * *",
            "*/5 0-23/2 1,15 jan-mar MON",
            "@daily",
            "0 0 ? * sun",
        ] {
            manifest().schedule(good).check().unwrap();
        }
        for bad in [
            "",
            "15 2 * *",
            "15 2 * * * *",
            "60 2 * * *",
            "1 24 * * *",
            "1 1 0 * *",
            "1 1 1 13 *",
            "1 1 1 1 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "1, * * * *",
            "@often",
        ] {
            assert_eq!(refused(&manifest().schedule(bad)), "schedule", "{bad}");
        }
    }

    #[test]
    fn sizes_and_texts_are_checked() {
        assert_eq!(refused(&manifest().cpu("much")), "cpu");
        assert_eq!(refused(&manifest().cpu("0")), "cpu");
        assert_eq!(refused(&manifest().memory("1Mi")), "memory");
        assert_eq!(refused(&manifest().ledger("10 GB")), "ledger");
        assert_eq!(refused(&manifest().ledger("0")), "ledger");
        let class = manifest().ledger("1Gi").storage_class("No");
        assert_eq!(refused(&class), "storage_class");
        assert_eq!(refused(&manifest().arg("{{ .Values }}")), "arg");
        assert_eq!(refused(&manifest().env("A", "{{")), "env");
        assert_eq!(refused(&manifest().env("1A", "x")), "env");
        assert_eq!(refused(&manifest().emulator("localhost")), "emulator");
        assert_eq!(refused(&manifest().project("a\nb: c")), "project");
        manifest().project("example.com:my-1").check().unwrap();
        let label = manifest().label("team", "not a label");
        assert_eq!(refused(&label), "workers (label)");
        let image = Manifest::new("a", "b", "two words");
        assert_eq!(refused(&image), "workers (image)");
    }
}
