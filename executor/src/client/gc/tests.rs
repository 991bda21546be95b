//! What people read of leftovers.

use super::look::examples::job;
use super::*;

#[test]
fn a_leftover_says_what_it_is_and_whose() {
    let text = job("nightly-1").to_string();
    let expected = "job pp-nightly-1-c0 of namespace batch (run nightly-1, named nightly, until 1970-01-01T00:01:00Z)";
    assert_eq!(text, expected);
}

#[test]
fn an_error_says_where_it_could_not_look() {
    let error = GcError::at("namespace batch")("no right".to_owned());
    let text = error.to_string();
    assert_eq!(
        text,
        "cannot look for what runs left in namespace batch: no right; nothing was removed"
    );
}
