//! The receiving end: passes the copies to the program's subscriber, on a thread that may wait for it.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use podpool_core::forked::Origin;
use podpool_core::notice::NOTICE;
use tracing::callsite::rebuild_interest_cache;
use tracing::dispatcher::{Dispatch, get_default, with_default};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, warn};

use crate::report::notices::Notices;
use crate::report::outlet::Consumer;

use super::values::Values;
use super::{Item, Target, subscriber_here};

/// How long a notice waits for lines of tasks that are not written yet.
// A full buffer of 8 MiB is written within it at 40 MB a second. At double, every notice would come later by as much
// where streams are blocked; at half, fewer lines would stand before the notice about them.
const AFTER_LINES: Duration = Duration::from_millis(200);

/// Gives items to the subscriber.
pub(super) struct Deliver {
    target: Arc<Target>,
    /// podpool's spans, with the subscriber's ids of them.
    spans: HashMap<u64, Span>,
    /// Standard error.
    errors: Box<dyn Write + Send>,
    /// The last wait for lines of tasks timed out.
    behind: bool,
    origin: Origin,
}

struct Span {
    metadata: &'static Metadata<'static>,
    /// None for one that the subscriber rejects; its children belong to its parent then.
    own: Option<Id>,
    parent: Option<Id>,
}

impl Span {
    const fn id(&self) -> Option<&Id> {
        match &self.own {
            Some(own) => Some(own),
            None => self.parent.as_ref(),
        }
    }
}

impl Consumer<Item> for Deliver {
    fn take(&mut self, items: &mut VecDeque<Item>) {
        // Once for each batch: a subscriber that is set in its midst gets the items after the batch.
        self.find_target();
        let target = self.target.subscriber.get().cloned();
        for item in items.drain(..) {
            // A subscriber that panics loses this event; the panic hook has printed the message.
            let given = catch_unwind(AssertUnwindSafe(|| match &target {
                Some(target) => with_default(target, || self.give(item)),
                None => self.give(item),
            }));
            // Leaked: the payload is the program's, and its drop may panic too.
            if let Err(panic) = given {
                std::mem::forget(panic);
            }
            // A child process that the subscriber forked would deliver the next items a second time.
            self.origin.end_copy();
        }
    }
}

impl Deliver {
    pub(super) fn new(target: Arc<Target>, errors: Box<dyn Write + Send>) -> Self {
        Self {
            target,
            spans: HashMap::new(),
            errors,
            behind: false,
            origin: Origin::here(),
        }
    }

    /// A subscriber that was set after the executor was built. Its interests are read again then, because they were
    /// unknown before.
    fn find_target(&self) {
        if self.target.subscriber.get().is_none()
            && let Some(found) = subscriber_here()
        {
            // Only this thread sets it, so the error, that it is set, cannot occur. Set before the cache is rebuilt:
            // that calls `register_callsite` of every dispatcher, which reads it.
            self.target.subscriber.set(found).ok();
            rebuild_interest_cache();
        }
    }

    fn give(&mut self, item: Item) {
        match item {
            Item::Event {
                metadata,
                values,
                parent,
            } => self.event(metadata, &values, parent),
            Item::Span {
                span,
                metadata,
                values,
                parent,
            } => self.open(span, metadata, &values, parent),
            Item::Record { span, values } => self.record(span, &values),
            Item::Follows { span, from } => {
                if let (Some(span), Some(from)) = (self.own(span), self.own(from)) {
                    get_default(|subscriber| subscriber.record_follows_from(span, from));
                }
            }
            Item::Closed(span) => {
                if let Some(own) = self.spans.remove(&span).and_then(|span| span.own) {
                    get_default(|subscriber| subscriber.try_close(own.clone()));
                }
            }
            Item::Notice(text) => {
                self.pass_notice(&text);
                if subscriber_here().is_some() {
                    warn!(target: NOTICE, "{text}");
                } else if logs() {
                    log::warn!(target: "podpool", "{text}");
                }
            }
        }
    }

    /// Waits a moment for the lines of tasks that came before. After one timeout there is no further wait until all are
    /// taken.
    fn after_lines(&mut self) {
        if let Some(lines) = self.target.lines.get()
            // Streams that are blocked cost one wait and not one for each notice.
            && !(self.behind && lines.backlog().waiting > 0)
        {
            self.behind = !lines.wait_until(Instant::now() + AFTER_LINES);
        }
    }

    /// Passes a notice to its receivers other than the subscriber.
    fn pass_notice(&mut self, text: &str) {
        self.after_lines();
        match self.target.notices.clone() {
            Notices::Auto if subscriber_here().is_some() || logs() => {}
            Notices::Off => {}
            Notices::To(sink) => sink(text),
            Notices::Auto | Notices::StandardError => self.write(text),
        }
    }

    fn write(&mut self, text: &str) {
        // A closed terminal must not end the pool.
        writeln!(self.errors, "podpool: {text}").ok();
    }

    fn event(
        &mut self,
        metadata: &'static Metadata<'static>,
        values: &Values,
        parent: Option<u64>,
    ) {
        if metadata.target() == NOTICE
            && let Some(text) = values.message(metadata)
        {
            self.pass_notice(&text);
        }
        let values = values.all();
        let values = metadata.fields().value_set_all(&values);
        let event = Event::new_child_of(self.parent(parent), metadata, &values);
        get_default(|subscriber| {
            // Checked on this thread: some subscribers remember the answer until the event comes.
            if subscriber.enabled(metadata) {
                subscriber.event(&event);
            }
        });
    }

    fn open(
        &mut self,
        span: u64,
        metadata: &'static Metadata<'static>,
        values: &Values,
        parent: Option<u64>,
    ) {
        let values = values.all();
        let values = metadata.fields().value_set_all(&values);
        let parent = self.parent(parent);
        let attributes = match parent.clone() {
            Some(parent) => Attributes::child_of(parent, metadata, &values),
            None => Attributes::new_root(metadata, &values),
        };
        let open = |subscriber: &Dispatch| {
            let wanted = subscriber.enabled(metadata);
            wanted.then(|| subscriber.new_span(&attributes))
        };
        let own = get_default(open);
        let opened = Span {
            metadata,
            own,
            parent,
        };
        self.spans.insert(span, opened);
    }

    fn record(&self, span: u64, values: &Values) {
        let Some(span) = self.spans.get(&span) else {
            return;
        };
        let Some(own) = &span.own else {
            return;
        };
        let values = values.all();
        let values = span.metadata.fields().value_set_all(&values);
        get_default(|subscriber| subscriber.record(own, &Record::new(&values)));
    }

    fn own(&self, span: u64) -> Option<&Id> {
        self.spans.get(&span)?.own.as_ref()
    }

    /// The subscriber's id of a parent.
    fn parent(&self, parent: Option<u64>) -> Option<Id> {
        self.spans.get(&parent?)?.id().cloned()
    }
}

/// Whether the program has a logger that accepts warnings.
fn logs() -> bool {
    log::max_level() >= log::LevelFilter::Warn
}

/// Reports something that must not be missed: to the subscriber, else to the logger, else on standard error.
pub(crate) fn warn_user(text: &str) {
    if subscriber_here().is_some() {
        warn!("{text}");
    } else if logs() {
        log::warn!(target: "podpool", "{text}");
    } else {
        writeln!(std::io::stderr(), "podpool: {text}").ok();
    }
}
