//! Events of podpool's threads arrive unchanged, and none of these threads ever waits for the subscriber.

mod notices;

use std::fmt;
use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Level, Metadata, Span, Subscriber, debug, info, info_span, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use crate::lock::lock;

use podpool_core::notice::NOTICE;

use super::*;

/// Longest time of any step here.
const LIMIT: Duration = Duration::from_secs(10);

/// Keeps the written text.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    fn text(&self) -> String {
        String::from_utf8(lock(&self.0).clone()).expect("text")
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Text {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Builds events for a subscriber and emits some on another thread, as the executor's thread does.
fn said(subscriber: impl Subscriber + Send + Sync + 'static, say: impl FnOnce() + Send) {
    let events = with_default(subscriber, || Events::for_this_thread(Notices::Auto));
    thread::scope(|scope| {
        scope.spawn(|| events.within(say));
    });
    let gauge = events.gauge();
    gauge.wait_until(Instant::now() + LIMIT);
    assert_eq!(gauge.backlog().waiting, 0, "all is given in time");
}

#[test]
fn copied_events_and_spans_look_like_direct_ones() {
    let speak = || {
        let outer = info_span!("outer", run = "r1", late = tracing::field::Empty);
        let entered = outer.clone().entered();
        outer.record("late", 7);
        let inner = info_span!("inner", n = 1_u64);
        let error = io::Error::other("no luck");
        inner.in_scope(|| {
            warn!(
                flag = true,
                small = -3_i64,
                large = u128::MAX,
                real = 0.5,
                text = "words",
                shown = %Level::INFO,
                debugged = ?Some("x"),
                "a {} message",
                "formatted"
            );
            warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "with an error"
            );
        });
        drop(entered);
        info!(parent: &inner, "by its parent");
        info!("outside");
    };
    let subscriber = |text: &Text| {
        tracing_subscriber::fmt()
            .with_writer(text.clone())
            .without_time()
            .with_ansi(false)
            .finish()
    };
    let (direct, copied) = (Text::default(), Text::default());
    with_default(subscriber(&direct), speak);
    said(subscriber(&copied), speak);
    assert_eq!(copied.text(), direct.text());
    let text = direct.text();
    assert!(
        text.contains("outer{run=\"r1\" late=7}:inner{n=1}"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 4, "{text}");
}

#[test]
fn levels_and_filters_of_single_layers_are_the_subscribers_own() {
    let (all, few) = (Text::default(), Text::default());
    let (to_all, to_few) = (all.clone(), few.clone());
    let to_all = tracing_subscriber::fmt::layer().with_writer(to_all);
    let to_few = tracing_subscriber::fmt::layer().with_writer(to_few);
    let subscriber = tracing_subscriber::registry()
        .with(to_all.with_filter(LevelFilter::INFO))
        .with(to_few.with_filter(LevelFilter::WARN));
    said(subscriber, || {
        let quiet = tracing::debug_span!("quiet").entered();
        debug!("nobody wants this");
        info!("one wants this");
        warn!("both want this");
        drop(quiet);
    });
    let (all, few) = (all.text(), few.text());
    assert_eq!(
        (all.lines().count(), few.lines().count()),
        (2, 1),
        "{all}{few}"
    );
    assert!(!all.contains("nobody") && !all.contains("quiet"), "{all}");
}

/// The calls of a subscriber, and their threads.
#[derive(Default)]
struct Log {
    spans: Vec<(u64, Option<u64>)>,
    closed: Vec<u64>,
    parents: Vec<Option<u64>>,
    threads: Vec<Option<String>>,
}

/// Records its calls, and waits for a permit before it takes an event.
struct Noting {
    log: Arc<Mutex<Log>>,
    leave: Mutex<Receiver<()>>,
}

impl Subscriber for Noting {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut log = lock(&self.log);
        let id = 100 + log.spans.len() as u64;
        log.spans.push((id, span.parent().map(Id::into_u64)));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        lock(&self.leave).recv().ok();
        let mut log = lock(&self.log);
        log.parents.push(event.parent().map(Id::into_u64));
        log.threads
            .push(thread::current().name().map(ToOwned::to_owned));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, id: Id) -> bool {
        lock(&self.log).closed.push(id.into_u64());
        true
    }
}

fn noting() -> (Noting, Arc<Mutex<Log>>, Sender<()>) {
    let (give, leave) = channel();
    let log = Arc::<Mutex<Log>>::default();
    let subscriber = Noting {
        log: log.clone(),
        leave: Mutex::new(leave),
    };
    (subscriber, log, give)
}

#[test]
fn spans_are_closed_once_however_they_are_held_and_parents_are_kept() {
    let (subscriber, log, give) = noting();
    drop(give);
    said(subscriber, || {
        let outer = info_span!("outer");
        let entered = outer.clone().entered();
        let here = Span::current();
        assert_eq!(here.metadata().map(Metadata::name), Some("outer"));
        drop((outer, here));
        info_span!("inner").in_scope(|| info!("within"));
        info!("in the outer one");
        info!(parent: None, "a root");
        drop(entered);
    });
    let log = lock(&log);
    assert_eq!(log.spans, [(100, None), (101, Some(100))]);
    assert_eq!(log.closed, [101, 100]);
    assert_eq!(log.parents, [Some(101), Some(100), None]);
    let own = Some("podpool-events".to_owned());
    assert!(log.threads.iter().all(|thread| *thread == own));
}

#[test]
fn a_blocked_subscriber_delays_nothing_and_dropped_events_are_counted() {
    let (subscriber, log, give) = noting();
    let events = with_default(subscriber, || Events::for_this_thread(Notices::Auto));
    let long = "x".repeat(8 << 10);
    let many = 2 * LIMIT_OF_EVENTS / long.len();
    thread::scope(|scope| {
        scope.spawn(|| {
            events.within(|| {
                for _ in 0..many {
                    info_span!("span").in_scope(|| info!(long, "an event"));
                }
            });
        });
    });
    let backlog = events.gauge().backlog();
    assert!(backlog.dropped > 0 && backlog.waiting > 0, "{backlog:?}");
    drop(give);
    events.gauge().wait_until(Instant::now() + LIMIT);
    let log = lock(&log);
    assert_eq!(log.spans.len(), log.closed.len(), "each span is closed");
    assert!(log.parents.len() < many, "some events are missing");
    assert_eq!(
        log.parents.last(),
        Some(&None),
        "the last event has their number"
    );
}

const LIMIT_OF_EVENTS: usize = super::LIMIT;

#[test]
fn very_long_texts_are_cut() {
    struct Longest(usize);
    impl Visit for Longest {
        fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
            self.0 = self.0.max(format!("{value:?}").len());
        }
    }
    struct Measure(Arc<Mutex<Vec<usize>>>);
    impl<S: Subscriber> tracing_subscriber::Layer<S> for Measure {
        fn on_event(&self, event: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            let mut longest = Longest(0);
            event.record(&mut longest);
            lock(&self.0).push(longest.0);
        }
    }
    let lengths = Arc::<Mutex<Vec<usize>>>::default();
    let subscriber = tracing_subscriber::registry().with(Measure(lengths.clone()));
    said(subscriber, || warn!(text = "é".repeat(1 << 20), "long"));
    let lengths = lock(&lengths);
    assert!((16 << 10..17 << 10).contains(&lengths[0]), "{lengths:?}");
}

#[test]
fn a_subscriber_that_panics_receives_the_next_events() {
    struct Panics(Arc<Mutex<u32>>);
    impl<S: Subscriber> tracing_subscriber::Layer<S> for Panics {
        fn on_event(&self, _: &Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            let mut count = lock(&self.0);
            *count += 1;
            assert_ne!(*count, 1, "a subscriber with a bug");
        }
    }
    let count = Arc::<Mutex<u32>>::default();
    said(
        tracing_subscriber::registry().with(Panics(count.clone())),
        || {
            info!("one");
            info!("two");
        },
    );
    assert_eq!(*lock(&count), 2);
}

const NOTICED: [&str; 4] = [
    "a task's line",
    "podpool: 4 of 10 workers run",
    "podpool: all run",
    "podpool: lines are lost",
];
