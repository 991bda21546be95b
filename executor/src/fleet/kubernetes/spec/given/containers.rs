//! How containers beside the worker's are written.

use serde_json::Value;

use super::fields::{Fields, name};
use super::{Parsed, Record, bytes, cores, pairs, scalar, words};
use crate::fleet::worker_spec::{PodContainer, Seccomp};

/// Arguments: a list, for a text with commas may be one of them.
fn arguments(given: &Value) -> Parsed<Vec<String>> {
    let all = given.as_array().ok_or("use a list of texts")?;
    all.iter().map(scalar).collect()
}

/// Variables, in the order of their names.
pub(in super::super) fn variables(given: &Value) -> Parsed<Vec<(String, String)>> {
    let pairs = pairs(given)?.into_iter();
    pairs
        .map(|(key, value)| {
            let value = scalar(&value).map_err(|reason| format!("of {key}: {reason}"))?;
            Ok((key, value))
        })
        .collect()
}

impl Record for PodContainer {
    fn of_text(_: &str) -> Parsed<Self> {
        Err("use a list of {\"name\": …, \"image\": …}".to_owned())
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            name: fields.must("name", name)?,
            image: fields.must("image", name)?,
            command: fields.may("command", arguments)?.unwrap_or_default(),
            args: fields.may("args", arguments)?.unwrap_or_default(),
            env: fields.may("env", variables)?.unwrap_or_default(),
            env_from_secrets: fields.may("env_from_secrets", words)?.unwrap_or_default(),
            cpu: fields.may("cpu", cores)?,
            memory: fields.may("memory", bytes)?,
        })
    }
}

/// `RuntimeDefault`, `Unconfined` or `Localhost/path`.
pub(in super::super) fn seccomp(given: &Value) -> Parsed<Seccomp> {
    let text = given.as_str().unwrap_or_default().trim();
    match text.split_once('/') {
        Some((kind, path)) if kind.eq_ignore_ascii_case("Localhost") => {
            Ok(Seccomp::Localhost(path.to_owned()))
        }
        None if text.eq_ignore_ascii_case("RuntimeDefault") => Ok(Seccomp::RuntimeDefault),
        None if text.eq_ignore_ascii_case("Unconfined") => Ok(Seccomp::Unconfined),
        _ => Err("use RuntimeDefault, Unconfined or Localhost/path".to_owned()),
    }
}

/// `name name`, or a list.
pub(in super::super) fn names(given: &Value) -> Parsed<Vec<String>> {
    match given {
        Value::String(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        _ => words(given),
    }
}
