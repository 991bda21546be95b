//! The tracing events of podpool's own threads, on their way to the program's subscriber.
//!
//! A subscriber may block, or take a lock that the program holds while it waits for a task. So these threads have a
//! dispatcher of their own, [`Forward`], which copies events and spans. A thread for this alone, "podpool-events",
//! gives them to the subscriber that was the default where the executor was built, else to the program's.
//!
//! Entering and leaving spans is not copied: an event names its parent instead. The subscriber's `register_callsite` is
//! called on any thread, as that of every subscriber is; events and spans reach it on this thread alone.

mod deliver;
mod forward;
mod values;

use std::io;
use std::sync::{Arc, OnceLock};

use podpool_core::worker::KeptLine;
use tracing::Metadata;
use tracing::dispatcher::{Dispatch, get_default, has_been_set, with_default};
use tracing::subscriber::NoSubscriber;

use crate::report::notices::Notices;
use crate::report::outlet::{Gauge, Outlet};

use self::deliver::Deliver;
pub(crate) use self::deliver::warn_user;
use self::forward::Forward;
use self::values::Values;

/// Bytes of events that may wait for a subscriber.
// Some 5,000 events of 400 bytes. Events are the library's own and far fewer than the lines of tasks, which have 8
// MiB.
const LIMIT: usize = 2 << 20;
/// Bytes that an item counts beside its texts.
// The item, its place in the buffer, and an allocation, rounded up. Without it a million empty events would count
// nothing.
const COST: usize = 128;

/// The receivers of events and notices.
#[derive(Debug)]
struct Target {
    /// Known when the executor is built, or else found when the first event comes.
    subscriber: OnceLock<Dispatch>,
    notices: Notices,
    /// The printed lines that are not written yet. A notice follows them, if they are written soon.
    lines: OnceLock<Gauge<KeptLine>>,
}

/// A copied item. Spans have numbers of podpool's own.
#[derive(Debug)]
pub(crate) enum Item {
    Event {
        metadata: &'static Metadata<'static>,
        values: Values,
        parent: Option<u64>,
    },
    Span {
        span: u64,
        metadata: &'static Metadata<'static>,
        values: Values,
        parent: Option<u64>,
    },
    Record {
        span: u64,
        values: Values,
    },
    Follows {
        span: u64,
        from: u64,
    },
    Closed(u64),
    /// A notice that was not an event: its thread has no copy of events, or it must not be dropped.
    Notice(String),
}

/// The place where podpool's threads put their events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    outlet: Outlet<Item>,
    /// None where the program has a logger of the crate `log`.
    dispatch: Option<Dispatch>,
    target: Arc<Target>,
}

impl Events {
    /// For the subscriber of the calling thread, and the receiver of notices.
    pub(crate) fn for_this_thread(notices: Notices) -> Self {
        Self::with_errors(notices, Box::new(io::stderr()))
    }

    /// The same, with this in place of standard error.
    fn with_errors(notices: Notices, errors: Box<dyn io::Write + Send>) -> Self {
        let target = Arc::new(Target {
            subscriber: subscriber_here().map_or_else(OnceLock::new, OnceLock::from),
            notices,
            lines: OnceLock::new(),
        });
        let deliver = Deliver::new(target.clone(), errors);
        let outlet = Outlet::new("podpool-events", LIMIT, missing, deliver);
        // tracing's feature `log` turns events into log records only as long as no dispatcher exists anywhere. A
        // program that has a logger and no subscriber relies on that.
        let logs = !has_been_set() && log::max_level() > log::LevelFilter::Off;
        let dispatch = (!logs).then(|| Dispatch::new(Forward::new(outlet.clone(), target.clone())));
        Self {
            outlet,
            dispatch,
            target,
        }
    }

    /// Notices are written after these lines, whatever their destination.
    pub(crate) fn write_notices_after(&self, lines: Gauge<KeptLine>) {
        // The cell was empty: an executor has one output, which calls this once.
        self.target.lines.set(lines).ok();
    }

    /// Runs code that must not wait for the subscriber.
    pub(crate) fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        match &self.dispatch {
            Some(dispatch) => with_default(dispatch, life),
            None => life(),
        }
    }

    /// Emits a notice. Never waits.
    // Never dropped either: it may be the report of the drops. Callers emit one for each kind of trouble, so such items
    // stay few.
    pub(crate) fn notice(&self, text: String) {
        self.outlet
            .push_always(COST + text.capacity(), Item::Notice(text));
    }

    pub(crate) fn gauge(&self) -> Gauge<Item> {
        self.outlet.gauge()
    }
}

/// The subscriber of the current thread, unless it is the empty one.
fn subscriber_here() -> Option<Dispatch> {
    get_default(|here| (!here.is::<NoSubscriber>()).then(|| here.clone()))
}

fn missing(lost: u64) -> Item {
    Item::Notice(format!(
        "{lost} events and spans of podpool are missing here: the tracing subscriber is too slow"
    ))
}

#[cfg(test)]
mod tests;
