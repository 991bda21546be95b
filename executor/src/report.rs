//! What a process reports to its program: printed lines, events, notices. Each may block, so each has a thread of its own.

pub(crate) mod events;
pub(crate) mod notices;
pub(crate) mod outlet;
pub(crate) mod output;
pub(crate) mod reporting;
