//! Two tasks of one name.

use podpool_core::registry::Registry;
use podpool_macros::task;

#[task(crate = podpool_core, name = "same")]
fn one() {}

#[task(crate = podpool_core, name = "same")]
fn other() {}

#[test]
fn duplicates_are_an_error_that_gives_both_places() {
    drop((one(), other()));
    let error = Registry::global().expect_err("two of one name").to_string();
    assert!(error.contains("two tasks are called same"), "{error}");
    assert!(error.contains("duplicate.rs:7 and "), "{error}");
    assert!(error.contains("duplicate.rs:10"), "{error}");
}
