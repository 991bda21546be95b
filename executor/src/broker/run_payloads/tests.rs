//! Tests of the choice of a payload store.

use super::*;

/// Set where this test is its own child.
const CHILD: &str = "PODPOOL_TEST_ASKED_FOR";

/// The environment of a process is set at its start, so the test starts itself again.
#[test]
fn the_environment_names_a_store_where_the_builder_does_not() {
    if std::env::var_os(CHILD).is_some() {
        let named = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty());
        assert_eq!(asked_for(None), named);
        assert_eq!(asked_for(Some("file:///x".into())).unwrap(), "file:///x");
        assert_eq!(asked_for(Some(String::new())), None);
        println!("looked at {named:?}");
        return;
    }
    let name =
        "broker::run_payloads::tests::the_environment_names_a_store_where_the_builder_does_not";
    for (value, looked) in [
        (Some("file:///y"), "looked at Some(\"file:///y\")"),
        (Some(""), "looked at None"),
        (None, "looked at None"),
    ] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "")
            .env_remove(VARIABLE);
        if let Some(value) = value {
            child.env(VARIABLE, value);
        }
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(looked), "{said}");
    }
}

#[cfg(not(feature = "payload"))]
#[tokio::test]
async fn a_store_without_the_feature_names_it() {
    let run = RunId::random();
    let refused = Payloads::open(Some("file:///x"), &run).await;
    let said = refused.map(drop).unwrap_err().to_string();
    assert!(said.contains("features = [\"payload\"]"), "{said}");
    assert!(Payloads::open(None, &run).await.is_ok());
}
