//! Tasks that are skipped, because what they would make is there.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::outcome::{Cause, Failure};
use crate::task::TaskContext;

use super::target::Target;
use super::{CommitError, apart, target};

/// What a context holds of skipping: it is written by the code of `#[task]`, before the body runs.
#[derive(Debug, Default)]
pub(crate) struct Skip {
    /// Whether the body runs in any case.
    pub(crate) forced: bool,
    /// Whether the body was skipped.
    skipped: AtomicBool,
    /// The path that the task declares, with its arguments.
    output: OnceLock<Box<str>>,
}

// A clone of a context is the body's, and the body runs only where nothing is skipped.
impl Clone for Skip {
    fn clone(&self) -> Self {
        Self {
            forced: self.forced,
            skipped: AtomicBool::new(self.is_skipped()),
            output: self.output.clone(),
        }
    }
}

impl Skip {
    /// Of a call that is forced or not.
    pub(crate) fn new(forced: bool) -> Self {
        Self {
            forced,
            ..Self::default()
        }
    }

    pub(crate) fn mark(&self) {
        self.skipped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.skipped.load(Ordering::Relaxed)
    }
}

impl TaskContext {
    /// Whether the call was [forced](crate::task::Call::force): a body that checks by itself whether its work is done
    /// must do the work then.
    #[must_use]
    pub const fn is_forced(&self) -> bool {
        self.skip.forced
    }

    /// The path or URL that the task declares with `#[task(output = "…")]`, with the arguments of this call.
    ///
    /// # Errors
    /// [`CommitError::NoOutput`] when the task declares none.
    pub fn output(&self) -> Result<&str, CommitError> {
        self.skip
            .output
            .get()
            .map(AsRef::as_ref)
            .ok_or(CommitError::NoOutput)
    }
}

/// Whether the output of a task is there, so that its body is left out. It keeps the path for
/// [`TaskContext::output`]. For the code that `#[task]` writes.
///
/// # Errors
/// A failure of the attempt: it cannot be determined.
#[doc(hidden)]
pub async fn output_is_there(context: &TaskContext, path: String) -> Result<bool, Failure> {
    match look(context, path)? {
        Look::Known(there) => Ok(there),
        Look::Object(exists, shown) => {
            let ended = apart::run(exists).await;
            ended
                .and_then(|looked| looked)
                .map_err(|reason| failure(&shown, &reason))
        }
    }
}

/// The same, and blocks.
///
/// # Errors
/// Those of [`output_is_there`].
#[doc(hidden)]
pub fn output_is_there_blocking(context: &TaskContext, path: String) -> Result<bool, Failure> {
    match look(context, path)? {
        Look::Known(there) => Ok(there),
        Look::Object(exists, shown) => {
            let ended = apart::run_blocking(exists);
            ended
                .and_then(|looked| looked)
                .map_err(|reason| failure(&shown, &reason))
        }
    }
}

/// What was found without a wait, or how to ask a store.
enum Look {
    Known(bool),
    Object(Box<dyn FnOnce() -> Result<bool, String> + Send>, String),
}

fn look(context: &TaskContext, path: String) -> Result<Look, Failure> {
    let path = context.skip.output.get_or_init(|| path.into());
    if context.skip.forced {
        return Ok(Look::Known(false));
    }
    let path = Path::new(&**path);
    let shown = target::shown(path);
    match Target::of(path) {
        Ok(Target::File(path)) => match fs::metadata(&path) {
            Ok(_) => Ok(Look::Known(true)),
            Err(error) if is_missing(error.kind()) => Ok(Look::Known(false)),
            Err(error) => Err(failure(
                &shown,
                &format!("{error}; look at the owner and the mode of its directory"),
            )),
        },
        Ok(Target::Object(store, url)) => {
            let ask = move || apart::block_on(store.exists(&url)).and_then(|looked| looked);
            Ok(Look::Object(Box::new(ask), shown))
        }
        Err((reason, advice)) => Err(failure(&shown, &format!("{reason}; {advice}"))),
    }
}

/// Whether this means that there is no such file. A file in the place of a directory is met again, with its own error,
/// when the body commits.
fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failure(path: &str, reason: &str) -> Failure {
    let message =
        format!("it was not run: whether its output {path} exists cannot be determined: {reason}");
    Failure::new(Cause::Failed, message)
}
