//! Notices: one line when something changes that a person would ask for.
//!
//! A notice is a tracing event with the target [`NOTICE`], at `warn` for trouble and at `info` for its end and for what
//! was asked for. Its message is whole: it names the thing, says what podpool does about it, and has no other fields. A
//! program that has a subscriber gets it as any event; for others podpool prints it on standard error.

/// The target of notices: `tracing::warn!(target: NOTICE, "4 of 10 workers run; 6 wait for cpu")`.
pub const NOTICE: &str = "podpool::notice";
