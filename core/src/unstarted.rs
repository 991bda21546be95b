//! A runtime for a thread that may be refused.

use std::future::Future;

use tokio::runtime::Runtime;

/// A runtime in which nothing has run. A thread that cannot be started drops it where it was made, which may be inside
/// another runtime: there a dropped runtime panics, for it waits for its threads. This one waits for nothing.
#[derive(Debug)]
pub struct Unstarted(Option<Runtime>);

impl Unstarted {
    /// Keeps this runtime until its thread runs.
    #[must_use]
    pub const fn new(runtime: Runtime) -> Self {
        Self(Some(runtime))
    }

    /// Runs a future to its end on this thread. Always some output: only this method and the drop take the runtime.
    pub fn block_on<F: Future>(mut self, life: F) -> Option<F::Output> {
        let runtime = self.0.take()?;
        Some(runtime.block_on(life))
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waits for no thread, which is allowed inside another runtime.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    fn made() -> Unstarted {
        Unstarted::new(Builder::new_current_thread().build().unwrap())
    }

    #[tokio::test]
    async fn an_unstarted_runtime_may_be_dropped_inside_another() {
        drop(made());
    }

    #[test]
    fn an_unstarted_runtime_runs_its_future() {
        assert_eq!(made().block_on(async { 5 }), Some(5));
    }
}
