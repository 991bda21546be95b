//! Labels and annotations. The fleet's own come later, and take precedence.

use super::super::given::{fill_map, scalar};
use super::super::names;
use super::super::row::{Row, Wrong, map};

/// Bytes of all annotations of an object. <https://kubernetes.io/docs/reference/using-api/api-concepts/>
// `TotalAnnotationSizeLimitB` of the API, of which the fleet's own take a part.
const MOST_ANNOTATIONS: usize = (256 << 10) - 1024;

pub(super) const ROWS: [Row; 2] = [
    Row::new("label", "PODPOOL_LABELS", "labels", |spec, given| {
        fill_map(&mut spec.labels, given, scalar)
    })
    .check(|spec| {
        let mut labels = spec.labels.iter();
        labels.try_for_each(|(key, value)| names::label(key, value))
    })
    .shown(|spec| map(&spec.labels, Clone::clone))
    .write(|spec, draft| draft.labels.extend(spec.labels.clone())),
    Row::new(
        "annotation",
        "PODPOOL_ANNOTATIONS",
        "annotations",
        |spec, given| fill_map(&mut spec.annotations, given, scalar),
    )
    .check(|spec| {
        let mut all = spec.annotations.iter();
        all.try_for_each(|(key, _)| names::annotation(key))?;
        let sizes = spec.annotations.iter();
        let bytes: usize = sizes.map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MOST_ANNOTATIONS {
            let reason = "all annotations together may have 255 KiB";
            return Err(Wrong::new(format!("{bytes} bytes"), reason));
        }
        Ok(())
    })
    .shown(|spec| map(&spec.annotations, Clone::clone))
    .write(|spec, draft| draft.annotations.extend(spec.annotations.clone())),
];
