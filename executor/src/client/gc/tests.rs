//! The texts about leftovers.

use super::look::examples::job;
use super::*;

#[test]
fn a_leftover_is_named_with_its_run() {
    let text = job("nightly-1").to_string();
    let expected = "job pp-nightly-1-c0 of namespace batch (run nightly-1, named nightly, until 1970-01-01T00:01:00Z)";
    assert_eq!(text, expected);
}

#[test]
fn an_error_names_the_place_that_could_not_be_listed() {
    let error = GcError::at("namespace batch")("no right".to_owned());
    let text = error.to_string();
    assert_eq!(
        text,
        "cannot list the leftovers of runs in namespace batch: no right; nothing was removed"
    );
}
