//! All output of podpool to the program and its user: lines of tasks, tracing events, warnings.
//!
//! Each kind goes through a bounded buffer to a thread of its own. The end of an executor waits for these buffers, for
//! a bounded time.

use std::io::{self, Write as _};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join, select};
use podpool_core::inherited::Inherited;
use podpool_core::worker::{KeptLine, OutputSink};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::deadline::Deadline;
use crate::lock::lock;
use crate::report::events::{Events, Item, warn_user};
use crate::report::notices::Notices;
use crate::report::outlet::{Gauge, WeakGauge};
use crate::report::output::Output;

/// Longest wait of a shutdown, or of the end of `main`, for output that is not written: a blocked reader must not keep
/// the program from ending.
// The default buffer of 8 MiB is written within it at 4 MiB a second. At double, a program whose reader is blocked
// would seem to hang at its end.
const LONGEST: Duration = Duration::from_secs(2);
/// Longest wait for each attempt to report that.
// Two ways, so half a second at most after `LONGEST`.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// The output of all executors of this process. The end of `main` waits for it.
static EVERYWHERE: Mutex<Vec<(WeakGauge<KeptLine>, WeakGauge<Item>)>> = Mutex::new(Vec::new());

/// An executor's outputs to the program.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    events: Events,
    output: Output,
}

/// Waits for output that is not written. It does not keep the threads running.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    lines: Gauge<KeptLine>,
    events: Gauge<Item>,
}

impl Reporting {
    /// For the subscriber of the calling thread, the receiver of notices, and a sink or this program's streams. The
    /// buffer holds so many bytes of lines.
    ///
    /// # Errors
    /// When the thread that a sink needs cannot be started.
    pub(crate) fn begin(
        notices: Notices,
        sink: Option<OutputSink>,
        buffer: Option<usize>,
    ) -> io::Result<Self> {
        let events = Events::for_this_thread(notices);
        let buffer = buffer.unwrap_or(crate::report::output::LIMIT);
        let output = match sink {
            None => Output::to_streams(buffer, events.clone()),
            Some(sink) => Output::to_sink(sink, buffer, events.clone())?,
        };
        let reporting = Self { events, output };
        let Written { lines, events } = reporting.written();
        let mut everywhere = lock(&EVERYWHERE);
        // Executors that are gone and written are removed, so that a program which builds many does not gather them.
        everywhere.retain(|(lines, events)| lines.is_alive() || events.is_alive());
        everywhere.push((lines.downgrade(), events.downgrade()));
        drop(everywhere);
        Ok(reporting)
    }

    /// The receiver of the lines of tasks, which never waits.
    pub(crate) fn sink(&self) -> OutputSink {
        self.output.sink()
    }

    /// A runtime of one thread. Code that runs within [`Self::within`] on it, and on its threads for blocking work,
    /// never waits for a subscriber.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        let events = self.within(Inherited::from_here);
        Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || events.keep())
            .build()
    }

    /// Runs code that must not wait for a subscriber.
    pub(crate) fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        self.events.within(life)
    }

    /// A view of the lines that are not written.
    pub(crate) fn lines(&self) -> Gauge<KeptLine> {
        self.output.gauge()
    }

    pub(crate) fn written(&self) -> Written {
        Written {
            lines: self.lines(),
            events: self.events.gauge(),
        }
    }
}

impl Written {
    /// Waits until all output so far is written, 2 s at most; then reports how much is not.
    pub(crate) async fn wait(&self) {
        let both = join(self.lines.emptied(), self.events.emptied());
        let late = Deadline::after(LONGEST);
        // Both at once: one blocked reader must not cost twice the time.
        if matches!(select(both, late).await, Either::Left(_)) {
            // Output that came meanwhile is not late.
            return;
        }
        let Some(words) = Missing::of([self]).words() else {
            return;
        };
        // The second way only if the first does not end in time: the subscriber may be what is blocked.
        for way in WAYS {
            let (sender, receiver) = oneshot::channel();
            elsewhere(way, words.clone(), move || sender.send(()).unwrap_or(()));
            let late = Deadline::after(LAST_WORDS);
            if let Either::Left((Ok(()), _)) = select(receiver, late).await {
                return;
            }
        }
    }

    /// The same for a thread that may block.
    #[cfg(unix)]
    pub(crate) fn wait_here(&self) {
        wait_for(std::slice::from_ref(self));
    }
}

/// Waits, at the end of `main`, for the output that the executors of this process have not written.
pub(crate) fn wait_everywhere() {
    // Taken out of the lock: the wait may last 2 s, and another thread may build an executor.
    let everywhere = std::mem::take(&mut *lock(&EVERYWHERE));
    let living = everywhere.iter().filter_map(|(lines, events)| {
        Some(Written {
            lines: lines.upgrade()?,
            events: events.upgrade()?,
        })
    });
    wait_for(&living.collect::<Vec<_>>());
}

fn wait_for(all: &[Written]) {
    // One end for all executors: their waits do not add up.
    let end = Instant::now() + LONGEST;
    let mut in_time = true;
    for Written { lines, events } in all {
        in_time &= lines.wait_until(end);
        in_time &= events.wait_until(end);
    }
    if in_time {
        // Output that came meanwhile is not late.
        return;
    }
    let Some(words) = Missing::of(all).words() else {
        return;
    };
    for way in WAYS {
        let (sender, receiver) = mpsc::channel();
        elsewhere(way, words.clone(), move || {
            sender.send(()).unwrap_or_default()
        });
        if receiver.recv_timeout(LAST_WORDS).is_ok() {
            return;
        }
    }
}

/// The output that is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Missing {
    lines: u64,
    dropped_lines: u64,
    events: u64,
    dropped_events: u64,
}

impl Missing {
    fn of<'a>(all: impl IntoIterator<Item = &'a Written>) -> Self {
        let mut sum = Self::default();
        for Written { lines, events } in all {
            let (lines, events) = (lines.backlog(), events.backlog());
            sum.lines += lines.waiting;
            sum.dropped_lines += lines.dropped;
            sum.events += events.waiting;
            sum.dropped_events += events.dropped;
        }
        sum
    }

    /// A sentence, if something is missing. Dropped items whose gap is marked are not repeated.
    fn words(self) -> Option<String> {
        let part = |waiting: u64, dropped: u64, what: &str| {
            let before = match dropped {
                0 => String::new(),
                dropped => format!(" ({dropped} more were left out before)"),
            };
            (waiting > 0).then(|| format!("{waiting} {what}{before}"))
        };
        let lines = part(
            self.lines,
            self.dropped_lines,
            "lines of tasks, because standard output, standard error or the sink given to `output` is blocked",
        );
        let events = part(
            self.events,
            self.dropped_events,
            "tracing events and warnings of podpool, because the subscriber is blocked",
        );
        let parts: Vec<_> = lines.into_iter().chain(events).collect();
        (!parts.is_empty()).then(|| {
            format!(
                "not written after {} s: {}; they are written if that changes before the program ends",
                LONGEST.as_secs(),
                parts.join("; and ")
            )
        })
    }
}

/// A way to report something, which may block.
type Way = fn(&str);

/// The ways, in order: the subscriber, or standard error where there is none; then standard error.
const WAYS: [Way; 2] = [warn_user, write_plainly];

fn write_plainly(words: &str) {
    writeln!(io::stderr(), "podpool: {words}").ok();
}

/// Writes a line to standard error, and waits a moment for it: the program's last one.
#[cfg(unix)]
pub(crate) fn write_elsewhere(words: &str) {
    let (sender, receiver) = mpsc::channel();
    elsewhere(write_plainly, words.to_owned(), move || {
        sender.send(()).unwrap_or_default()
    });
    // If it cannot be written, there is no reader.
    receiver.recv_timeout(LAST_WORDS).ok();
}

/// Reports something on a thread of its own, and signals when that is done.
fn elsewhere(way: Way, words: String, done: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("podpool-report".to_owned());
    let started = thread.spawn(move || {
        way(&words);
        done();
    });
    // Not joined: the write may block for ever, and the thread ends with the process. A refused thread drops `done`, so
    // the caller goes on at once.
    drop(started);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_output_is_reported_with_its_count() {
        assert_eq!(Missing::default().words(), None);
        let dropped = Missing {
            dropped_lines: 3,
            ..Missing::default()
        };
        assert_eq!(dropped.words(), None, "the mark of the gap reports it");
        let words = Missing {
            lines: 7,
            dropped_lines: 3,
            events: 2,
            dropped_events: 0,
        };
        let words = words.words().unwrap();
        assert!(words.contains("7 lines of tasks"), "{words}");
        assert!(words.contains("3 more were left out before"), "{words}");
        assert!(words.contains("2 tracing events"), "{words}");
    }
}
