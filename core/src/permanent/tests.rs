//! Tests of errors that no further attempt can change.

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
