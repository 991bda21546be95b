//! The dispatcher of podpool's threads: copies, and never waits.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use podpool_core::notice::NOTICE;
use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::lock::lock;
use crate::report::outlet::{Outlet, Pushed};

use super::values::Values;
use super::{COST, Item, Target};

/// Spans are numbered for the whole process: one that reaches a thread of another pool is unknown there.
// From 1: an `Id` of zero panics.
static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The spans that this thread is in, innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A subscriber that copies everything into an outlet.
pub(super) struct Forward {
    outlet: Outlet<Item>,
    target: Arc<Target>,
    /// Callsites that the target always rejects.
    unwanted: Mutex<HashSet<Identifier>>,
    spans: Mutex<HashMap<u64, Live>>,
}

/// A span that was copied and is not closed yet.
struct Live {
    references: usize,
    metadata: &'static Metadata<'static>,
}

impl Forward {
    pub(super) fn new(outlet: Outlet<Item>, target: Arc<Target>) -> Self {
        Self {
            outlet,
            target,
            unwanted: Mutex::default(),
            spans: Mutex::default(),
        }
    }

    /// Whether this is a notice with a receiver other than the subscriber.
    fn is_wanted_notice(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == NOTICE && self.wants_notices()
    }

    fn wants_notices(&self) -> bool {
        let by_subscriber = self.target.subscriber.get().is_some();
        self.target.notices.are_wanted(by_subscriber)
    }

    fn is_known(&self, span: u64) -> bool {
        lock(&self.spans).contains_key(&span)
    }

    /// The explicit parent of an event or span, else the innermost span of this thread.
    fn parent(&self, explicit: Option<&Id>, contextual: bool) -> Option<u64> {
        let parent = match explicit {
            Some(id) => Some(id.into_u64()),
            None if contextual => innermost(),
            None => None,
        };
        parent.filter(|parent| self.is_known(*parent))
    }
}

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_wanted_notice(metadata) {
            // A notice is passed on even if the subscriber rejects its callsite.
            return Interest::always();
        }
        // The answer may change; then this is called again.
        let interest = match self.target.subscriber.get() {
            Some(target) => target.register_callsite(metadata),
            None => Interest::sometimes(),
        };
        // Remembered here because `enabled` has to answer without calling the subscriber, which may block.
        let mut unwanted = lock(&self.unwanted);
        if interest.is_never() {
            unwanted.insert(metadata.callsite());
        } else {
            unwanted.remove(&metadata.callsite());
        }
        interest
    }

    /// Called when subscribers differ in their interests. The thread that may wait for the subscriber checks again.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.is_wanted_notice(metadata) || !lock(&self.unwanted).contains(&metadata.callsite())
    }

    /// The highest level of the program's subscribers, and that of notices.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(if self.wants_notices() {
            LevelFilter::INFO
        } else {
            LevelFilter::OFF
        })
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        // Relaxed: only the number has to be unique.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let metadata = span.metadata();
        let values = Values::copy(metadata.fields(), |visit| span.record(visit));
        let parent = self.parent(span.parent(), span.is_contextual());
        let live = Live {
            references: 1,
            metadata,
        };
        lock(&self.spans).insert(number, live);
        let cost = COST + values.bytes();
        let item = Item::Span {
            span: number,
            metadata,
            values,
            parent,
        };
        // A span that was dropped is unknown from now on: its events name no parent, and it is never closed.
        if self.outlet.push(cost, item) != Pushed::Kept {
            lock(&self.spans).remove(&number);
        }
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let number = span.into_u64();
        // The lock is released before the values are copied: their `Debug` is code of the program.
        let live = lock(&self.spans).get(&number).map(|live| live.metadata);
        let Some(metadata) = live else {
            return;
        };
        let values = Values::copy(metadata.fields(), |visit| values.record(visit));
        let cost = COST + values.bytes();
        self.outlet.push(
            cost,
            Item::Record {
                span: number,
                values,
            },
        );
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        let (span, from) = (span.into_u64(), follows.into_u64());
        if self.is_known(span) && self.is_known(from) {
            self.outlet.push(COST, Item::Follows { span, from });
        }
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let values = Values::copy(metadata.fields(), |visit| event.record(visit));
        let parent = self.parent(event.parent(), event.is_contextual());
        let cost = COST + values.bytes();
        self.outlet.push(
            cost,
            Item::Event {
                metadata,
                values,
                parent,
            },
        );
    }

    fn enter(&self, span: &Id) {
        entered(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let number = span.into_u64();
        entered(|entered| {
            // Spans may be left in another order than they were entered, by tasks that are polled in turn.
            if let Some(at) = entered.iter().rposition(|other| *other == number) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        if let Some(live) = lock(&self.spans).get_mut(&span.into_u64()) {
            live.references += 1;
        }
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let number = span.into_u64();
        let mut spans = lock(&self.spans);
        let Some(live) = spans.get_mut(&number) else {
            return false;
        };
        live.references -= 1;
        if live.references > 0 {
            return false;
        }
        spans.remove(&number);
        drop(spans);
        // Always: without this item the subscriber would keep the span for ever. There are no more such items than
        // spans that were kept.
        self.outlet.push_always(COST, Item::Closed(number));
        true
    }

    fn current_span(&self) -> Current {
        let live = innermost().and_then(|number| {
            let metadata = lock(&self.spans).get(&number)?.metadata;
            Some(Current::new(Id::from_u64(number), metadata))
        });
        live.unwrap_or_else(Current::none)
    }
}

/// Runs a function on the spans that this thread is in. A thread that is ending has no such list any more.
fn entered<T>(work: impl FnOnce(&mut Vec<u64>) -> T) -> Option<T> {
    ENTERED
        .try_with(|entered| work(&mut entered.borrow_mut()))
        .ok()
}

fn innermost() -> Option<u64> {
    entered(|entered| entered.last().copied()).flatten()
}
