//! Payloads in a bucket of an S3 server: that of `AWS_ENDPOINT`, with the bucket `test-bucket` in it.

use podpool::payload::PayloadStore;
use podpool_core::id::RunId;
use podpool_tests::faults::{built, describe, end, within};
use podpool_tests::tasks::reverse;

podpool::test_slots!();

/// A place of its own in the bucket; `None`, with a message, where there is no server.
#[expect(clippy::print_stdout, reason = "what is left out is said")]
fn place(test: &str) -> Option<String> {
    if std::env::var_os("AWS_ENDPOINT").is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !ci,
            "AWS_ENDPOINT is not set, and CI must not leave this out"
        );
        println!("{test}: left out, for AWS_ENDPOINT names no S3 server");
        return None;
    }
    Some(format!("s3://test-bucket/{test}-{}", RunId::random()))
}

fn payload(task: u8) -> Vec<u8> {
    let mut bytes = vec![b'x'; 3_000_000];
    bytes[0] = task;
    bytes
}

#[tokio::test]
async fn large_arguments_and_results_go_through_a_bucket_and_nothing_stays() {
    let Some(url) = place("large-payloads") else {
        return;
    };
    let pool = built(describe(2).payload_store(&url)).await;
    let futures: Vec<_> = (0..20)
        .map(|task| pool.submit(reverse(payload(task % 10))))
        .collect();
    for (task, future) in (0..).zip(futures) {
        let result = within("a result", future).await.expect("a result");
        let mut expected = payload(task % 10);
        expected.reverse();
        assert!(
            result == expected,
            "the bytes of {task} changed on their way"
        );
    }
    let runs = PayloadStore::runs(&url).await.expect("a list");
    assert_eq!(runs, [pool.run_id().clone()]);
    let store = PayloadStore::open(&url, pool.run_id()).expect("a store");
    let usage = store.usage().await.expect("a list");
    assert_eq!(
        (usage.objects, usage.bytes / 1_000_000),
        (20, 60),
        "ten of each"
    );
    end(pool).await;
    assert_eq!(PayloadStore::runs(&url).await.expect("a list"), []);
}

#[tokio::test]
async fn a_missing_bucket_is_named_at_build() {
    if place("missing-bucket").is_none() {
        return;
    }
    let url = "s3://there-is-no-such-bucket/x";
    let refused = describe(1).payload_store(url).build().await;
    let error = refused.expect_err("no bucket");
    let said = std::error::Error::source(&error)
        .expect("its cause")
        .to_string();
    for part in [url, "write to", "does not exist", "AWS_ACCESS_KEY_ID"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}
