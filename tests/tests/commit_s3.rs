//! Outputs in a bucket of an S3 server: that of `AWS_ENDPOINT`, with the bucket `test-bucket` in it.

use futures_util::future::join_all;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use podpool_core::id::RunId;
use podpool_tests::faults::{built, describe, end, within};
use podpool_tests::tasks::{commit_place, write_output};

podpool::test_slots!();

/// A place of its own in the bucket, by its name there; `None`, with a message, where there is no server.
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
    Some(format!("{test}-{}", RunId::random()))
}

/// The bucket, as a client that is not podpool's.
fn bucket() -> impl ObjectStore {
    let builder = AmazonS3Builder::from_env().with_bucket_name("test-bucket");
    builder.build().expect("a client")
}

/// Takes an object out of the bucket.
async fn take(name: &str) -> String {
    let (bucket, path) = (bucket(), Path::from(name));
    let found = within("the object", bucket.get(&path)).await;
    let bytes = found.expect("the object").bytes().await.expect("its bytes");
    bucket.delete(&path).await.expect("it goes");
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn one_of_many_tasks_commits_an_object() {
    let Some(place) = place("commit-once") else {
        return;
    };
    let url = format!("s3://test-bucket/{place}");
    let pool = built(describe(4)).await;
    let futures = (0..12).map(|_| pool.submit(commit_place(url.clone(), 7)));
    let ended = within("all commits", join_all(futures)).await;
    let written = ended.into_iter().map(|ended| ended.expect("a commit"));
    let written: Vec<_> = written.flatten().collect();
    assert_eq!(written.len(), 1, "one task wrote the object");
    // In this process too, without an executor, by tasks of both kinds.
    let late = commit_place(url.clone(), 7).run_here().await;
    assert_eq!(late.expect("a commit"), None);
    let late = write_output(url, 7).force().run_here().await;
    late.expect("a commit");
    assert_eq!(take(&format!("{place}/7.txt")).await, written[0]);
    end(pool).await;
}

#[tokio::test]
async fn a_task_whose_object_is_there_is_skipped() {
    let Some(place) = place("skipped") else {
        return;
    };
    let url = format!("s3://test-bucket/{place}");
    let pool = built(describe(1)).await;
    let call = || write_output(url.clone(), 8);
    for (call, skipped) in [(call(), false), (call(), true), (call().force(), false)] {
        let mut future = pool.submit(call);
        within("the task", &mut future).await.expect("a commit");
        assert_eq!(future.was_skipped(), skipped);
    }
    end(pool).await;
    let here = call().run_here().await;
    here.expect("it is skipped in this process too");
    assert_eq!(take(&format!("{place}/8.txt")).await, format!("8 of {url}"));
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    if place("missing-bucket").is_none() {
        return;
    }
    let url = "s3://there-is-no-such-bucket/x".to_owned();
    let pool = built(describe(1)).await;
    let error = within("the failure", pool.submit(commit_place(url.clone(), 1))).await;
    let said = error.expect_err("no bucket").to_string();
    for part in [&*url, "does not exist", "AWS_ACCESS_KEY_ID"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    end(pool).await;
}
