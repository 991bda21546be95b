//! Everything that podpool says to the program and its user: lines of tasks, tracing events, warnings.
//!
//! Each goes through a bounded buffer to a thread of its own. Whoever ends an executor waits for what they hold, but not
//! for long.

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
use crate::report::events::{Events, Item, say};
use crate::report::notices::Notices;
use crate::report::outlet::{Gauge, WeakGauge};
use crate::report::output::Output;

/// The longest that a shutdown, or the end of `main`, waits for what is not written.
const LONGEST: Duration = Duration::from_secs(2);
/// The longest that it waits for each way to say so.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What the executors of this process have not written. `main` looks at it when it ends.
static EVERYWHERE: Mutex<Vec<(WeakGauge<KeptLine>, WeakGauge<Item>)>> = Mutex::new(Vec::new());

/// An executor's way to the program.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    events: Events,
    output: Output,
}

/// Waits for what was said. It does not keep the threads.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    lines: Gauge<KeptLine>,
    events: Gauge<Item>,
}

impl Reporting {
    /// For the subscriber of the thread that calls, who hears notices, and a sink, or this program's streams. So many
    /// bytes of lines may wait.
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
        everywhere.retain(|(lines, events)| lines.is_alive() || events.is_alive());
        everywhere.push((lines.downgrade(), events.downgrade()));
        drop(everywhere);
        Ok(reporting)
    }

    /// What takes the lines of tasks, without waiting.
    pub(crate) fn sink(&self) -> OutputSink {
        self.output.sink()
    }

    /// A runtime of one thread. What runs within [`Self::within`] on it, and beside it where something blocks, never
    /// waits for a subscriber.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        let events = self.within(Inherited::from_here);
        Builder::new_current_thread()
            .enable_all()
            .on_thread_start(move || events.keep())
            .build()
    }

    /// Runs what must not wait for a subscriber.
    pub(crate) fn within<T>(&self, life: impl FnOnce() -> T) -> T {
        self.events.within(life)
    }

    /// What holds the lines that are not written.
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
    /// Waits until all that was said by now is written, 2 s at the longest; says then how much is not.
    pub(crate) async fn wait(&self) {
        let both = join(self.lines.emptied(), self.events.emptied());
        let late = Deadline::after(LONGEST);
        if matches!(select(both, late).await, Either::Left(_)) {
            // What came meanwhile is not late.
            return;
        }
        let Some(words) = Missing::of([self]).words() else {
            return;
        };
        for way in WAYS {
            let (tell, told) = oneshot::channel();
            elsewhere(way, words.clone(), move || tell.send(()).unwrap_or(()));
            let late = Deadline::after(LAST_WORDS);
            if let Either::Left((Ok(()), _)) = select(told, late).await {
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

/// Waits, at the end of `main`, for what the executors of this process have not written.
pub(crate) fn wait_everywhere() {
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
    let end = Instant::now() + LONGEST;
    let mut in_time = true;
    for Written { lines, events } in all {
        in_time &= lines.wait_until(end);
        in_time &= events.wait_until(end);
    }
    if in_time {
        // What came meanwhile is not late.
        return;
    }
    let Some(words) = Missing::of(all).words() else {
        return;
    };
    for way in WAYS {
        let (tell, told) = mpsc::channel();
        elsewhere(way, words.clone(), move || {
            tell.send(()).unwrap_or_default()
        });
        if told.recv_timeout(LAST_WORDS).is_ok() {
            return;
        }
    }
}

/// What is not written.
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

    /// A sentence, if something is missing. What was dropped and has been said where it is missing is not repeated.
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
            "lines of tasks, which standard output, standard error or the sink given to `output` does not take",
        );
        let events = part(
            self.events,
            self.dropped_events,
            "tracing events and warnings of podpool, which the subscriber does not take",
        );
        let parts: Vec<_> = lines.into_iter().chain(events).collect();
        (!parts.is_empty()).then(|| {
            format!(
                "not written after {} s: {}; they will be if they are taken before the program ends",
                LONGEST.as_secs(),
                parts.join("; and ")
            )
        })
    }
}

/// A way to say something that may block.
type Way = fn(&str);

/// What is tried: the subscriber, or standard error where there is none; then standard error.
const WAYS: [Way; 2] = [say, write_plainly];

fn write_plainly(words: &str) {
    writeln!(io::stderr(), "podpool: {words}").ok();
}

/// Writes a line to standard error, and waits a moment for it: the program's last one.
#[cfg(unix)]
pub(crate) fn write_elsewhere(words: &str) {
    let (tell, told) = mpsc::channel();
    elsewhere(write_plainly, words.to_owned(), move || {
        tell.send(()).unwrap_or_default()
    });
    // Where it cannot be written, nobody reads it.
    told.recv_timeout(LAST_WORDS).ok();
}

/// Says something on a thread of its own, and tells when it is said.
fn elsewhere(way: Way, words: String, said: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("podpool-report".to_owned());
    let told = thread.spawn(move || {
        way(&words);
        said();
    });
    // Without a thread nothing can be said.
    drop(told);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_missing_is_not_said_and_what_is_missing_is_counted() {
        assert_eq!(Missing::default().words(), None);
        let dropped = Missing {
            dropped_lines: 3,
            ..Missing::default()
        };
        assert_eq!(dropped.words(), None, "the gap says it");
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
