//! Notices: one line when something changes that a user needs to know.
//!
//! A notice is a tracing event with the target [`NOTICE`], at `warn` for trouble and at `info` for its end. Its message
//! is whole: it names the thing, states what podpool does about it, and has no other fields. A program that has a
//! subscriber gets it as any event, one that has only a logger as a record; for others podpool prints it.

use std::fmt;

use tracing::dispatcher::has_been_set;

/// The target of notices.
pub const NOTICE: &str = "podpool::notice";

/// Reports trouble.
pub fn trouble(text: impl fmt::Display) {
    if has_been_set() {
        tracing::warn!(target: NOTICE, "{text}");
    } else {
        log::warn!(target: NOTICE, "{text}");
    }
}

/// Reports that trouble has ended, or that something was done.
pub fn relief(text: impl fmt::Display) {
    if has_been_set() {
        tracing::info!(target: NOTICE, "{text}");
    } else {
        log::info!(target: NOTICE, "{text}");
    }
}
