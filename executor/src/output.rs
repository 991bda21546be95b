//! The lines that tasks print, on the master's own streams or in the program's sink.
//!
//! Neither is waited for: a thread, "podpool-output", writes what a bounded buffer holds.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use podpool_core::forked::Origin;
use podpool_core::panics::panic_text;
use podpool_core::slot::Stream;
use podpool_core::thrown::discard;
use podpool_core::worker::{KeptLine, OutputLine, OutputSink};

use crate::events::Events;
use crate::outlet::{Consumer, Gauge, Outlet, Pushed};

/// Bytes of lines that may wait by default.
pub(crate) const LIMIT: usize = 8 << 20;

const THREAD: &str = "podpool-output";

/// Where the worker, and dispatch, put the lines.
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

    /// For a sink of the program, which lives and ends on the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn to_sink(sink: OutputSink, limit: usize, events: Events) -> io::Result<Self> {
        let sink = Sink {
            sink,
            events: events.clone(),
            failed: false,
            origin: Origin::here(),
        };
        let outlet = Outlet::new(THREAD, limit, left_out, sink);
        outlet.start()?;
        Ok(Self {
            outlet,
            events,
            limit,
        })
    }

    /// Takes a line, without waiting for anybody.
    pub(crate) fn sink(&self) -> OutputSink {
        let output = self.clone();
        Arc::new(move |line| output.push(line))
    }

    fn push(&self, line: OutputLine<'_>) {
        let line = KeptLine::from(line);
        if self.outlet.push(line.bytes(), line) == Pushed::FirstDropped {
            self.events.notice(format!(
                "lines that tasks print are left out whenever {} bytes of them wait: standard output and standard error, \
                 or the sink given to `output`, take them too slowly or not at all; the tasks go on. Read them faster, \
                 print less, or raise `output_buffer`",
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
        "podpool: {lost} lines of tasks were left out here: they are taken too slowly"
    ))
}

/// Writes lines to standard output and standard error.
///
/// This is the tasks' own voice, not the library's: a `println!` in a task is seen on a laptop as it would be
/// without a pool.
#[derive(Default)]
struct Streams {
    text: String,
}

impl Consumer<KeptLine> for Streams {
    fn take(&mut self, lines: &mut VecDeque<KeptLine>) {
        let mut stream = None;
        for kept in lines.drain(..) {
            let line = kept.line();
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
    /// Writes what was gathered for a stream, in one piece.
    fn flush(&mut self, stream: Option<Stream>) {
        let bytes = self.text.as_bytes();
        // A closed terminal must not end the pool.
        match stream {
            Some(Stream::Stdout) => io::stdout().write_all(bytes).ok(),
            Some(Stream::Stderr) => io::stderr().write_all(bytes).ok(),
            None => None,
        };
        self.text.clear();
    }
}

/// Gives lines to the program.
struct Sink {
    sink: OutputSink,
    events: Events,
    /// It panicked before, which was said.
    failed: bool,
    origin: Origin,
}

impl Consumer<KeptLine> for Sink {
    fn take(&mut self, lines: &mut VecDeque<KeptLine>) {
        for line in lines.drain(..) {
            let given = catch_unwind(AssertUnwindSafe(|| (self.sink)(line.line())));
            // A child that it forked would give it the next lines again.
            self.origin.end_copy();
            let Err(panic) = given else {
                continue;
            };
            if !std::mem::replace(&mut self.failed, true) {
                self.events.notice(format!(
                    "the sink given to `output` panicked: {}; that line is lost, and it is given those that follow; \
                     further panics are not reported",
                    panic_text(panic)
                ));
            } else {
                discard(panic);
            }
        }
    }
}

/// `[#3] …` of this machine's worker, `[pod crate::task #3] …` of another.
fn written(line: OutputLine<'_>) -> String {
    let mut words = Vec::with_capacity(4);
    words.extend(line.worker.map(ToOwned::to_owned));
    if let Some((task, attempt)) = line.task {
        words.extend(line.name.map(ToOwned::to_owned));
        words.push(task.to_string());
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
    use podpool_core::envelope::PrintedLine;
    use podpool_core::id::{Attempt, TaskId};

    use super::*;

    fn remote(task: Option<(TaskId, Attempt)>, name: Option<&'static str>) -> String {
        let line = PrintedLine {
            task,
            error: false,
            text: "hello".to_owned(),
        };
        written(OutputLine::remote("pod-1", name, &line))
    }

    #[test]
    fn what_is_known_of_its_origin_stands_before_a_line() {
        let first = Some((TaskId(3), Attempt::FIRST));
        assert_eq!(remote(None, None), "[pod-1] hello\n");
        assert_eq!(remote(first, None), "[pod-1 #3] hello\n");
        assert_eq!(remote(first, Some("a::b")), "[pod-1 a::b #3] hello\n");
        let second = Some((TaskId(3), Attempt(2)));
        assert_eq!(
            remote(second, Some("a::b")),
            "[pod-1 a::b #3 attempt 2] hello\n"
        );
    }
}
