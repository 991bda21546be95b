//! The object stores in which tasks commit outputs, for every process of the program: compiled in, or their features'
//! names.

use podpool_core::commit::{OUTPUT_STORES, Registered};
use podpool_core::init::__linkme::distributed_slice;

#[cfg(feature = "payload")]
use super::payload::output::OUTPUTS;

// At link time, so that each slot has it, also one that is a thread or a test's.
#[distributed_slice(OUTPUT_STORES)]
#[linkme(crate = podpool_core::init::__linkme)]
static OBJECT_STORES: Registered = Registered {
    schemes: &["gs", "s3", "az"],
    store: &OUTPUTS,
};

#[cfg(not(feature = "payload"))]
static OUTPUTS: NotCompiledIn = NotCompiledIn;

/// Names the feature that is missing.
#[cfg(not(feature = "payload"))]
#[derive(Debug)]
struct NotCompiledIn;

#[cfg(not(feature = "payload"))]
impl NotCompiledIn {
    /// The remedy for a URL.
    fn advice(url: &str) -> String {
        let feature = match url.split(':').next() {
            Some("gs") => "payload-gcs",
            Some("az") => "payload-azure",
            _ => "payload-s3",
        };
        format!("add the feature: podpool = {{ features = [\"{feature}\"] }}")
    }
}

#[cfg(not(feature = "payload"))]
const REASON: &str = "object stores are not compiled in";

#[cfg(not(feature = "payload"))]
#[async_trait::async_trait]
impl podpool_core::commit::OutputStore for NotCompiledIn {
    async fn put_new(
        &self,
        url: &str,
        _: bytes::Bytes,
    ) -> Result<podpool_core::commit::Committed, crate::error::CommitError> {
        Err(crate::error::CommitError::Refused {
            path: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            reason: REASON.to_owned(),
            advice: Self::advice(url),
        })
    }

    async fn exists(&self, url: &str) -> Result<bool, String> {
        Err(format!("{REASON}; {}", Self::advice(url)))
    }
}

#[cfg(all(test, not(feature = "payload")))]
mod tests {
    use podpool_core::commit::OutputStore as _;

    use super::*;

    #[tokio::test]
    async fn a_store_that_is_not_compiled_in_names_its_feature() {
        for (url, feature) in [
            ("gs://b/a", "payload-gcs"),
            ("s3://b/a", "payload-s3"),
            ("az://b/a", "payload-azure"),
        ] {
            let refused = OUTPUTS.put_new(url, "x".into()).await.unwrap_err();
            let wanted = format!("features = [\"{feature}\"]");
            assert!(refused.to_string().contains(&wanted), "{refused}");
            let refused = OUTPUTS.exists(url).await.unwrap_err();
            assert!(refused.contains(&wanted), "{refused}");
        }
        let registered = OUTPUT_STORES.iter().any(|its| its.schemes.contains(&"s3"));
        assert!(registered, "every program has it");
    }
}
