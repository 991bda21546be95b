//! The destination of notices: lines about changes that the user should see.

use std::fmt;
use std::sync::Arc;

/// The destination of podpool's notices: one line each, at once, when something changes. A run without problems prints
/// none.
///
/// A notice is emitted when workers are fewer than wanted, with the reason, when one is lost, when an attempt failed
/// and the task is tried again, when a queue does not answer, when topics were made again, at the first and second
/// Ctrl-C, and when such a problem has ended.
///
/// Failed attempts are gathered: the first is a line at once; those of the next 5 s are one line, with the first of
/// them and the number of the others. A task that is not tried again is no notice: its future has the error. Where each
/// failed attempt counts, read [`events`](crate::PodPoolExecutor::events).
///
/// # Tracing and log
///
/// A notice is a [`tracing`] event with the target `podpool::notice`: at `warn`, and at `info` where a problem ended.
/// podpool reports the rest of its work as events too. They go to the subscriber that was set where the executor was
/// built, else to the program's. A thread for this alone passes them on, so the subscriber may block. Only its
/// `register_callsite` is called on any thread, as for every subscriber, and must not wait.
///
/// A program that has a [`log`] logger and no subscriber gets notices as records, and other events where some crate
/// switches on tracing's feature `log`. Those other records reach the logger on podpool's own threads, so such a logger
/// must not wait for a task. A logger that writes to standard output does wait, if the program holds the lock of
/// standard output while it waits for a future.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Notices {
    /// To the program's tracing subscriber, or its logger; to standard error where it has neither.
    #[default]
    Auto,
    /// To standard error, with `podpool: ` in front, and to a subscriber as well.
    StandardError,
    /// To this closure, and to a subscriber as well. It is called on a thread of its own and may block; if it panics,
    /// that notice is lost.
    To(Arc<dyn Fn(&str) + Send + Sync>),
    /// To a subscriber alone.
    Off,
}

impl Notices {
    /// Passes each notice to a closure.
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::To(Arc::new(sink))
    }

    /// Whether notices have a receiver other than the subscriber, if the program may have one.
    pub(crate) const fn are_wanted(&self, by_subscriber: bool) -> bool {
        match self {
            Self::Auto => !by_subscriber,
            Self::StandardError | Self::To(_) => true,
            Self::Off => false,
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "Auto",
            Self::StandardError => "StandardError",
            Self::To(_) => "To(…)",
            Self::Off => "Off",
        })
    }
}
