//! The tracing events of podpool's own threads, on their way to the program's subscriber.
//!
//! A subscriber may block, or take a lock that the program holds while it waits for a task. So these threads have a
//! dispatcher of their own, [`Forward`], which copies events and spans. A thread for this alone, "podpool-events",
//! gives them to the subscriber that was the default where the executor was built, else to the program's.
//!
//! Entering and leaving spans is not copied: an event names its parent instead. The subscriber is asked whether it wants
//! a callsite, as every one is; it is never given anything by a thread that must not wait.

mod deliver;
mod forward;
mod values;

use std::sync::{Arc, OnceLock};

use tracing::Metadata;
use tracing::dispatcher::{Dispatch, get_default, has_been_set, with_default};
use tracing::subscriber::NoSubscriber;

#[cfg(unix)]
use crate::outlet::WeakOutlet;
use crate::outlet::{Gauge, Outlet};

use self::deliver::Deliver;
pub(crate) use self::deliver::say;
use self::forward::Forward;
use self::values::Values;

/// Bytes of events that may wait for a subscriber.
const LIMIT: usize = 2 << 20;
/// What an item costs beside its texts.
const COST: usize = 128;

/// The subscriber that events are for: known when the executor is built, or else found when the first event comes.
type Target = Arc<OnceLock<Dispatch>>;

/// What is copied. Spans have numbers of our own.
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
    /// Words of the library that must not be missed: a warning, or a line on standard error where the program has no
    /// subscriber.
    Notice(String),
}

/// Where podpool's threads put their events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    outlet: Outlet<Item>,
    /// None where the program listens to `log`.
    dispatch: Option<Dispatch>,
}

impl Events {
    /// For the subscriber of the thread that calls.
    pub(crate) fn for_this_thread() -> Self {
        let target = Target::default();
        if let Some(here) = subscriber_here() {
            // It was empty.
            target.set(here).ok();
        }
        let deliver = Deliver::new(target.clone());
        let outlet = Outlet::new("podpool-events", LIMIT, missing, deliver);
        // tracing's feature `log` turns events into log records only as long as no dispatcher exists anywhere. A program
        // that has a logger and no subscriber relies on that.
        let logs = !has_been_set() && log::max_level() > log::LevelFilter::Off;
        let dispatch = (!logs).then(|| Dispatch::new(Forward::new(outlet.clone(), target)));
        Self { outlet, dispatch }
    }

    /// Runs what must not wait for the subscriber.
    pub(crate) fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        match &self.dispatch {
            Some(dispatch) => with_default(dispatch, life),
            None => life(),
        }
    }

    pub(crate) const fn dispatch(&self) -> Option<&Dispatch> {
        self.dispatch.as_ref()
    }

    /// Says something that the user should know. Never waits.
    pub(crate) fn notice(&self, text: String) {
        notice(&self.outlet, text);
    }

    /// The way for notices, as long as others keep it.
    #[cfg(unix)]
    pub(crate) fn notices(&self) -> Notices {
        Notices(self.outlet.downgrade())
    }

    pub(crate) fn gauge(&self) -> Gauge<Item> {
        self.outlet.gauge()
    }
}

/// Says what the user should know, without keeping the thread that says it.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Notices(WeakOutlet<Item>);

#[cfg(unix)]
impl Notices {
    /// Never waits.
    pub(crate) fn say(&self, text: String) {
        if let Some(outlet) = self.0.upgrade() {
            notice(&outlet, text);
        }
    }
}

fn notice(outlet: &Outlet<Item>, text: String) {
    outlet.push_always(COST + text.capacity(), Item::Notice(text));
}

/// What the current thread's events go to, unless that is nothing.
fn subscriber_here() -> Option<Dispatch> {
    get_default(|here| (!here.is::<NoSubscriber>()).then(|| here.clone()))
}

fn missing(lost: u64) -> Item {
    Item::Notice(format!(
        "{lost} events and spans of podpool are missing here: the tracing subscriber takes them too slowly"
    ))
}

#[cfg(test)]
mod tests;
