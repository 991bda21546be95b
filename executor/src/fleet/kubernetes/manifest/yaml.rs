//! Objects as YAML documents, with comments above them.

use serde::Serialize;

use super::ManifestError;

/// A document: its comments, then the object.
// Long texts stay on one line, in quotes where needed: Helm and people read those best.
pub(super) fn document(
    comments: &[&str],
    object: &impl Serialize,
) -> Result<String, ManifestError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(object, options);
    let text = text.map_err(|error| {
        ManifestError::new("an object", "as YAML", format!("it has no text: {error}"))
    })?;
    if text.contains("{{") {
        // The check of the settings names those that users write most; this is for all others.
        let reason = "Helm takes {{ for its own; leave it out of every name and value";
        return Err(ManifestError::new("a name or value", "{{", reason));
    }
    let mut document = String::new();
    for comment in comments {
        document.push_str("# ");
        document.push_str(comment);
        document.push('\n');
    }
    document.push_str(text.trim_end());
    document.push('\n');
    Ok(document)
}

/// Documents as one text.
pub(super) fn joined(documents: &[String]) -> String {
    documents.join("---\n")
}
