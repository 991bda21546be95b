//! The pod template. The fleet begins a pod with it, so the row writes nothing.

use std::path::PathBuf;

use super::super::given::{fill, word};
use super::super::row::{Row, Wrong, one};

pub(super) const ROWS: [Row; 1] = [Row::new(
    "pod_template",
    "PODPOOL_POD_TEMPLATE",
    "pod_template",
    |spec, given| {
        fill(&mut spec.pod_template, given, |given| {
            word(given).map(PathBuf::from)
        })
    },
)
.check(|spec| match &spec.pod_template {
    Some(path) if path.as_os_str().is_empty() => Err(Wrong::new("", "use the path of a file")),
    _ => Ok(()),
})
.shown(|spec| {
    one(spec.pod_template.as_ref(), |path| {
        path.display().to_string()
    })
})];
