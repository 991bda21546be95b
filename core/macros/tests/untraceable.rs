//! Tasks whose types have no shape that can be traced, without a version.

use podpool_core::registry::Registry;
use podpool_macros::task;

#[task(crate = podpool_core)]
fn one(value: serde_json::Value) {
    drop(value);
}

#[task(crate = podpool_core)]
fn two(count: u8) -> serde_json::Value {
    count.into()
}

#[task(crate = podpool_core, version = "1")]
fn versioned(value: serde_json::Value) {
    drop(value);
}

#[test]
fn they_are_named_together() {
    let registry = Registry::global().expect("no duplicates");
    let error = registry.trace().expect_err("two have no shape").to_string();
    assert!(error.contains("task untraceable::one: "), "{error}");
    assert!(error.contains("task untraceable::two: "), "{error}");
    assert!(!error.contains("untraceable::versioned"), "{error}");
    assert!(error.contains("serde_json::value::Value"), "{error}");
    assert!(error.contains("version ="), "{error}");
}

#[test]
fn the_calls_are_made_all_the_same() {
    // Only then are the constructors used.
    drop((one(().into()), two(1), versioned(().into())));
}
