//! The lines that tasks print, on the master's own streams.

use std::io::Write;

use podpool_core::slot::Stream;
use podpool_core::worker::OutputLine;

/// Passes a line on to the stream it was meant for, with the task or the slot in front.
///
/// This is the tasks' own voice, not the library's: a `println!` in a task is seen on a laptop as it would be
/// without a pool.
pub(crate) fn pass_on(line: OutputLine<'_>) {
    let text = match line.task {
        Some((task, attempt)) if attempt.0 > 1 => {
            format!("[{task} attempt {attempt}] {}\n", line.line)
        }
        Some((task, _)) => format!("[{task}] {}\n", line.line),
        None => format!("[slot {}] {}\n", line.slot.0, line.line),
    };
    // A closed terminal must not end the pool.
    match line.stream {
        Stream::Stdout => std::io::stdout().write_all(text.as_bytes()).ok(),
        Stream::Stderr => std::io::stderr().write_all(text.as_bytes()).ok(),
    };
}
