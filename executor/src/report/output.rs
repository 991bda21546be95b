//! The lines that tasks print, on the master's own streams or in the program's sink.
//!
//! Tasks wait for neither: a thread, "podpool-output", writes what a bounded buffer holds.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use podpool_core::forked::Origin;
use podpool_core::key::ShownKey;
use podpool_core::panics::panic_text;
use podpool_core::slot::Stream;
use podpool_core::thrown::discard;
use podpool_core::worker::{KeptLine, OutputLine, OutputSink};

use crate::report::events::Events;
use crate::report::outlet::{Consumer, Gauge, Outlet, Pushed};

/// Bytes of lines that may wait by default.
// Two seconds of one slot at its full rate (4 MiB a second): as long as the end of a program waits for output at most.
pub(crate) const LIMIT: usize = 8 << 20;

const THREAD: &str = "podpool-output";

/// The place where the worker, and dispatch, put lines.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    outlet: Outlet<KeptLine>,
    events: Events,
    limit: usize,
}

impl Output {
    /// For this program's streams.
    pub(crate) fn to_streams(limit: usize, events: Events) -> Self {
        let outlet = Outlet::new(THREAD, limit, left_out, Streams::default());
        events.write_notices_after(outlet.gauge());
        Self {
            outlet,
            events,
            limit,
        }
    }

    /// For a sink of the program, which is called and dropped on the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    // The thread is started here and not with the first line: a refusal is an error of `build()`, and from then on the
    // program's sink is dropped on that thread, where its drop may block.
    pub(crate) fn to_sink(sink: OutputSink, limit: usize, events: Events) -> io::Result<Self> {
        let sink = Sink {
            sink,
            events: events.clone(),
            failed: false,
            origin: Origin::here(),
        };
        let outlet = Outlet::new(THREAD, limit, left_out, sink);
        outlet.start()?;
        events.write_notices_after(outlet.gauge());
        Ok(Self {
            outlet,
            events,
            limit,
        })
    }

    /// Takes a line, without blocking.
    pub(crate) fn sink(&self) -> OutputSink {
        let output = self.clone();
        Arc::new(move |line| output.push(line))
    }

    fn push(&self, line: OutputLine<'_>) {
        // Copied: the worker's line borrows a buffer that it reads the next line into.
        let line = KeptLine::from(line);
        if self.outlet.push(line.bytes(), line) == Pushed::FirstDropped {
            self.events.notice(format!(
                "lines that tasks print are left out whenever {} bytes of them are buffered: standard output and standard error, or the sink given to `output`, are too slow or blocked; the tasks continue. Read the lines faster, print less, or raise `output_buffer`",
                self.limit
            ));
        }
    }

    pub(crate) fn gauge(&self) -> Gauge<KeptLine> {
        self.outlet.gauge()
    }
}

fn left_out(lost: u64) -> KeptLine {
    KeptLine::notice(format!(
        "podpool: {lost} lines of tasks were left out here: they are read too slowly"
    ))
}

/// Writes lines to standard output and standard error.
///
/// These are the tasks' lines, not the library's: a `println!` in a task is seen on a laptop as it would be without a
/// pool.
#[derive(Default)]
struct Streams {
    text: String,
}

impl Consumer<KeptLine> for Streams {
    fn take(&mut self, lines: &mut VecDeque<KeptLine>) {
        let mut stream = None;
        for kept in lines.drain(..) {
            let line = kept.line();
            // One write for neighbouring lines of a stream; a change of streams flushes, so that a terminal shows both
            // in the order in which they came.
            if stream.is_some_and(|stream| stream != line.stream) {
                self.flush(stream);
            }
            stream = Some(line.stream);
            self.text.push_str(&written(line));
        }
        self.flush(stream);
    }
}

impl Streams {
    /// Writes the gathered lines of a stream, in one piece.
    fn flush(&mut self, stream: Option<Stream>) {
        let bytes = self.text.as_bytes();
        // `write_all` and not `println!`, which panics where the stream is closed: a closed terminal must not end the
        // pool.
        match stream {
            Some(Stream::Stdout) => io::stdout().write_all(bytes).ok(),
            Some(Stream::Stderr) => io::stderr().write_all(bytes).ok(),
            None => None,
        };
        self.text.clear();
    }
}

/// Passes lines to the program's sink.
struct Sink {
    sink: OutputSink,
    events: Events,
    /// It panicked before, and a warning was emitted.
    failed: bool,
    origin: Origin,
}

impl Consumer<KeptLine> for Sink {
    fn take(&mut self, lines: &mut VecDeque<KeptLine>) {
        for line in lines.drain(..) {
            let given = catch_unwind(AssertUnwindSafe(|| (self.sink)(line.line())));
            // A child process forked by the sink would receive the next lines again.
            self.origin.end_copy();
            let Err(panic) = given else {
                continue;
            };
            if !std::mem::replace(&mut self.failed, true) {
                self.events.notice(format!(
                    "the sink given to `output` panicked: {}; that line is lost, later lines are still passed to it, and further panics are not reported",
                    panic_text(panic)
                ));
            } else {
                discard(panic);
            }
        }
    }
}

/// `[crate::task #3 "key"] …` of this machine's worker, `[pod crate::task #3 "key"] …` of another.
fn written(line: OutputLine<'_>) -> String {
    let mut words = Vec::with_capacity(4);
    words.extend(line.worker.map(ToOwned::to_owned));
    if let Some((task, attempt)) = line.task {
        words.extend(line.name.map(ToOwned::to_owned));
        words.push(task.to_string());
        words.extend(line.key.map(|key| ShownKey(key).to_string()));
        if attempt.0 > 1 {
            words.push(format!("attempt {attempt}"));
        }
    } else if let Some(slot) = line.slot {
        words.push(format!("slot {}", slot.0));
    }
    let mut text = String::with_capacity(line.line.len() + 64);
    if !words.is_empty() {
        // A string takes everything.
        write!(text, "[{}] ", words.join(" ")).ok();
    }
    text.push_str(line.line);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use podpool_core::envelope::{PrintedLine, PrintedTask};
    use podpool_core::id::{Attempt, TaskId};
    use podpool_core::slot::SlotId;

    use super::*;

    fn task(attempt: u32, key: Option<&str>) -> PrintedTask {
        PrintedTask {
            task: TaskId(3),
            attempt: Attempt(attempt),
            name: "a::b".into(),
            key: key.map(Into::into),
        }
    }

    fn remote(task: Option<&PrintedTask>) -> String {
        let line = PrintedLine {
            task: task.map(|_| 0),
            error: false,
            text: "hello".to_owned(),
        };
        // As it is after a stay in the buffer.
        written(KeptLine::from(OutputLine::remote("pod-1", task, &line)).line())
    }

    #[test]
    fn a_line_begins_with_the_known_parts_of_its_origin() {
        assert_eq!(remote(None), "[pod-1] hello\n");
        let first = task(1, None);
        assert_eq!(remote(Some(&first)), "[pod-1 a::b #3] hello\n");
        let keyed = task(1, Some("BTC"));
        assert_eq!(remote(Some(&keyed)), "[pod-1 a::b #3 \"BTC\"] hello\n");
        let second = task(2, Some("a\nb"));
        assert_eq!(
            remote(Some(&second)),
            "[pod-1 a::b #3 \"a\\nb\" attempt 2] hello\n"
        );
        let here = |task| written(OutputLine::here(SlotId(1), task, Stream::Stderr, "hello"));
        assert_eq!(here(None), "[slot 1] hello\n");
        assert_eq!(here(Some(&keyed)), "[a::b #3 \"BTC\"] hello\n");
    }
}
