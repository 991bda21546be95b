//! Why there is no image.

use std::fmt;

/// Why the image of this program could not be made, or not be pushed: what happened, to which file, registry and
/// repository, and what to do. Nothing of the run was made then. Blobs that were uploaded before stay in the registry,
/// without a name, until it collects its garbage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ImageError(String);

impl ImageError {
    pub(super) fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// An error of this text with its cause.
pub(super) fn because<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> ImageError {
    move |cause| ImageError::new(format_args!("{what}: {cause}"))
}
