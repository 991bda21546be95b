//! A row of the table of settings: everything about one setting, in one place.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::draft::Draft;
use super::given::Filled;
use crate::fleet::worker_spec::WorkerSpec;

/// A value that cannot be used, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) value: String,
    pub(super) reason: String,
}

impl Wrong {
    pub(super) fn new(value: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self {
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

/// Whether a value can be used.
pub(super) type Check = Result<(), Wrong>;

/// Values that are shown, each with its key, which is empty for a setting with one value.
pub(super) type Shown = Vec<(String, String)>;

/// A value that is not shown, because it may be secret.
pub(super) const HIDDEN: &str = "(not shown)";

/// One setting.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// The method of `KubernetesOptions`.
    pub(crate) option: &'static str,
    /// The variable.
    pub(crate) variable: &'static str,
    /// The key in the section `[kubernetes]` of `podpool.toml`.
    pub(crate) key: &'static str,
    /// What counts where nothing sets it, as it is shown; empty where there is nothing.
    pub(super) default: &'static str,
    /// The field of a pod template, as a JSON pointer, where `worker` stands for the worker's container. Empty where
    /// the template has no such field, or one that may be secret.
    pub(super) place: &'static str,
    /// Whether values may be secret, and are never shown.
    pub(super) hidden: bool,
    /// Fills the setting, unless it is filled.
    pub(super) read: fn(&mut WorkerSpec, &Value) -> Filled,
    /// Refuses a value that cannot be used.
    pub(super) check: fn(&WorkerSpec) -> Check,
    /// The values as they are shown.
    pub(super) shown: fn(&WorkerSpec) -> Shown,
    /// Writes the setting into a pod.
    pub(crate) write: fn(&WorkerSpec, &mut Draft),
}

impl Row {
    /// A row with these names, which is read by this function.
    pub(super) const fn new(
        option: &'static str,
        variable: &'static str,
        key: &'static str,
        read: fn(&mut WorkerSpec, &Value) -> Filled,
    ) -> Self {
        Self {
            option,
            variable,
            key,
            default: "",
            place: "",
            hidden: false,
            read,
            check: |_| Ok(()),
            shown: |_| Vec::new(),
            write: |_, _| {},
        }
    }

    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    pub(super) const fn at(mut self, place: &'static str) -> Self {
        self.place = place;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn check(mut self, check: fn(&WorkerSpec) -> Check) -> Self {
        self.check = check;
        self
    }

    pub(super) const fn shown(mut self, shown: fn(&WorkerSpec) -> Shown) -> Self {
        self.shown = shown;
        self
    }

    pub(super) const fn write(mut self, write: fn(&WorkerSpec, &mut Draft)) -> Self {
        self.write = write;
        self
    }

    /// A value of this setting in an error: hidden where it may be secret.
    pub(super) fn quoted(&self, given: &Value) -> String {
        match given {
            _ if self.hidden => HIDDEN.to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// One value, if it is set.
pub(super) fn one<T>(value: Option<&T>, text: impl Fn(&T) -> String) -> Shown {
    value
        .map(|value| (String::new(), text(value)))
        .into_iter()
        .collect()
}

/// A list, if it is not empty.
pub(super) fn list<T>(values: &[T], text: impl Fn(&T) -> String) -> Shown {
    if values.is_empty() {
        return Vec::new();
    }
    let all: Vec<_> = values.iter().map(text).collect();
    vec![(String::new(), all.join(","))]
}

/// Each key with its value.
pub(super) fn map<T>(values: &BTreeMap<String, T>, text: impl Fn(&T) -> String) -> Shown {
    let pairs = values.iter();
    pairs
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}
