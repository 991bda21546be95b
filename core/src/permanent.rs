//! Errors that another attempt cannot avoid: a task marks one with [`permanent`], and fails at once, whatever its
//! `retries` are.

use std::error::Error;
use std::fmt;

use crate::outcome::{Cause, Failure, LINKS, MESSAGE, displayed};

type Boxed = Box<dyn Error + Send + Sync>;

/// An error that another attempt cannot avoid; [`permanent`] makes one.
///
/// It reads as the error within. Its [`source`](Error::source) is a mark, and the mark's is the source of the error
/// within: so the mark is found through any wrapping that keeps the chain, such as `anyhow::Context`.
pub struct Permanent(Mark);

/// Marks an error as not worth retrying: the task fails at once, whatever its `retries` are.
///
/// ```
/// # use podpool_core as podpool;
/// # fn parse(text: &str) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
/// let number = text.parse().map_err(podpool::permanent)?;
/// # Ok(number)
/// # }
/// # assert!(parse("x").is_err());
/// ```
///
/// The error of the task must be able to carry the mark. Such types are `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>`, [`Permanent`] itself, and an enum with a variant that holds a `Permanent` as its
/// source (thiserror's `#[from]`). A `String` or another type without a source cannot: `?` does not compile there. For
/// an error type of your own without such a variant use the attribute's `retry_on`, which judges each error.
///
/// What is marked may be anything that converts into `Box<dyn Error + Send + Sync>`: an error, or a text, as in
/// `permanent("no such day")`. The mark adds nothing to the message.
pub fn permanent(error: impl Into<Box<dyn Error + Send + Sync>>) -> Permanent {
    Permanent(Mark(error.into()))
}

impl Permanent {
    /// The error within.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0.0
    }

    /// Gives the error within back.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn Error + Send + Sync> {
        self.0.0
    }
}

impl fmt::Debug for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permanent").field(&self.0.0).finish()
    }
}

impl fmt::Display for Permanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.fmt(f)
    }
}

impl Error for Permanent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// The link that marks an error as permanent. A type of its own, because an error box may hide the type of its
/// outermost error (anyhow's does), but never that of a source.
#[derive(Debug)]
struct Mark(Boxed);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("marked as not worth retrying")
    }
}

impl Error for Mark {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// The failure that a task's error becomes.
pub(crate) fn failed(error: &(dyn Error + 'static), retryable: bool) -> Failure {
    let mut failure = Failure::new(Cause::Failed, displayed(error, MESSAGE));
    failure.retryable = retryable && !error.is::<Permanent>();
    let mut link = error.source();
    // A chain that is longer than that is cut.
    for _ in 0..LINKS {
        let Some(cause) = link else { break };
        if cause.is::<Mark>() {
            failure.retryable = false;
        } else {
            // Its mark is the next link of the chain. This look counts where the chain is cut between the two.
            failure.retryable &= !cause.is::<Permanent>();
            failure.chain.push(displayed(cause, MESSAGE));
        }
        link = cause.source();
    }
    failure
}

#[cfg(test)]
mod tests;
