//! Arguments and results that go through a directory: all arrive whole, no file stays, and lost ones are reported.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use podpool::error::BuildError;
use podpool::options::Isolation;
use podpool::testing::Builder as _;
use podpool::{PodPoolExecutor, ShutdownBehavior, TaskError, TaskErrorKind};
use podpool_core::envelope::Reference;
use podpool_core::queue::{Delivery, LeaseId, Queue, QueueError, QueueLimits};
use podpool_tests::faults::{built, describe, describe_in, end, within};
use podpool_tests::gate::Gate;
use podpool_tests::tasks::{hold, reverse};
use tempfile::TempDir;

podpool::test_slots!();

const LARGE: usize = 3_000_000;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn url(directory: &TempDir) -> String {
    format!("file://{}", directory.path().display())
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn payload(task: u8, size: usize) -> Vec<u8> {
    let mut bytes = vec![b'x'; size];
    bytes[0] = task;
    bytes
}

#[tokio::test]
async fn large_arguments_and_results_go_through_a_directory_and_nothing_stays() {
    for (isolation, tasks) in [(Isolation::Process, 20), (Isolation::InProcess, 3)] {
        let directory = directory();
        let store = describe_in(isolation, 2).payload_store(url(&directory));
        let pool = built(store).await;
        let futures: Vec<_> = (0..tasks)
            .map(|task| pool.submit(reverse(payload(task, LARGE))))
            .collect();
        for (task, future) in (0..).zip(futures) {
            let result = within("a result", future).await.expect("a result");
            let mut expected = payload(task, LARGE);
            expected.reverse();
            assert!(
                result == expected,
                "the bytes of {task} changed on their way"
            );
        }
        let stored = files(directory.path());
        let objects = 2 * usize::from(tasks);
        assert_eq!(stored.len(), objects, "each argument and each result once");
        let run = format!("podpool/{}", pool.run_id());
        assert!(
            stored
                .iter()
                .all(|path| path.to_string_lossy().contains(&run))
        );
        end(pool).await;
        let left: Vec<_> = fs::read_dir(directory.path())
            .expect("it")
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn equal_arguments_are_stored_once_and_small_ones_never() {
    let directory = directory();
    let pool = built(describe(2).payload_store(url(&directory))).await;
    let mut sizes = vec![LARGE; 3];
    sizes.extend([10, 90_000]);
    let futures: Vec<_> = sizes
        .iter()
        .map(|size| pool.submit(reverse(payload(1, *size))))
        .collect();
    for (size, future) in sizes.into_iter().zip(futures) {
        let result = within("a result", future).await.expect("a result");
        assert_eq!(result.len(), size);
    }
    assert_eq!(files(directory.path()).len(), 2, "one argument, one result");
    end(pool).await;
}

#[tokio::test]
async fn an_abort_leaves_nothing_either() {
    let directory = directory();
    let pool = built(describe(1).payload_store(url(&directory))).await;
    let futures: Vec<_> = (0..4)
        .map(|task| pool.submit(reverse(payload(task, LARGE))))
        .collect();
    within(
        "the first result",
        futures.into_iter().next().expect("a future"),
    )
    .await
    .expect("a result");
    let aborted = pool.shutdown_with(ShutdownBehavior::Abort);
    within("the end", aborted).await.expect("an end");
    assert!(files(directory.path()).is_empty());
}

/// The end of a task whose large payload is removed from the directory before the payload is read: the payload of
/// batches, or that of results.
async fn robbed(queue: &'static str, arguments: Vec<u8>) -> TaskError {
    let directory = directory();
    let path = directory.path().to_owned();
    let builder = describe(1)
        .payload_store(url(&directory))
        .decorate_queues(Arc::new(move |name, inner| {
            if name != queue {
                return inner;
            }
            let directory = path.clone();
            Arc::new(Thief { inner, directory })
        }));
    let pool = built(builder).await;
    let future = pool.submit(reverse(arguments));
    let error = within("the failure", future.into_future()).await;
    let other = within("another task", pool.submit(reverse(vec![1, 2]))).await;
    assert_eq!(other.expect("a result"), [2, 1]);
    end(pool).await;
    error.expect_err("a lost payload")
}

#[tokio::test]
async fn lost_payloads_fail_their_task_and_name_object_and_store() {
    for (queue, words) in [
        ("tasks", ["its arguments are lost", "it did not run"]),
        ("results", ["its result is lost", "submit it again"]),
    ] {
        let error = robbed(queue, payload(1, LARGE)).await;
        assert_eq!(error.kind(), TaskErrorKind::Rejected, "{error}");
        let said = error.message();
        for word in words
            .into_iter()
            .chain(["object podpool/", "bytes in file://", "is missing"])
        {
            assert!(said.contains(word), "{word:?} is not in {said:?}");
        }
        assert_eq!(error.attempts().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_refused_at_build() {
    let refused = describe(1)
        .payload_store("file:///dev/null/x")
        .build()
        .await;
    let error = refused.expect_err("no directory");
    assert!(matches!(&error, BuildError::Setting { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("payload_store") && said.contains("/dev/null/x"),
        "{said}"
    );
}

/// Empties the directory whenever a message with a reference passes: the payload is then gone before its reader comes.
struct Thief {
    inner: Arc<dyn Queue>,
    directory: PathBuf,
}

impl fmt::Debug for Thief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Queue for Thief {
    async fn put(&self, messages: Vec<Bytes>) -> Vec<Result<(), QueueError>> {
        if messages.iter().any(|message| Reference::is(message)) {
            for file in files(&self.directory) {
                fs::remove_file(file).expect("a file to steal");
            }
        }
        self.inner.put(messages).await
    }

    async fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.inner.take(max, wait).await
    }

    async fn extend(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.extend(leases).await
    }

    async fn ack(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.ack(leases).await
    }

    async fn release(&self, leases: &[LeaseId]) -> Vec<Result<(), QueueError>> {
        self.inner.release(leases).await
    }

    fn limits(&self) -> QueueLimits {
        self.inner.limits()
    }
}

/// Waits until so many payloads lie in a directory. A store sends no event, so the directory is read again and again.
async fn stored(directory: &TempDir, payloads: usize) {
    let look = async {
        while files(directory.path()).len() < payloads {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the payloads in the store", look).await;
}

#[tokio::test]
async fn two_runs_of_one_name_share_no_payload() {
    let (directory, gate) = (directory(), Gate::new());
    let nightly = || {
        let builder = PodPoolExecutor::builder().max_workers(1).signals(false);
        builder.run("nightly").payload_store(url(&directory))
    };
    let (ends, goes_on) = (built(nightly()).await, built(nightly()).await);
    assert_eq!(ends.run(), goes_on.run());
    assert_ne!(ends.run_id(), goes_on.run_id());
    let held = goes_on.submit(hold(gate.address(), 1));
    let guest = gate.arrival().await;
    let waiting: Vec<_> = (0..3)
        .map(|task| goes_on.submit(reverse(payload(task, LARGE))))
        .collect();
    stored(&directory, 3).await;
    let first = within("a task", ends.submit(reverse(payload(9, LARGE)))).await;
    assert_eq!(first.unwrap().last(), Some(&9));
    end(ends).await;
    guest.let_go();
    assert_eq!(within("the held task", held).await.unwrap(), 1);
    for (task, future) in (0..).zip(waiting) {
        let reversed = within("a task of the other run", future).await.unwrap();
        assert_eq!(reversed.last(), Some(&task));
    }
    end(goes_on).await;
    assert_eq!(files(directory.path()), [""; 0].map(PathBuf::from));
}
