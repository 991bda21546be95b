//! What tasks measure of their own work: counters, gauges and timers.
//!
//! A seam: by default nothing is recorded, no clock is read and nothing is allocated. A program that needs its numbers
//! [`install`]s a [`Recorder`], once in each process: the `setup` of `#[podpool::main]` and `init_with` runs in master,
//! worker and slot alike.
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use podpool_core::metrics::{self, Recorder, Value};
//! use podpool_core::task::TaskContext;
//!
//! static ROWS: AtomicU64 = AtomicU64::new(0);
//!
//! struct Rows;
//!
//! impl Recorder for Rows {
//!     fn record(&self, _: &TaskContext, name: &str, value: Value) {
//!         if let ("rows", Value::Counter(by)) = (name, value) {
//!             ROWS.fetch_add(by, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! fn load(ctx: &TaskContext) {
//!     let _timer = ctx.metrics().timer("load");
//!     ctx.metrics().counter("rows", 1_000);
//! }
//! # metrics::install(Rows).unwrap();
//! ```

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use crate::task::TaskContext;

/// The recorder of this process.
static RECORDER: OnceLock<Box<dyn Recorder>> = OnceLock::new();

/// Takes what tasks measure, on the task's own thread: it should be quick, and must not panic.
pub trait Recorder: Send + Sync + 'static {
    /// Takes one measurement. The context names the task, its run and its worker.
    fn record(&self, context: &TaskContext, name: &str, value: Value);
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Adds to a counter.
    Counter(u64),
    /// Sets a gauge.
    Gauge(f64),
    /// How long something took.
    Timer(Duration),
}

/// A process has one recorder, and it is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process has a recorder of metrics already; the first one stays: install one only, in `setup`"
)]
pub struct AlreadyInstalled;

/// Gives this process its recorder.
///
/// # Errors
/// [`AlreadyInstalled`]; the first one stays.
pub fn install(recorder: impl Recorder) -> Result<(), AlreadyInstalled> {
    RECORDER
        .set(Box::new(recorder))
        .map_err(|_| AlreadyInstalled)
}

/// What a task measures with: [`TaskContext::metrics`].
#[derive(Clone, Copy)]
pub struct Metrics<'a> {
    context: &'a TaskContext,
    recorder: Option<&'a dyn Recorder>,
}

impl TaskContext {
    /// Counters, gauges and timers of the task's own. They do nothing until the program
    /// [`install`]s a recorder.
    #[must_use]
    pub fn metrics(&self) -> Metrics<'_> {
        Metrics::of(self)
    }
}

impl<'a> Metrics<'a> {
    fn of(context: &'a TaskContext) -> Self {
        Self::with(context, RECORDER.get().map(AsRef::as_ref))
    }

    fn with(context: &'a TaskContext, recorder: Option<&'a dyn Recorder>) -> Self {
        Self { context, recorder }
    }

    /// Adds to a counter: rows read, requests made.
    pub fn counter(&self, name: &str, by: u64) {
        self.record(name, Value::Counter(by));
    }

    /// Sets a gauge: bytes in memory, a position in a file.
    pub fn gauge(&self, name: &str, value: f64) {
        self.record(name, Value::Gauge(value));
    }

    /// Measures from now until the timer is dropped.
    #[must_use = "the time is measured until the timer is dropped"]
    pub fn timer(&self, name: &'a str) -> Timer<'a> {
        Timer {
            metrics: *self,
            name,
            // A timer that begins without a recorder records nothing, though one is installed before its end.
            begun: self.recorder.map(|_| Instant::now()),
        }
    }

    fn record(&self, name: &str, value: Value) {
        if let Some(recorder) = self.recorder {
            recorder.record(self.context, name, value);
        }
    }
}

impl fmt::Debug for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("task", &self.context.task())
            .field("is_recorded", &self.recorder.is_some())
            .finish()
    }
}

/// A time that is being measured; it is recorded when this is dropped.
#[derive(Debug)]
pub struct Timer<'a> {
    metrics: Metrics<'a>,
    name: &'a str,
    begun: Option<Instant>,
}

impl Timer<'_> {
    /// Forgets the time: what was measured did not happen.
    pub fn discard(mut self) {
        self.begun = None;
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            self.metrics
                .record(self.name, Value::Timer(begun.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests;
