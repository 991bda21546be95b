//! Work on a thread of its own: it may block, and it may have a runtime, whatever thread the caller is on.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use crate::inherited::Inherited;
use crate::slot::{Request, advice};

/// Runs `job` on a thread of its own, and waits for it.
///
/// # Errors
/// A sentence: the thread was refused, or it panicked.
pub(super) async fn run<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    // A receiver that is gone means that the caller left: its answer is of no use then.
    start(move || drop(sender.send(job())))?;
    receiver.await.map_err(|_| panicked())
}

/// The same, and blocks the caller.
///
/// # Errors
/// Those of [`run`].
pub(super) fn run_blocking<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    start(job)?.join().map_err(|_| panicked())
}

/// Drives a future on this thread, which must be inside no runtime.
///
/// # Errors
/// A sentence: the runtime was refused.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| refused("a runtime", &error))?;
    let ended = runtime.block_on(future);
    // A look-up of a host's name may still block a thread of the runtime: nothing waits for it.
    runtime.shutdown_background();
    Ok(ended)
}

fn start<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, String> {
    let inherited = Inherited::from_here();
    Builder::new()
        .name("podpool-commit".to_owned())
        .spawn(move || inherited.within(job))
        .map_err(|error| refused("a thread", &error))
}

fn refused(what: &str, error: &io::Error) -> String {
    let advice = advice(Request::Other, error);
    let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
    format!("the system refused {what} for it: {error}{advice}")
}

fn panicked() -> String {
    "the thread that commits it panicked; its panic is on standard error".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_a_runtime_of_its_own_inside_any_other() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let seven = || block_on(async { 7 });
        runtime.block_on(async {
            assert_eq!(run(seven).await, Ok(Ok(7)));
            assert_eq!(run_blocking(seven), Ok(Ok(7)));
        });
    }

    #[tokio::test]
    async fn a_panic_of_the_thread_is_an_error() {
        let panics = || -> u8 { std::panic::resume_unwind(Box::new("no")) };
        assert_eq!(run(panics).await, Err(panicked()));
        assert_eq!(run_blocking(panics), Err(panicked()));
    }
}
