//! Why an output was not committed.

/// Why an output was not committed. The text names the path, what is written, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The attempt was cancelled before the output was in its place, or its timeout was over. Nothing was written.
    #[error(
        "the output {path} was not committed: the attempt was cancelled, or its time is over, and nothing was written; \
         return from the task, for the result of this attempt is not used"
    )]
    Cancelled {
        /// The path or URL.
        path: String,
    },
    /// The path cannot be used, or the file system or the store refused the output. Nothing was written.
    #[error("the output {path} was not committed: {reason}; {advice}")]
    Refused {
        /// The path or URL, without credentials.
        path: String,
        /// What was refused.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// It is not known whether the output is written, or whether it outlives a loss of power. If it is written, it is
    /// complete.
    #[error(
        "the output {path} may be committed or not: {reason}; return the error, and let another attempt commit it or \
         find it complete"
    )]
    Unsure {
        /// The path or URL, without credentials.
        path: String,
        /// What happened.
        reason: String,
    },
    /// The task declares no output.
    #[error(
        "the task has no output of its own; declare one with #[podpool::task(output = \"…\")], or give commit_once a path"
    )]
    NoOutput,
}
