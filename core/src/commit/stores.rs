//! Stores of outputs that are no files: the scheme of a URL selects one.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use linkme::distributed_slice;

use super::{CommitError, Committed};

/// A store in which tasks commit outputs, by URL.
///
/// Its methods run on a thread of their own, inside a tokio runtime with IO and time that lasts for one call: a client
/// must not be kept from one call to the next.
#[async_trait]
pub trait OutputStore: fmt::Debug + Send + Sync + 'static {
    /// Writes a new object, completely or not at all; one that is there stays as it is.
    ///
    /// # Errors
    /// [`CommitError`] with the URL without credentials. [`Unsure`](CommitError::Unsure) where the object may be written.
    async fn put_new(&self, url: &str, bytes: Bytes) -> Result<Committed, CommitError>;

    /// Whether there is such an object.
    ///
    /// # Errors
    /// A sentence: why that cannot be determined, and what to do.
    async fn exists(&self, url: &str) -> Result<bool, String>;
}

/// A store, and the schemes of its URLs.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a static of another crate holds one"
)]
pub struct Registered {
    /// Schemes, such as `s3`, in lower case.
    pub schemes: &'static [&'static str],
    /// The store.
    pub store: &'static dyn OutputStore,
}

/// The stores of every crate that is linked into the program. A crate adds its own with `linkme`'s attribute.
///
/// Its name is a section of the program, and holds this crate's version, as that of the registry of tasks.
// At link time and not by a call, as openers are: a slot of a test program, a slot that is a thread, and a body that
// runs by `run_here` pass no `init()` of podpool.
#[doc(hidden)]
#[distributed_slice]
pub static PODPOOL_OUTPUT_STORES_0_1_0: [Registered];

pub use PODPOOL_OUTPUT_STORES_0_1_0 as OUTPUT_STORES;

/// The store for URLs of a scheme.
///
/// # Errors
/// What is wrong, and what to do: the program has no store for such URLs.
pub(super) fn find(scheme: &str) -> Result<&'static dyn OutputStore, (String, String)> {
    let mut stores = OUTPUT_STORES.iter();
    if let Some(registered) = stores.find(|registered| registered.schemes.contains(&scheme)) {
        return Ok(registered.store);
    }
    let schemes = OUTPUT_STORES.iter().flat_map(|its| its.schemes);
    let known: Vec<_> = ["file"].iter().chain(schemes).collect();
    let reason = format!("this program has no store for {scheme}:// URLs");
    Err((reason, format!("use a path, or a URL of one of {known:?}")))
}
