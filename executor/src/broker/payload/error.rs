//! What can be wrong with a store, by what the caller can do about it.

use object_store::Error;
use podpool_core::queue::QueueError;

/// Longest part of a store's own words that is repeated.
const WORDS: usize = 400;

/// Why a payload store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The URL is none, or of no store that podpool knows.
    #[error(
        "payload store {url:?} cannot be used: {reason}; give gs://bucket/prefix, s3://bucket/prefix, \
         az://container/prefix or file:///directory"
    )]
    Url {
        /// What was given, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store exists and was not compiled in.
    #[error(
        "payload store {url:?} is not compiled in; add the feature: podpool = {{ features = [\"{feature}\"] }}"
    )]
    FeatureMissing {
        /// What was given, without credentials.
        url: String,
        /// The cargo feature that holds it.
        feature: &'static str,
    },
    /// The store did not let something be done.
    #[error("cannot {doing} payload store {url}: {reason}; {advice}")]
    Failed {
        /// What was tried, such as "write to".
        doing: &'static str,
        /// The store, without credentials.
        url: String,
        /// What it answered.
        reason: String,
        /// What to look at.
        advice: &'static str,
    },
}

/// Why one call to a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such object, or no such bucket.
    Missing,
    /// There is one, and it is not what was stored.
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
                Self::Denied(words(error))
            }
            _ => Self::Passing(words(error)),
        }
    }

    /// It in words, to follow the name of what was asked for.
    pub(super) fn phrase(&self) -> String {
        match self {
            Self::Missing => "it does not exist".to_owned(),
            Self::Damaged(how) => format!("it is damaged: {how}"),
            Self::Denied(reason) => format!("it is not permitted: {reason}"),
            Self::Passing(reason) => reason.clone(),
        }
    }

    /// It as a queue would say it, whose messages go through the store.
    pub(super) fn into_queue_error(self, store: &str) -> QueueError {
        let queue = format!("payload store {store}");
        match self {
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

/// The store's own words, at bearable length.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    if let Some((end, _)) = words.char_indices().nth(WORDS) {
        words.truncate(end);
        words.push('…');
    }
    words
}
