//! Commits: a task writes an output completely or not at all, and no other attempt replaces it.
//!
//! A task may run more than once. [`TaskContext::commit_once`] puts an output in its place only where nothing is there,
//! in one step of the file system or of the object store, so that a late attempt finds the output and leaves it alone.

mod apart;
mod error;
mod local;
mod permit;
mod skip;
mod stores;
mod target;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::Path;

use bytes::Bytes;

use crate::task::TaskContext;

use self::local::{Naming, TemporaryName};
use self::permit::Permit;
use self::target::Target;

pub use self::error::CommitError;
pub(crate) use self::skip::Skip;
pub use self::skip::{output_is_there, output_is_there_blocking};
#[doc(hidden)]
pub use self::stores::PODPOOL_OUTPUT_STORES_0_1_0;
pub use self::stores::{OUTPUT_STORES, OutputStore, Registered};

/// What a commit came to. Neither is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Committed {
    /// This call has written the output.
    Written,
    /// The output was there: another attempt committed before, or the answer to this attempt's own write was lost. The
    /// bytes of this call are dropped.
    AlreadyCommitted,
}

impl TaskContext {
    /// Writes `bytes` to `path`, completely or not at all, and only where nothing is there: of several attempts at a
    /// task one commits, and the others get [`Committed::AlreadyCommitted`], which is no error. An output that is there
    /// is never replaced, not even by a call that is [forced](crate::task::Call::force).
    ///
    /// `path` is a path of this machine, relative to the working directory of the slot or absolute; a `file://` URL; or
    /// a `gs://`, `s3://` or `az://` URL, for which the features `payload-gcs`, `payload-s3` and `payload-azure` of
    /// podpool exist. Parent directories are made.
    ///
    /// **Files.** The bytes go to a temporary file in the directory of `path`, are synchronised with the disk, and get
    /// their name by a hard link; where the file system has none, by a rename that replaces nothing. Then the directory
    /// is synchronised, where the system permits it. A temporary file is called
    /// `.podpool-<run>-<task>-<worker>-<execution>-<count>.tmp`. It is removed on every way out; a process that is killed
    /// leaves it behind, and it can be removed once the run has ended.
    ///
    /// **Objects.** One conditional put, with the store's own retries, and credentials from the environment of the slot.
    /// The largest object is what the service takes in one put: 5 GiB in S3, 5,000 MiB in Azure, 5 TiB in Google's
    /// store.
    ///
    /// A commit has no timeout of its own: it ends with the attempt. An attempt that was cancelled, or whose time is
    /// over, commits nothing. When the future is dropped, the output is written whole or not at all. It needs no runtime.
    ///
    /// ```
    /// # use podpool_core::commit::{CommitError, Committed};
    /// # use podpool_core::task::TaskContext;
    /// async fn write(ctx: &TaskContext, day: u32) -> Result<(), CommitError> {
    ///     let report = format!("report of day {day}\n");
    ///     match ctx.commit_once(format!("out/{day}.txt"), report).await? {
    ///         Committed::Written => println!("written"),
    ///         Committed::AlreadyCommitted => println!("another attempt was first"),
    ///         _ => {}
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`CommitError`], which names the path, whether it is written, and what to do.
    pub async fn commit_once(
        &self,
        path: impl AsRef<Path> + Send,
        bytes: impl Into<Bytes> + Send,
    ) -> Result<Committed, CommitError> {
        // Dropped with this future: the thread below then commits nothing any more.
        let permit = Permit::of(self);
        let _leaves = permit.ends_with_this();
        let commit = Commit::new(self, path.as_ref(), bytes.into(), permit)?;
        let shown = commit.shown.clone();
        // On a thread of its own: a disk or a store may take seconds, and the caller may run in any runtime or none.
        let ended = apart::run(move || commit.run()).await;
        ended.unwrap_or_else(|reason| Err(CommitError::unsure(shown, reason)))
    }

    /// The same for a task that is no `async fn`: it blocks the task's thread.
    ///
    /// # Errors
    /// Those of [`commit_once`](Self::commit_once).
    pub fn commit_once_blocking(
        &self,
        path: impl AsRef<Path>,
        bytes: impl Into<Bytes>,
    ) -> Result<Committed, CommitError> {
        let permit = Permit::of(self);
        let commit = Commit::new(self, path.as_ref(), bytes.into(), permit)?;
        if let Target::File(_) = commit.target {
            return commit.run();
        }
        let shown = commit.shown.clone();
        // The client of a store needs a runtime, and this thread may be one's already (`run_here`).
        let ended = apart::run_blocking(move || commit.run());
        ended.unwrap_or_else(|reason| Err(CommitError::unsure(shown, reason)))
    }
}

/// One commit, ready to be carried out by any thread.
struct Commit {
    target: Target,
    /// The path, for people.
    shown: String,
    temporary: TemporaryName,
    bytes: Bytes,
    permit: Permit,
}

impl Commit {
    fn new(
        context: &TaskContext,
        path: &Path,
        bytes: Bytes,
        permit: Permit,
    ) -> Result<Self, CommitError> {
        let shown = target::shown(path);
        let refused = |(reason, advice)| CommitError::refused(shown.clone(), reason, advice);
        Ok(Self {
            target: Target::of(path).map_err(refused)?,
            temporary: TemporaryName::of(context),
            shown,
            bytes,
            permit,
        })
    }

    /// Commits. It blocks, and inside a runtime it must not be called for a store.
    fn run(self) -> Result<Committed, CommitError> {
        let Self {
            target,
            shown,
            temporary,
            bytes,
            permit,
        } = self;
        match target {
            Target::File(path) => {
                let permitted = || permit.holds();
                local::commit(&path, &temporary, &bytes, &permitted, &Naming::SYSTEM)
            }
            Target::Object(store, url) => {
                // Here too: an attempt that has ended opens no connection.
                if !permit.holds() {
                    return Err(CommitError::Cancelled { path: shown });
                }
                let put = async {
                    tokio::select! {
                        biased;
                        put = store.put_new(&url, bytes) => put,
                        () = permit.ended() => Err(CommitError::unsure(
                            shown.clone(),
                            "its attempt was cancelled, or its time was over, while it was sent",
                        )),
                    }
                };
                let unsure = |reason| Err(CommitError::unsure(shown.clone(), reason));
                apart::block_on(put).unwrap_or_else(unsure)
            }
        }
    }
}

impl CommitError {
    fn refused(path: String, reason: impl Display, advice: impl Display) -> Self {
        Self::Refused {
            path,
            reason: reason.to_string(),
            advice: advice.to_string(),
        }
    }

    fn unsure(path: String, reason: impl Display) -> Self {
        Self::Unsure {
            path,
            reason: reason.to_string(),
        }
    }
}
