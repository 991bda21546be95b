//! The lines that tasks print, on the master's own streams.

use std::fmt::Write as _;
use std::io::Write as _;

use podpool_core::slot::Stream;
use podpool_core::worker::OutputLine;

/// Passes a line on to the stream it was meant for, with worker and task, or the slot, in front.
///
/// This is the tasks' own voice, not the library's: a `println!` in a task is seen on a laptop as it would be
/// without a pool.
pub(crate) fn pass_on(line: OutputLine<'_>) {
    let text = written(line);
    // A closed terminal must not end the pool.
    match line.stream {
        Stream::Stdout => std::io::stdout().write_all(text.as_bytes()).ok(),
        Stream::Stderr => std::io::stderr().write_all(text.as_bytes()).ok(),
    };
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
    // A string takes everything.
    writeln!(text, "[{}] {}", words.join(" "), line.line).ok();
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
