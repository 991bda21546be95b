//! `podpool.toml`: the settings of a project, beside its source.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};

use super::names::meant;
use super::{SpecError, rows};

/// The variable that names the file.
const CONFIG: &str = "PODPOOL_CONFIG";
/// The file of the current directory.
const NAME: &str = "podpool.toml";
/// The section of workers on a cluster.
const SECTION: &str = "kubernetes";
/// A larger file is something else.
const MOST: u64 = 1 << 20;

/// A file of settings, whose keys are all known.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    path: PathBuf,
    values: Map<String, Value>,
}

impl ConfigFile {
    /// The file that `PODPOOL_CONFIG` names, which must be there; else `podpool.toml` of the current directory, if it
    /// is there.
    ///
    /// # Errors
    /// [`SpecError`]: it cannot be read, is no TOML, or has a key that no setting has.
    pub fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, SpecError> {
        if let Some(path) = variable(CONFIG).filter(|path| !path.is_empty()) {
            let text = read(Path::new(&path));
            let text = text.map_err(|error| {
                let reason = format!("the file cannot be read ({error})");
                SpecError::new(CONFIG, &path, reason)
            })?;
            return Self::parse(path.as_ref(), &text).map(Some);
        }
        match read(Path::new(NAME)) {
            Ok(text) => Self::parse(NAME.as_ref(), &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let reason = format!("it is in the current directory and cannot be read ({error})");
                Err(SpecError::new(CONFIG, NAME, reason))
            }
        }
    }

    /// The settings of a file's text.
    ///
    /// # Errors
    /// [`SpecError`]: it is no TOML, or has a key that no setting has.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SpecError> {
        let shown = path.display().to_string();
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| line(text, span.start));
            let place = place.map_or_else(String::new, |line| format!(", line {line}"));
            // The message alone: the whole error quotes the line, which may have a secret.
            let reason = format!("it is no TOML: {}", error.message());
            SpecError::new(&format!("{shown}{place}"), "", reason)
        })?;
        let mut values = Map::new();
        for (key, value) in table {
            match (&*key, value) {
                (SECTION, toml::Value::Table(section)) => values = json_table(section, &shown)?,
                (SECTION, _) => {
                    let reason = "it is a section: write [kubernetes]";
                    return Err(SpecError::new(&shown, SECTION, reason));
                }
                (other, _) => {
                    let reason = format!(
                        "there is no such section{}; settings of workers are in [kubernetes]",
                        meant(other, &[SECTION])
                    );
                    return Err(SpecError::new(&shown, other, reason));
                }
            }
        }
        let known: Vec<_> = rows().map(|row| row.key).collect();
        if let Some(key) = values.keys().find(|key| !known.contains(&&***key)) {
            let reason = format!("no setting has this key{}", meant(key, &known));
            return Err(SpecError::new(&shown, format!("kubernetes.{key}"), reason));
        }
        let path = path.to_owned();
        Ok(Self { path, values })
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that paths in it are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// An error about a key.
    pub(super) fn error(&self, key: &str, value: String, reason: String) -> SpecError {
        let setting = format!("kubernetes.{key} of {}", self.path.display());
        SpecError::new(&setting, value, reason)
    }
}

/// A file's text, which has a bound.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MOST {
        let what = format!("it has {size} bytes, and may have 1 MiB");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    fs::read_to_string(path)
}

/// The number of the line of a place in a text, from 1.
fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn json_table(table: toml::Table, shown: &str) -> Result<Map<String, Value>, SpecError> {
    table
        .into_iter()
        .map(|(key, value)| {
            let value = json(value)
                .map_err(|reason| SpecError::new(shown, format!("kubernetes.{key}"), reason))?;
            Ok((key, value))
        })
        .collect()
}

/// A value in the form that all sources are read from.
// TOML bounds how deep a value may be.
fn json(value: toml::Value) -> Result<Value, &'static str> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Float(number) => {
            let number = Number::from_f64(number).ok_or("use a finite number")?;
            Value::Number(number)
        }
        toml::Value::Datetime(_) => return Err("no setting is a date; use a text"),
        toml::Value::Array(all) => {
            Value::Array(all.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let pairs = table.into_iter();
            let pairs = pairs.map(|(key, value)| Ok((key, json(value)?)));
            Value::Object(pairs.collect::<Result<_, &'static str>>()?)
        }
    })
}
