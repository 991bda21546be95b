//! The termination message of a pod, read.
//!
//! A worker keeps its running list there, as `{"running":[["00000000deadbeef",7,41,1],…]}` (worker, execution, task,
//! attempt), so that a kill leaves proof. Any other text is for people: an error, or the end of the pod's log.

use podpool_core::id::{Attempt, ExecutionId, TaskId, WorkerId};
use serde::Deserialize;

/// Longest text that is kept of a log, in bytes.
const TEXT: usize = 700;

/// The beginning of the text that a node writes when there is neither a termination message nor a log. The rest is
/// paths of the node, of no use to the user.
const NOTHING: &str = "Error on reading termination";

/// A termination message, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminationMessage {
    /// The executions that were running.
    pub running: Vec<(ExecutionId, TaskId, Attempt)>,
    /// The text for people; empty if there is none.
    pub text: String,
}

/// One row of the list.
#[derive(Deserialize)]
struct Row(String, u64, u64, u32);

impl TerminationMessage {
    /// Reads a message. Rows that cannot be read are left out: the worker may have been killed in the middle of a
    /// write.
    // Not a parser of JSON: such a parser would refuse a list that is cut short as a whole. A task could print a text
    // of this form to the log, which stands in for a missing message; dispatch counts rows of the pod's own worker
    // alone.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let message = message.trim();
        if message.starts_with(NOTHING) {
            return Self::default();
        }
        let Some(list) = message
            .strip_prefix('{')
            .map(str::trim_start)
            .and_then(|rest| rest.strip_prefix("\"running\""))
        else {
            return Self {
                running: Vec::new(),
                text: tail(message),
            };
        };
        let rows = list.trim_start_matches([' ', ':', '\n']);
        let rows = rows.strip_prefix('[').unwrap_or_default();
        // Each row ends with a bracket. `map_while` stops at the list's own end, so that the rest of an older and
        // longer list behind it is not read.
        let running = rows
            .split(']')
            .map_while(|row| row.trim_start_matches([',', ' ', '\n']).strip_prefix('['))
            .filter_map(|row| serde_json::from_str(&format!("[{row}]")).ok())
            .filter_map(execution)
            .collect();
        Self {
            running,
            text: String::new(),
        }
    }
}

fn execution(Row(worker, number, task, attempt): Row) -> Option<(ExecutionId, TaskId, Attempt)> {
    let worker = WorkerId(u64::from_str_radix(&worker, 16).ok()?);
    Some((
        ExecutionId { worker, number },
        TaskId(task),
        Attempt(attempt),
    ))
}

/// The end of a text, whole lines if there is room, on one line.
fn tail(text: &str) -> String {
    let mut from = text.len().saturating_sub(TEXT);
    // Three steps at most, because a character has four bytes at most, and the length is a boundary.
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let end = &text[from..];
    let whole = match end.split_once('\n') {
        Some((_, rest)) if from > 0 && !rest.is_empty() => rest,
        _ => end,
    };
    let lines = whole.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(worker: u64, number: u64, task: u64, attempt: u32) -> (ExecutionId, TaskId, Attempt) {
        let worker = WorkerId(worker);
        (
            ExecutionId { worker, number },
            TaskId(task),
            Attempt(attempt),
        )
    }

    #[test]
    fn a_running_list_is_read() {
        let words = TerminationMessage::read(
            r#"{"running":[["00000000deadbeef",7,41,1],["00000000deadbeef",8,42,3]]}"#,
        );
        assert_eq!(
            words.running,
            [row(0xdead_beef, 7, 41, 1), row(0xdead_beef, 8, 42, 3)]
        );
        assert_eq!(words.text, "");
        assert_eq!(
            TerminationMessage::read(r#"{ "running" : [] }"#),
            TerminationMessage::default()
        );
    }

    #[test]
    fn a_list_that_was_cut_keeps_its_whole_rows() {
        let words =
            TerminationMessage::read(r#"{"running":[["00000000deadbeef",7,41,1],["00000000deadbe"#);
        assert_eq!(words.running, [row(0xdead_beef, 7, 41, 1)]);
        let words = TerminationMessage::read(
            r#"{"running":[["no hex",7,41,1],["a",1,2,3]],"x":[["b",1,2,3]]}"#,
        );
        assert_eq!(words.running, [row(10, 1, 2, 3)]);
    }

    #[test]
    fn other_text_is_kept_for_people_from_its_end() {
        assert_eq!(
            TerminationMessage::read("no such topic\ngrant it\n").text,
            "no such topic | grant it"
        );
        let long = format!("{}\nthe last line ü", "x".repeat(3_000));
        assert_eq!(TerminationMessage::read(&long).text, "the last line ü");
        let wide = "ü".repeat(3_000);
        assert!(TerminationMessage::read(&wide).text.len() <= TEXT);
        assert_eq!(TerminationMessage::read("").text, "");
        let node = "Error on reading termination message from logs: failed to try resolving";
        assert_eq!(
            TerminationMessage::read(node),
            TerminationMessage::default()
        );
    }
}
