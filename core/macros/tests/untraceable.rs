//! Tasks whose types have no shape that can be traced, without a version.

use podpool_core::registry::Registry;
use podpool_core::task::Call;
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
fn untraceable_types_are_named_together() {
    let registry = Registry::global().expect("no duplicates");
    let error = registry.trace().expect_err("two have no shape").to_string();
    assert!(error.contains("task untraceable::one: "), "{error}");
    assert!(error.contains("task untraceable::two: "), "{error}");
    assert!(!error.contains("untraceable::versioned"), "{error}");
    assert!(error.contains("serde_json::value::Value"), "{error}");
    assert!(error.contains("version ="), "{error}");
}

/// The name of a call's task and what its body gives here.
fn run<T: serde::de::DeserializeOwned + 'static>(
    make: impl Fn() -> Call<T>,
) -> (&'static str, Option<T>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let result = runtime.expect("a runtime").block_on(make().run_here());
    (make().into_parts().spec.name, result.ok())
}

/// A trace is what a pool needs, not a call: only a pool refuses them.
#[test]
fn calls_with_untraceable_types_are_made() {
    // What describes itself alone cannot be decoded from the compact encoding, whatever its version.
    assert_eq!(run(|| one(().into())), ("untraceable::one", None));
    assert_eq!(run(|| two(1)), ("untraceable::two", None));
    let versioned = run(|| versioned(().into()));
    assert_eq!(versioned, ("untraceable::versioned", None));
}
