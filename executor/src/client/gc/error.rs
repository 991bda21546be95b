//! The error of a search for leftovers.

/// A place could not be searched. Nothing was removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list the leftovers of runs in {place}: {reason}; nothing was removed")]
#[non_exhaustive]
pub struct GcError {
    /// The cluster, the project of Pub/Sub, or the payload store.
    pub place: String,
    /// The refusal, its cause, and what to do.
    pub reason: String,
}

impl GcError {
    pub(super) fn at(place: impl Into<String>) -> impl FnOnce(String) -> Self {
        let place = place.into();
        move |reason| Self { place, reason }
    }
}
