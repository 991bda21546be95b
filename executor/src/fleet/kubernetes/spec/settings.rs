//! What counts for workers, and where it comes from.

use serde_json::Value;

use super::row::{HIDDEN, Row};
use super::{WorkerSpec, rows};
use crate::fleet::worker_spec::{Setting, Source};

/// The name of a setting, with its key where each key counts by itself.
pub(super) fn name(row: &Row, key: &str) -> String {
    if key.is_empty() {
        row.option.to_owned()
    } else {
        format!("{}.{key}", row.option)
    }
}

impl WorkerSpec {
    /// Every setting with a value, in the order of the table.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut all: Vec<_> = rows().flat_map(|row| self.settings_of(row)).collect();
        if !self.pod_patches.is_empty() {
            all.push(Setting {
                name: "patch_pod".to_owned(),
                value: format!("{} of the program", self.pod_patches.len()),
                source: Source::Program,
            });
        }
        all
    }

    /// The values of a row: those that are set, else the template's, else the default.
    fn settings_of(&self, row: &Row) -> Vec<Setting> {
        let set: Vec<_> = (row.shown)(self)
            .into_iter()
            .map(|(key, value)| {
                let name = name(row, &key);
                let source = self.sources.get(&name).cloned();
                Setting {
                    source: source.unwrap_or(Source::Program),
                    name,
                    value,
                }
            })
            .collect();
        if !set.is_empty() {
            return set;
        }
        let of_template = self.template.as_ref().and_then(|template| {
            let value = template.value(row.place).filter(|_| !row.place.is_empty());
            let path = template.path().to_owned();
            value.map(|value| (text(row, &value), Source::Template(path)))
        });
        let default = || {
            let default = Some(row.default).filter(|default| !default.is_empty());
            default.map(|default| (default.to_owned(), Source::Default))
        };
        of_template
            .or_else(default)
            .into_iter()
            .map(|(value, source)| Setting {
                name: row.option.to_owned(),
                value,
                source,
            })
            .collect()
    }
}

/// A value of the template: a text as it is, everything else as JSON.
fn text(row: &Row, value: &Value) -> String {
    match value {
        _ if row.hidden => HIDDEN.to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
