//! The objects of one run in a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use podpool_core::envelope::MacKey;
use podpool_core::envelope::reference::Part;
use podpool_core::id::RunId;
use podpool_core::queue::Queue;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::Fault;
use super::open::{Opened, open};
use super::uploads::Uploads;
use super::{Hash, PayloadError, PayloadQueue, hash, name, patience};

/// Transfers in each direction at once.
// Stores bound the speed of one connection, so several are needed to fill a line. Each holds one payload in memory: at
// double twice as many are held.
const TRANSFERS: usize = 16;

/// Longest time of one step of the first check, for some bytes.
const LOOK: Duration = Duration::from_secs(10);
/// Longest time in which listing or deleting shows no progress.
const STEP: Duration = Duration::from_secs(60);

/// The objects of a run in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The payloads of one run. Clones are handles to the same.
#[derive(Clone)]
pub struct PayloadStore {
    inner: Arc<Inner>,
}

struct Inner {
    objects: Arc<dyn ObjectStore>,
    /// `<prefix>/podpool/<run>`.
    folder: Path,
    run: RunId,
    name: String,
    advice: &'static str,
    uploads: Uploads,
    // Two, and neither is ever closed: uploads that wait for a slow store must not keep results from being fetched.
    sending: Semaphore,
    fetching: Semaphore,
}

impl PayloadStore {
    /// Opens the store of a run: `gs://bucket/prefix`, `s3://…`, `az://…` or `file:///directory`. Credentials come
    /// from the environment, as the cloud's own tools read them. No call is made yet: see [`check`](Self::check).
    ///
    /// # Errors
    /// [`PayloadError`] when the URL is of no store, or its feature is missing.
    pub fn open(url: &str, run: &RunId) -> Result<Self, PayloadError> {
        Ok(Self::of(open(url)?, run))
    }

    /// The store of a run, for a client that was made elsewhere. `name` appears in its errors.
    #[must_use]
    pub fn with_client(
        objects: Arc<dyn ObjectStore>,
        name: impl Into<String>,
        run: &RunId,
    ) -> Self {
        let opened = Opened {
            objects,
            prefix: Path::default(),
            name: name.into(),
            advice: "look at its rights",
        };
        Self::of(opened, run)
    }

    fn of(opened: Opened, run: &RunId) -> Self {
        Self {
            inner: Arc::new(Inner {
                objects: opened.objects,
                folder: opened.prefix.join("podpool").join(run.as_str()),
                run: run.clone(),
                name: opened.name,
                advice: opened.advice,
                uploads: Uploads::default(),
                sending: Semaphore::new(TRANSFERS),
                fetching: Semaphore::new(TRANSFERS),
            }),
        }
    }

    /// Its URL without credentials.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The run whose payloads it holds.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.inner.run
    }

    /// A queue whose large payloads go through this store.
    #[must_use]
    pub fn queue(&self, inner: Arc<dyn Queue>, mac_key: MacKey) -> PayloadQueue {
        PayloadQueue::new(inner, self.clone(), mac_key)
    }

    /// Writes, reads and deletes a small object.
    ///
    /// # Errors
    /// [`PayloadError::Failed`] that names the store and what is missing.
    pub async fn check(&self) -> Result<(), PayloadError> {
        // A random name: two masters of one run, or a second check, must not delete each other's probe.
        let probe = self
            .inner
            .folder
            .clone()
            .join(format!("probe-{:016x}", fastrand::u64(..)));
        let objects = &self.inner.objects;
        let text = Bytes::from_static(b"podpool");
        let put = objects.put(&probe, text.clone().into());
        self.tried_within(LOOK, "write to", put).await?;
        let get = async { objects.get(&probe).await?.bytes().await };
        let found = self.tried_within(LOOK, "read from", get).await?;
        let delete = objects.delete(&probe);
        self.tried_within(LOOK, "delete from", delete).await?;
        // Compared after the deletion, so that a store that returns other bytes keeps no probe.
        if found != text {
            let fault = Fault::Damaged("other bytes came back".to_owned());
            return Err(self.failed("read from", &fault));
        }
        Ok(())
    }

    /// Deletes the objects of the run, and ends its uploads. Returns how many objects there were.
    ///
    /// # Errors
    /// [`PayloadError::Failed`] with the first refusal; the other objects are deleted all the same.
    pub async fn delete_run(&self) -> Result<u64, PayloadError> {
        // Before the listing, or an upload could store its object after it. One whose last byte is sent may still do
        // so.
        self.inner.uploads.close();
        let found: Vec<_> = self
            .list()
            .await?
            .into_iter()
            .map(|(path, _)| Ok(path))
            .collect();
        let found = futures_util::stream::iter(found).boxed();
        let mut answers = self.inner.objects.delete_stream(found);
        let (mut deleted, mut refused) = (0, None);
        // Bounded by progress and not as a whole: a million objects may take minutes.
        loop {
            match timeout(STEP, answers.next()).await {
                Ok(Some(Ok(_) | Err(Error::NotFound { .. }))) => deleted += 1,
                Ok(Some(Err(error))) => {
                    refused.get_or_insert_with(|| Fault::of(&error));
                }
                Ok(None) => break,
                Err(_) => {
                    refused.get_or_insert_with(no_answer);
                    break;
                }
            }
        }
        match refused {
            None => Ok(deleted),
            Some(fault) => Err(self.failed("delete from", &fault)),
        }
    }

    /// The number and the bytes of the run's objects.
    ///
    /// # Errors
    /// [`PayloadError::Failed`] when they cannot be listed.
    pub async fn usage(&self) -> Result<Usage, PayloadError> {
        let found = self.list().await?;
        Ok(found
            .iter()
            .fold(Usage::default(), |sum, (_, bytes)| Usage {
                objects: sum.objects + 1,
                bytes: sum.bytes + bytes,
            }))
    }

    async fn list(&self) -> Result<Vec<(Path, u64)>, PayloadError> {
        let mut pages = self.inner.objects.list(Some(&self.inner.folder));
        let mut found = Vec::new();
        while let Some(meta) = self.tried("list", pages.try_next()).await? {
            found.push((meta.location, meta.size));
        }
        Ok(found)
    }

    /// The runs that have objects below a URL, for the removal of leftovers of killed programs.
    ///
    /// # Errors
    /// [`PayloadError`] as for [`open`](Self::open), or when the objects cannot be listed.
    pub async fn runs(url: &str) -> Result<Vec<RunId>, PayloadError> {
        let opened = open(url)?;
        let folder = opened.prefix.clone().join("podpool");
        let objects = opened.objects.clone();
        // Only its name and its advice are used here, for errors; no object is read or written below the random run.
        let store = Self::of(opened, &RunId::random());
        let listed = objects.list_with_delimiter(Some(&folder));
        let listed = store.tried("list", listed).await?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.filter_map(|name| RunId::new(name).ok()).collect())
    }

    /// Stores a payload. An upload goes on when the call is dropped, and the next call joins it.
    pub(super) async fn put(&self, hash: Hash, payload: Bytes) -> Result<(), Fault> {
        let inner = &self.inner;
        let upload = inner.uploads.join(hash, || {
            // A task of its own, and not only a shared future: that would rest while no caller awaits it.
            let upload = tokio::spawn(upload(inner.clone(), hash, payload));
            let handle = upload.abort_handle();
            // Weakly, because `uploads` keeps this future: a strong reference would be a circle that keeps the store.
            let inner = Arc::downgrade(inner);
            let ended = async move {
                let answer = match upload.await {
                    Ok(answer) => answer,
                    // Aborted by `close`, or its runtime ended.
                    Err(_) => Err(Fault::Passing("the run has ended".to_owned())),
                };
                if let Some(inner) = inner.upgrade() {
                    inner.uploads.ended(hash, answer.is_ok());
                }
                answer
            };
            (ended.boxed(), handle)
        });
        match upload {
            None => Ok(()),
            Some(upload) => upload.await,
        }
    }

    /// Fetches a payload and checks length and hash.
    pub(super) async fn get(&self, part: &Part) -> Result<Bytes, Fault> {
        let inner = &self.inner;
        // Before the time of the transfer begins: a fetch that waits for its turn is not late.
        let Ok(_permit) = inner.fetching.acquire().await else {
            return Err(no_answer());
        };
        let length = u64::from(part.length);
        let fetch = async {
            let path = inner.path(&part.hash);
            let found = inner.objects.get_opts(&path, GetOptions::default()).await;
            let found = found.map_err(|error| Fault::of(&error))?;
            // Before the body: an object of another length is damaged, and need not be fetched.
            if found.meta.size != length {
                let size = found.meta.size;
                return Err(Fault::Damaged(format!("{size} bytes instead of {length}")));
            }
            found.bytes().await.map_err(|error| Fault::of(&error))
        };
        let payload = timeout(patience(part.length as usize), fetch)
            .await
            .unwrap_or_else(|_| Err(no_answer()))?;
        if payload.len() as u64 != length || hash(payload.clone()).await != part.hash {
            return Err(Fault::Damaged("its bytes have another hash".to_owned()));
        }
        Ok(payload)
    }

    /// The name of a payload's object, for people.
    pub(super) fn object(&self, part: &Part) -> String {
        format!(
            "object {} of {} bytes in {}",
            self.inner.path(&part.hash),
            part.length,
            self.name()
        )
    }

    async fn tried<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, PayloadError> {
        self.tried_within(STEP, doing, call).await
    }

    async fn tried_within<T>(
        &self,
        patience: Duration,
        doing: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, PayloadError> {
        let fault = match timeout(patience, call).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => Fault::of(&error),
            Err(_) => no_answer(),
        };
        Err(self.failed(doing, &fault))
    }

    fn failed(&self, doing: &'static str, fault: &Fault) -> PayloadError {
        PayloadError::Failed {
            doing,
            url: self.name().to_owned(),
            reason: fault.phrase(),
            advice: self.inner.advice,
        }
    }
}

impl fmt::Debug for PayloadStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadStore")
            .field("name", &self.inner.name)
            .field("run", &self.inner.run)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn path(&self, hash: &Hash) -> Path {
        self.folder.clone().join(name(hash))
    }
}

fn no_answer() -> Fault {
    Fault::Passing("no answer in time".to_owned())
}

/// Stores a payload unless it is there. An object of its name and length is taken for it, without a comparison: readers
/// check the hash.
async fn upload(inner: Arc<Inner>, hash: Hash, payload: Bytes) -> Result<(), Fault> {
    let Ok(_permit) = inner.sending.acquire().await else {
        return Err(no_answer());
    };
    let path = inner.path(&hash);
    let length = payload.len();
    let payload = PutPayload::from(payload);
    let put = |mode| {
        let options = PutOptions::from(mode);
        inner.objects.put_opts(&path, payload.clone(), options)
    };
    let upload = async {
        // Put-if-absent is one atomic call. A read before a plain write would cost a round trip more, and leave a gap
        // in which another process stores the same payload.
        match put(PutMode::Create).await {
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                // The length tells a whole object from a write that was broken off. An object that is gone again, or
                // has another length, is written over.
                match inner.objects.head(&path).await {
                    Ok(found) if found.size == length as u64 => return Ok(()),
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            // A store without put-if-absent: an object has one content for its name, so writing it again changes
            // nothing for its readers.
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {}
            other => return other.map(drop),
        }
        put(PutMode::Overwrite).await.map(drop)
    };
    match timeout(patience(length), upload).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_) => Err(no_answer()),
    }
}
