//! A task's own error on its way to a [`Failure`]: its text, its causes, and whether another attempt makes sense.

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
/// # fn parse(text: &str) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
/// let number = text.parse().map_err(podpool_core::permanent)?;
/// # Ok(number)
/// # }
/// # assert!(parse("x").is_err());
/// ```
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
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Boxed);

    fn boxed(error: impl Into<Boxed>) -> Boxed {
        error.into()
    }

    fn judge(error: Boxed, retryable: bool) -> Failure {
        let error: Box<dyn Error> = error;
        failed(&*error, retryable)
    }

    #[test]
    fn an_error_keeps_its_text_and_its_causes() {
        let failure = judge(boxed(Outer(boxed(Outer(boxed("root"))))), true);
        assert_eq!(failure.cause, Cause::Failed);
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.chain, ["outer", "root"]);
        assert!(failure.retryable);
        assert!(!judge(boxed("x"), false).retryable);
    }

    #[test]
    fn the_mark_is_found_wherever_it_sits_and_adds_no_text() {
        let failure = judge(boxed(permanent(Outer(boxed("root")))), true);
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.chain, ["root"]);
        assert!(!failure.retryable);

        let failure = judge(boxed(Outer(boxed(permanent("root")))), true);
        assert_eq!(failure.chain, ["root"]);
        assert!(!failure.retryable);
    }

    #[test]
    fn the_mark_survives_anyhow() {
        fn question_mark() -> anyhow::Result<()> {
            Err(permanent("bad symbol"))?;
            Ok(())
        }
        use anyhow::Context as _;
        let bare = judge(question_mark().unwrap_err().into(), true);
        assert_eq!(
            (bare.message.as_str(), bare.retryable),
            ("bad symbol", false)
        );
        assert!(bare.chain.is_empty());
        let context = question_mark().context("reading").context("cleaning");
        let wrapped = judge(context.unwrap_err().into(), true);
        assert_eq!(wrapped.message, "cleaning");
        assert_eq!(wrapped.chain, ["reading", "bad symbol"]);
        assert!(!wrapped.retryable);
    }

    #[test]
    fn an_endless_chain_is_cut() {
        #[derive(Debug)]
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("again")
            }
        }
        impl Error for Endless {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(self)
            }
        }
        assert_eq!(judge(boxed(Endless), true).chain.len(), LINKS);
    }

    #[test]
    fn the_error_within_can_be_taken_back() {
        let error = permanent(std::fmt::Error);
        assert!(error.get_ref().is::<std::fmt::Error>());
        assert_eq!(error.to_string(), std::fmt::Error.to_string());
        assert!(error.into_inner().is::<std::fmt::Error>());
    }
}
