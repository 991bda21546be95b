//! The lines that tasks print, on the master's own streams.

use std::io::Write;

#[cfg(feature = "kubernetes")]
use podpool_core::envelope::PrintedLine;
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

/// The same for a line that came from another process: `[pod crate::task #3] …`.
#[cfg(feature = "kubernetes")]
pub(crate) fn pass_on_remote(worker: &str, task: Option<&str>, line: &PrintedLine) {
    let text = match (task, line.task) {
        (Some(name), Some((id, attempt))) if attempt.0 > 1 => {
            format!("[{worker} {name} {id} attempt {attempt}] {}\n", line.text)
        }
        (Some(name), Some((id, _))) => format!("[{worker} {name} {id}] {}\n", line.text),
        (None, Some((id, _))) => format!("[{worker} {id}] {}\n", line.text),
        (_, None) => format!("[{worker}] {}\n", line.text),
    };
    if line.error {
        std::io::stderr().write_all(text.as_bytes()).ok();
    } else {
        std::io::stdout().write_all(text.as_bytes()).ok();
    }
}
