//! The payload store of a run, compiled in or not: the part that builder and back-ends use.

use std::sync::Arc;

use podpool_core::envelope::MacKey;
use podpool_core::id::RunId;
use podpool_core::queue::Queue;

#[cfg(feature = "payload")]
use crate::error::start::failed;
use crate::error::{BuildError, ShutdownError};

/// The environment variable that names the store.
const VARIABLE: &str = "PODPOOL_PAYLOAD_STORE";
/// What `build()` does with the store.
#[cfg(feature = "payload")]
const LOOK: &str = "look at the payload store";

/// The URL of the store, from the builder or else from the environment.
pub(crate) fn asked_for(builder: Option<String>) -> Option<String> {
    builder
        .or_else(|| std::env::var(VARIABLE).ok())
        .filter(|url| !url.is_empty())
}

/// Where the large payloads of a run go; nowhere by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payloads {
    #[cfg(feature = "payload")]
    store: Option<crate::broker::payload::PayloadStore>,
}

#[cfg(feature = "payload")]
impl Payloads {
    /// Opens a store and checks that objects can be written, read and deleted.
    pub(crate) async fn open(url: Option<&str>, run: &RunId) -> Result<Self, BuildError> {
        let Some(url) = url else {
            return Ok(Self::default());
        };
        let store = crate::broker::payload::PayloadStore::open(url, run).map_err(refused)?;
        check(url.to_owned(), run.clone()).await?;
        Ok(Self { store: Some(store) })
    }

    /// The queue with its large payloads in the store.
    pub(crate) fn wrap(&self, queue: Arc<dyn Queue>, mac_key: MacKey) -> Arc<dyn Queue> {
        match &self.store {
            None => queue,
            Some(store) => Arc::new(store.queue(queue, mac_key)),
        }
    }

    /// Deletes the run's payloads: it has ended.
    pub(crate) async fn clean(&self) -> Result<(), ShutdownError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let error = match store.delete_run().await {
            Ok(objects) => {
                tracing::debug!(objects, store = store.name(), "payloads deleted");
                return Ok(());
            }
            Err(error) => error,
        };
        tracing::warn!(%error, run = %store.run(), "payloads are left over");
        Err(ShutdownError::Leftover {
            what: format!(
                "what run {} stored in {}: {error}",
                store.run(),
                store.name()
            ),
        })
    }
}

/// Checks a store on a thread and a runtime of their own: connections stay with the runtime that made them, and the
/// caller's may be any or none.
#[cfg(feature = "payload")]
async fn check(url: String, run: RunId) -> Result<(), BuildError> {
    // The answer crosses by a channel, so that `build()` awaits it without blocking the caller's runtime.
    let (done, checked) = tokio::sync::oneshot::channel();
    // The caller of `build()` may hold a lock that its subscriber waits for.
    let events = podpool_core::inherited::Inherited::from_here();
    let beside = events.clone();
    let look = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || beside.keep())
            .build()?;
        let store = crate::broker::payload::PayloadStore::open(&url, &run);
        Ok(store.and_then(|store| runtime.block_on(store.check())))
    };
    std::thread::Builder::new()
        .name("podpool-payload".to_owned())
        // The receiver is dropped if the future of `build()` is: the check ends by its own times, and its answer is
        // dropped.
        .spawn(move || done.send(events.within(look)).ok())
        .map_err(failed(LOOK))?;
    let ended = |_| std::io::Error::other("its thread panicked");
    let looked = checked.await.map_err(ended).and_then(|looked| looked);
    looked.map_err(failed(LOOK))?.map_err(refused)
}

#[cfg(feature = "payload")]
fn refused(error: crate::broker::payload::PayloadError) -> BuildError {
    use crate::broker::payload::PayloadError;
    match error {
        PayloadError::FeatureMissing { url, feature } => BuildError::FeatureMissing {
            backend: format!("payload store {url}"),
            feature,
        },
        PayloadError::Url { url, reason } => BuildError::Setting {
            name: "payload_store".to_owned(),
            value: url,
            reason,
        },
        error => failed("use the payload store")(error),
    }
}

#[cfg(not(feature = "payload"))]
impl Payloads {
    /// Refuses a store.
    pub(crate) async fn open(url: Option<&str>, _run: &RunId) -> Result<Self, BuildError> {
        match url {
            None => Ok(Self::default()),
            Some(_) => Err(BuildError::FeatureMissing {
                backend: "payload store".to_owned(),
                feature: "payload",
            }),
        }
    }

    /// The queue as it is.
    pub(crate) fn wrap(&self, queue: Arc<dyn Queue>, _mac_key: MacKey) -> Arc<dyn Queue> {
        queue
    }

    /// Nothing is to be deleted.
    pub(crate) async fn clean(&self) -> Result<(), ShutdownError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
