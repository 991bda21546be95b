//! Why what runs left could not be looked for.

/// A place could not be looked at. Nothing was removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list the leftovers of runs in {place}: {reason}; nothing was removed")]
#[non_exhaustive]
pub struct GcError {
    /// The cluster, the project of Pub/Sub, or the payload store.
    pub place: String,
    /// What was refused and why, and what to do.
    pub reason: String,
}

impl GcError {
    pub(super) fn at(place: impl Into<String>) -> impl FnOnce(String) -> Self {
        let place = place.into();
        move |reason| Self { place, reason }
    }
}
