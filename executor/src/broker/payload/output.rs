//! Objects that tasks commit: each is put once, where no object has its name.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use podpool_core::commit::{CommitError, Committed, OutputStore};
use tokio::time::timeout;

use super::error::Fault;
use super::open::{Opened, open};
use super::{PayloadError, patience};

/// How often a put is made whose name was reported as taken while no object has it.
// S3 answers so to a put beside a deletion of the same name, and asks for another put. More than one at a time is rare.
const CONFLICTS: usize = 3;
/// Longest time of one look at an object.
const LOOK: Duration = Duration::from_secs(60);

/// The object stores that are compiled in.
pub(in crate::broker) static OUTPUTS: Outputs = Outputs;

/// Commits to the bucket that a URL names.
#[derive(Debug)]
pub(in crate::broker) struct Outputs;

#[async_trait]
impl OutputStore for Outputs {
    async fn put_new(&self, url: &str, bytes: Bytes) -> Result<Committed, CommitError> {
        Output::of(url)
            .map_err(|(reason, advice)| CommitError::Refused {
                path: without_query(url),
                reason,
                advice,
            })?
            .put_new(bytes)
            .await
    }

    async fn exists(&self, url: &str) -> Result<bool, String> {
        let output = Output::of(url).map_err(|(reason, advice)| format!("{reason}; {advice}"))?;
        let looked = output.is_there().await;
        looked.map_err(|fault| format!("{}; {}", fault.phrase(), output.opened.advice))
    }
}

/// A URL without what may be secret, where it cannot be read.
fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// One object.
struct Output {
    /// Its prefix is the whole name of the object.
    opened: Opened,
    /// Most bytes of one put, and the service that has this limit.
    limit: (u64, &'static str),
}

impl Output {
    /// Opens the store of a URL, without a call to it.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn of(url: &str) -> Result<Self, (String, String)> {
        let opened = open(url).map_err(PayloadError::remedy)?;
        if opened.prefix == Path::default() {
            let reason = "its URL names a bucket and no object".to_owned();
            let url = url.to_owned();
            return Err(PayloadError::Url { url, reason }.remedy());
        }
        Ok(Self {
            limit: limit(url),
            opened,
        })
    }

    async fn put_new(&self, bytes: Bytes) -> Result<Committed, CommitError> {
        let (limit, service) = self.limit;
        if bytes.len() as u64 > limit {
            let size = bytes.len();
            return Err(self.refused(
                format!(
                    "its {size} bytes are more than the {limit} that {service} takes in one put"
                ),
                "commit it as several objects",
            ));
        }
        for _ in 0..CONFLICTS {
            if let Some(committed) = self.put_once(bytes.clone()).await? {
                return Ok(committed);
            }
        }
        Err(self.refused(
            "the store reports another write to this name again and again, and no object has it"
                .to_owned(),
            "let one task alone use the name, and let it run again",
        ))
    }

    /// Puts the object. None where its name was reported as taken, and no object has it.
    async fn put_once(&self, bytes: Bytes) -> Result<Option<Committed>, CommitError> {
        let Opened {
            objects, prefix, ..
        } = &self.opened;
        let patience = patience(bytes.len());
        let put = objects.put_opts(prefix, bytes.into(), PutOptions::from(PutMode::Create));
        match timeout(patience, put).await {
            Ok(Ok(_)) => Ok(Some(Committed::Written)),
            // Not taken at its word: services answer so to other conflicts too.
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                match self.is_there().await {
                    Ok(true) => Ok(Some(Committed::AlreadyCommitted)),
                    Ok(false) => Ok(None),
                    Err(fault) => Err(self.unsure(fault.phrase())),
                }
            }
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.unsure(format!("no answer within {patience:?}"))),
        }
    }

    async fn is_there(&self) -> Result<bool, Fault> {
        let Opened {
            objects, prefix, ..
        } = &self.opened;
        match timeout(LOOK, objects.head(prefix)).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(Error::NotFound { .. })) => Ok(false),
            Ok(Err(error)) => Err(Fault::of(&error)),
            Err(_) => Err(Fault::Passing(format!("no answer within {LOOK:?}"))),
        }
    }

    fn failed(&self, error: &Error) -> CommitError {
        let reason = match error {
            Error::NotImplemented { .. } | Error::NotSupported { .. } => {
                return self.refused(
                    Fault::of(error).phrase(),
                    "use a store with conditional puts (for S3: AWS_CONDITIONAL_PUT must not disable them)",
                );
            }
            Error::NotFound { .. } => "the bucket or container does not exist".to_owned(),
            error => Fault::of(error).phrase(),
        };
        match Fault::of(error) {
            Fault::Missing | Fault::Denied(_) => self.refused(reason, self.opened.advice),
            // A put whose answer was lost may have written it.
            Fault::Passing(_) | Fault::Damaged(_) => self.unsure(reason),
        }
    }

    fn refused(&self, reason: String, advice: &str) -> CommitError {
        CommitError::Refused {
            path: self.opened.name.clone(),
            reason,
            advice: advice.to_owned(),
        }
    }

    fn unsure(&self, reason: String) -> CommitError {
        CommitError::Unsure {
            path: self.opened.name.clone(),
            reason,
        }
    }
}

/// The most bytes that a service takes in one put.
// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>,
// <https://cloud.google.com/storage/quotas>, <https://learn.microsoft.com/rest/api/storageservices/put-blob>
fn limit(url: &str) -> (u64, &'static str) {
    match url.split(':').next() {
        Some("gs") => (5 << 40, "Google Cloud Storage"),
        Some("az") => (5_000 << 20, "Azure"),
        _ => (5 << 30, "S3"),
    }
}

#[cfg(test)]
mod tests;
