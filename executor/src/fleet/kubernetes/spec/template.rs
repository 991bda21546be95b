//! A pod of the user's, on top of which podpool puts its own.

use std::fmt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use serde_json::{Map, Value};

use super::{SpecError, config_file};
use crate::fleet::kubernetes::job::CONTAINER;

/// The option.
pub(crate) const OPTION: &str = "pod_template";

/// A pod that was read from a file.
#[derive(Clone, PartialEq)]
pub struct Template {
    path: PathBuf,
    pub(crate) pod: PodTemplateSpec,
}

// The types of Kubernetes are `PartialEq` alone; none of those in a pod holds a floating-point number.
impl Eq for Template {}

impl fmt::Debug for Template {
    // Not its content: variables in it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.path).finish()
    }
}

impl Template {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SpecError`]: it cannot be read, is no YAML, or is no pod as Kubernetes knows it.
    pub fn read(path: &Path) -> Result<Self, SpecError> {
        let refused = |reason: String| SpecError::new(OPTION, path.display(), reason);
        let text = config_file::read(path)
            .map_err(|error| refused(format!("the file cannot be read ({error})")))?;
        Self::parse(path, &text).map_err(refused)
    }

    /// The pod of a file's text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
        let Value::Object(mut object) = value else {
            return Err("it is no object: give a Pod, or a PodTemplateSpec".to_owned());
        };
        unwrap(&mut object)?;
        let value = Value::Object(object);
        let mut pod: PodTemplateSpec = serde_path_to_error::deserialize(&value)
            .map_err(|error| format!("at {}: {}", error.path(), error.inner()))?;
        // The generated types skip fields that they do not know; what is lost on the way back was not known.
        let kept = serde_json::to_value(&pod).map_err(|error| error.to_string())?;
        if let Some(path) = lost(&value, &kept) {
            return Err(format!("Kubernetes knows no field {path}"));
        }
        bare(&mut pod)?;
        let path = path.to_owned();
        Ok(Self { path, pod })
    }

    /// Where it was read from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The container that becomes the worker's.
    pub(crate) fn worker(&self) -> Option<&Container> {
        let spec = self.pod.spec.as_ref()?;
        spec.containers.iter().find(|one| one.name == CONTAINER)
    }

    /// A value of it, by a JSON pointer in which `worker` stands for the worker's container.
    pub(super) fn value(&self, pointer: &str) -> Option<Value> {
        let whole = "/spec/containers/worker";
        let (json, rest) = match pointer.strip_prefix(whole) {
            Some(rest) => (serde_json::to_value(self.worker()?), rest),
            None => (serde_json::to_value(&self.pod), pointer),
        };
        json.ok()?.pointer(rest).cloned()
    }
}

/// Takes off what a Pod has around a template.
fn unwrap(object: &mut Map<String, Value>) -> Result<(), String> {
    let kind = object.remove("kind");
    let version = object.remove("apiVersion");
    match (kind.as_ref().and_then(Value::as_str), version) {
        (None, None) if kind.is_none() => Ok(()),
        (Some("Pod"), Some(version)) if version == "v1" => Ok(()),
        (Some("Pod"), _) => Err("a Pod has apiVersion: v1".to_owned()),
        (Some(kind), _) => Err(format!(
            "it is a {kind}: give a Pod, or the PodTemplateSpec of it, as its field template has"
        )),
        (None, _) => Err("apiVersion is there without kind: give a Pod".to_owned()),
    }
}

/// What a template cannot say: how the pods of a Job are called, and where they are.
fn bare(pod: &mut PodTemplateSpec) -> Result<(), String> {
    if let Some(metadata) = &mut pod.metadata {
        if metadata.namespace.is_some() {
            return Err(
                "metadata.namespace is not for a template; use the option namespace".into(),
            );
        }
        // A pod of a file has a name; those of a Job get their own.
        metadata.name = None;
        metadata.generate_name = None;
    }
    let spec = pod.spec.iter().flat_map(|spec| &spec.containers);
    if spec.filter(|one| one.name == CONTAINER).count() > 1 {
        return Err(format!("two containers are called {CONTAINER}"));
    }
    Ok(())
}

/// The path of the first value that is not in `kept`.
fn lost(given: &Value, kept: &Value) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            let mut given = given.iter().filter(|(_, value)| !value.is_null());
            given.find_map(|(key, value)| match kept.get(key) {
                None => Some(key.clone()),
                Some(kept) => lost(value, kept).map(|rest| join(key, &rest)),
            })
        }
        (Value::Array(given), Value::Array(kept)) => {
            let mut given = given.iter().zip(kept).enumerate();
            given.find_map(|(at, (value, kept))| {
                lost(value, kept).map(|rest| join(&format!("[{at}]"), &rest))
            })
        }
        _ => None,
    }
}

fn join(key: &str, rest: &str) -> String {
    if rest.starts_with('[') {
        format!("{key}{rest}")
    } else {
        format!("{key}.{rest}")
    }
}
