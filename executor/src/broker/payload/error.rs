//! Errors of a store, by what the caller can do about them.

use object_store::Error;
use podpool_core::queue::QueueError;

/// Longest part of a store's own message that is repeated, in characters.
// Clouds answer with pages of XML; the code and the reason are at their beginning.
const MAX_CHARS: usize = 400;

/// Why a payload store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The text is no URL, or no store has such a URL.
    #[error(
        "payload store {url:?} cannot be used: {reason}; give gs://bucket/prefix, s3://bucket/prefix, \
         az://container/prefix or file:///directory"
    )]
    Url {
        /// The given URL, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store exists and was not compiled in.
    #[error(
        "payload store {url:?} is not compiled in; add the feature: podpool = {{ features = [\"{feature}\"] }}"
    )]
    FeatureMissing {
        /// The given URL, without credentials.
        url: String,
        /// The cargo feature that holds it.
        feature: &'static str,
    },
    /// The store refused an operation, or did not answer.
    #[error("cannot {doing} payload store {url}: {reason}; {advice}")]
    Failed {
        /// The operation, such as "write to".
        doing: &'static str,
        /// The store, without credentials.
        url: String,
        /// The answer of the store.
        reason: String,
        /// What to check.
        advice: &'static str,
    },
}

impl PayloadError {
    /// What is wrong, and what to do, for a URL of one object.
    pub(super) fn remedy(self) -> (String, String) {
        match self {
            Self::Url { reason, .. } => {
                let advice =
                    "write gs://bucket/object, s3://bucket/object or az://container/object";
                (reason, advice.to_owned())
            }
            Self::FeatureMissing { feature, .. } => (
                "this object store is not compiled in".to_owned(),
                format!("add the feature: podpool = {{ features = [\"{feature}\"] }}"),
            ),
            Self::Failed { reason, advice, .. } => (reason, advice.to_owned()),
        }
    }
}

/// Why one call to a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such object, or no such bucket.
    Missing,
    /// The object exists, and has other bytes than were stored.
    Damaged(String),
    /// Rights or credentials are missing.
    Denied(String),
    /// The call may be made again.
    Passing(String),
}

impl Fault {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Self::Denied(describe(error))
            }
            // Every other error counts as transient: callers try again for a bounded time, whatever its cause is.
            _ => Self::Passing(describe(error)),
        }
    }

    /// The fault in words, to follow the name of an object.
    pub(super) fn phrase(&self) -> String {
        match self {
            Self::Missing => "it does not exist".to_owned(),
            Self::Damaged(how) => format!("it is damaged: {how}"),
            Self::Denied(reason) => format!("it is not permitted: {reason}"),
            Self::Passing(reason) => reason.clone(),
        }
    }

    /// The fault as an error of a queue whose messages go through the store.
    pub(super) fn into_queue_error(self, store: &str) -> QueueError {
        let queue = format!("payload store {store}");
        match self {
            // An upload that finds something missing: an object that is missing for a reader never comes here.
            Self::Missing => QueueError::Gone {
                queue,
                reason: "the bucket or container is missing".to_owned(),
            },
            Self::Denied(reason) => QueueError::Denied { queue, reason },
            Self::Damaged(reason) | Self::Passing(reason) => {
                QueueError::Unavailable { queue, reason }
            }
        }
    }
}

/// The store's own message, cut to a readable length.
fn describe(error: &Error) -> String {
    let mut words = error.to_string();
    if let Some((end, _)) = words.char_indices().nth(MAX_CHARS) {
        words.truncate(end);
        words.push('…');
    }
    words
}
