//! The thread that drives a connection's sockets.
//!
//! A queue is called from several runtimes. A socket belongs to the runtime that opened it: on the runtime of one
//! caller, the lease keeper's renewals would wait while that caller is busy, and fail when its runtime ends.

use std::io;
use std::sync::Arc;
use std::thread;

use podpool_core::inherited::Inherited;
use podpool_core::unstarted::Unstarted;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The thread's handle. The thread ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct IoThread {
    runtime: Handle,
    /// Cancels `stopped` with the last clone; the thread then leaves `block_on`, and its runtime drops the sockets.
    _stop: Arc<DropGuard>,
}

impl IoThread {
    pub(super) fn start() -> io::Result<Self> {
        let events = Inherited::from_here();
        let beside = events.clone();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || beside.keep())
            .build()?;
        let handle = runtime.handle().clone();
        // A refused thread drops the runtime here, inside the caller's runtime, where a plain drop panics.
        let runtime = Unstarted::new(runtime);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        thread::Builder::new()
            .name("podpool-pubsub".to_owned())
            .spawn(move || events.within(|| runtime.block_on(stopped.cancelled())))?;
        Ok(Self {
            runtime: handle,
            _stop: Arc::new(stop.drop_guard()),
        })
    }

    /// Runs a function within the thread's runtime, because it starts tasks there.
    pub(super) fn enter<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        start()
    }
}
