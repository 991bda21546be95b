//! The output of a process to its program: printed lines, events, notices. Each receiver may block, so lines have a
//! thread of their own, and events with notices another.

pub(crate) mod events;
pub(crate) mod notices;
pub(crate) mod outlet;
pub(crate) mod output;
pub(crate) mod reporting;
