//! The thread that drives a connection's sockets.
//!
//! A queue is called from several runtimes: the lease keeper's renewals must not wait for whatever another one is
//! busy with, or end with it.

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

    /// Runs what must begin on the thread's runtime, because it starts tasks there.
    pub(super) fn enter<T>(&self, start: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        start()
    }
}
