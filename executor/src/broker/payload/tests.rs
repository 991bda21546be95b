//! The guarantees of the queue and its store, on stores in memory with injected faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{ObjectStore, ObjectStoreExt};
use podpool_core::conformance::queue::{self as conformance, Promises};
use podpool_core::envelope::entry::{next_result, next_task, put_done, put_task};
use podpool_core::envelope::reference::Content;
use podpool_core::envelope::{Batch, MacKey, Message, Reference, Results, TaskType};
use podpool_core::id::{Attempt, ExecutionId, RunId, TaskId, WorkerId};
use podpool_core::outcome::Cause;
use podpool_core::queue::faulty::{Faults, Faulty};
use podpool_core::queue::memory::MemoryQueue;
use podpool_core::queue::{Queue, QueueError, QueueLimits};
use podpool_core::shape::Fingerprint;
use podpool_core::wall::WallTime;
use tokio::time::Instant;

use super::*;

use self::failing::Failing;

mod failing;

const KEY: MacKey = MacKey::Keyed([7; 32]);
const LEASE: Duration = Duration::from_secs(60);
/// As much as a Pub/Sub message carries, roughly.
const CARRIED: usize = 1 << 20;

fn run() -> RunId {
    RunId::new("test-run").unwrap()
}

struct Bed {
    objects: Arc<dyn ObjectStore>,
    store: PayloadStore,
    inner: Arc<MemoryQueue>,
    queue: PayloadQueue,
}

fn bed() -> Bed {
    bed_over(Arc::new(InMemory::new()))
}

fn bed_over(objects: Arc<dyn ObjectStore>) -> Bed {
    let store = PayloadStore::with_client(objects.clone(), "memory:///", &run());
    let inner = Arc::new(MemoryQueue::new("tasks", QueueLimits::new(CARRIED, LEASE)));
    let queue = store.queue(inner.clone(), KEY);
    Bed {
        objects,
        store,
        inner,
        queue,
    }
}

impl Bed {
    async fn put(&self, messages: &[Bytes]) {
        for answer in self.queue.put(messages.to_vec()).await {
            answer.unwrap();
        }
    }

    async fn take(&self) -> Bytes {
        let mut taken = self.queue.take(1, Duration::ZERO).await.unwrap();
        taken.remove(0).body
    }

    async fn names(&self) -> Vec<Path> {
        let folder = Path::from("podpool/test-run");
        let list = self.objects.list_with_delimiter(Some(&folder)).await;
        let objects = list.unwrap().objects.into_iter();
        objects.map(|meta| meta.location).collect()
    }
}

fn payload(seed: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| (at as u8).wrapping_mul(31) ^ seed)
        .collect()
}

fn batch(task: u64, payload: &[u8]) -> Bytes {
    let mut body = Vec::new();
    put_task(&mut body, TaskId(task), Attempt(1), 0, &[], payload).unwrap();
    let batch = Batch {
        run: run(),
        epoch: 1,
        number: 0,
        alone: false,
        task_types: vec![TaskType {
            name: "a::b".into(),
            fingerprint: Fingerprint([1; 16]),
        }],
        count: 1,
    };
    batch.message(&body, &KEY)
}

fn results(payloads: &[Vec<u8>]) -> Bytes {
    let mut body = Vec::new();
    for (task, payload) in (1..).zip(payloads) {
        put_done(&mut body, TaskId(task), Attempt(1), |body| {
            body.extend_from_slice(payload);
            Ok::<_, ()>(Duration::from_micros(5))
        })
        .unwrap();
    }
    let execution = ExecutionId {
        worker: WorkerId(3),
        number: 4,
    };
    let results = Results {
        run: run(),
        execution,
        epoch: 1,
        count: u32::try_from(payloads.len()).unwrap(),
        lines: 0,
        at: WallTime::default(),
    };
    results.message(&body, &KEY)
}

#[tokio::test(start_paused = true)]
async fn a_large_payload_travels_by_reference_and_arrives_whole() {
    let bed = bed();
    let message = batch(1, &payload(1, 3 << 20));
    bed.put(std::slice::from_ref(&message)).await;
    let mut travels = bed.inner.take(1, Duration::ZERO).await.unwrap();
    let travels = travels.remove(0);
    assert!(travels.body.len() < 1024, "{} bytes", travels.body.len());
    let name = format!(
        "podpool/test-run/{}",
        blake3::hash(&payload(1, 3 << 20)).to_hex()
    );
    assert_eq!(bed.names().await, [Path::from(name)]);
    bed.inner.release(&[travels.lease]).await;
    assert_eq!(bed.take().await, message);
}

#[tokio::test(start_paused = true)]
async fn small_payloads_do_not_go_to_the_store() {
    let bed = bed();
    let messages = [
        batch(1, &payload(1, OVER)),
        results(&vec![payload(2, 2000); 50]),
    ];
    bed.put(&messages).await;
    assert!(bed.names().await.is_empty());
    assert_eq!([bed.take().await, bed.take().await], messages);
}

#[tokio::test(start_paused = true)]
async fn equal_payloads_share_an_object_and_an_upload() {
    let slow = ThrottleConfig {
        wait_put_per_call: Duration::from_millis(500),
        ..ThrottleConfig::default()
    };
    let bed = bed_over(Arc::new(ThrottledStore::new(InMemory::new(), slow)));
    let begin = Instant::now();
    let messages: Vec<_> = (0..10)
        .map(|task| batch(task, &payload(1, 200_000)))
        .collect();
    bed.put(&messages).await;
    bed.put(&messages).await;
    // One upload: a second would take as long again.
    assert!(
        begin.elapsed() < Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(bed.names().await.len(), 1);
    for _ in 0..20 {
        bed.take().await;
    }
}

#[tokio::test(start_paused = true)]
async fn results_over_the_queue_s_limit_are_cut_until_they_fit() {
    let bed = bed();
    let payloads: Vec<_> = (0..20).map(|seed| payload(seed, 90_000)).collect();
    let message = results(&payloads);
    assert!(message.len() > CARRIED);
    bed.put(std::slice::from_ref(&message)).await;
    assert!((1..20).contains(&bed.names().await.len()));
    assert_eq!(bed.take().await, message);
}

#[tokio::test(start_paused = true)]
async fn a_stored_payload_is_not_written_again_and_a_partial_one_is() {
    let bed = bed();
    let bytes = payload(1, 200_000);
    let path = Path::from(format!(
        "podpool/test-run/{}",
        blake3::hash(&bytes).to_hex()
    ));
    bed.objects
        .put(&path, bytes[..1000].to_vec().into())
        .await
        .unwrap();
    bed.put(&[batch(1, &bytes)]).await;
    let stored = bed.objects.head(&path).await.unwrap();
    assert_eq!(stored.size, 200_000);
    let another = PayloadStore::with_client(bed.objects.clone(), "memory:///", &run());
    let queue = another.queue(bed.inner.clone(), KEY);
    assert!(queue.put(vec![batch(2, &bytes)]).await[0].is_ok());
    assert_eq!(
        bed.objects.head(&path).await.unwrap().last_modified,
        stored.last_modified
    );
}

/// Takes the batch of a payload whose object was tampered with.
async fn lost(tamper: impl AsyncFn(&Bed, &Path)) -> (Reference, String) {
    let bed = bed();
    bed.put(&[batch(9, &payload(1, 200_000))]).await;
    let path = bed.names().await.remove(0);
    tamper(&bed, &path).await;
    let read = Message::read(bed.take().await, &KEY);
    let Ok(Message::Reference(reference, _)) = read else {
        panic!("{read:?}");
    };
    let problem = reference.problem.clone().unwrap();
    assert!(problem.contains(path.as_ref()), "{problem}");
    assert!(problem.contains("memory:///"), "{problem}");
    (reference, problem)
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_payload_is_missing_arrives_as_a_reference_with_the_problem() {
    let delete = async |bed: &Bed, path: &Path| bed.objects.delete(path).await.unwrap();
    let (reference, problem) = lost(delete).await;
    assert_eq!(reference.of, Content::Batch);
    assert_eq!(reference.tasks[0].first, TaskId(9));
    assert!(problem.contains("is missing"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_payload_is_distinguished_from_a_missing_one() {
    let shorter = async |bed: &Bed, path: &Path| {
        bed.objects.put(path, vec![1; 7].into()).await.unwrap();
    };
    let problem = lost(shorter).await.1;
    assert!(
        problem.contains("damaged: 7 bytes instead of 200000"),
        "{problem}"
    );
    let other = async |bed: &Bed, path: &Path| {
        bed.objects
            .put(path, payload(2, 200_000).into())
            .await
            .unwrap();
    };
    let problem = lost(other).await.1;
    assert!(
        problem.contains("damaged: its bytes have another hash"),
        "{problem}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_lost_result_leaves_the_others() {
    let bed = bed();
    bed.put(&[results(&[
        payload(1, 10),
        payload(2, 200_000),
        payload(3, 300_000),
    ])])
    .await;
    let name = blake3::hash(&payload(2, 200_000)).to_hex();
    bed.objects
        .delete(&Path::from(format!("podpool/test-run/{name}")))
        .await
        .unwrap();
    let read = Message::read(bed.take().await, &KEY);
    let Ok(Message::Results(_, mut entries)) = read else {
        panic!("{read:?}");
    };
    let mut next = || next_result(&mut entries).unwrap().unwrap().outcome;
    assert_eq!(next().unwrap(), payload(1, 10));
    let failure = next().unwrap_err();
    assert_eq!(failure.cause, Cause::Rejected);
    assert!(
        failure.message.contains(name.as_str()),
        "{}",
        failure.message
    );
    assert_eq!(next().unwrap(), payload(3, 300_000));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_its_payload_is_fetched() {
    let slow = ThrottleConfig {
        wait_get_per_call: LEASE * 3 / 4,
        ..ThrottleConfig::default()
    };
    let bed = bed_over(Arc::new(ThrottledStore::new(InMemory::new(), slow)));
    let message = batch(1, &payload(1, 200_000));
    bed.put(std::slice::from_ref(&message)).await;
    let mut taken = bed.queue.take(1, Duration::ZERO).await.unwrap();
    let taken = taken.remove(0);
    // A renewal after a third and two thirds of the lease: without them it would end within another quarter.
    tokio::time::advance(LEASE / 2).await;
    assert_eq!(taken.body, message);
    assert!(bed.queue.ack(&[taken.lease]).await[0].is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_one_take_are_bounded() {
    let bed = bed();
    // References to payloads that were never stored: only the sizes in the references count here.
    let reference = |task: u64| {
        let part = podpool_core::envelope::reference::Part {
            hash: [u8::try_from(task).unwrap(); 32],
            offset: 0,
            length: 100 << 20,
        };
        Reference {
            run: run(),
            of: Content::Batch,
            tasks: Vec::new(),
            parts: vec![part],
            problem: None,
        }
    };
    let messages = (0..5)
        .map(|task| reference(task).message(b"", &KEY))
        .collect();
    bed.inner.put(messages).await;
    assert_eq!(bed.queue.take(10, Duration::ZERO).await.unwrap().len(), 2);
    assert_eq!(bed.inner.len(), 3, "the others are left to other takers");
}

#[tokio::test(start_paused = true)]
async fn references_of_another_run_or_key_are_passed_on_as_they_are() {
    let bed = bed();
    let reference = Reference {
        run: RunId::new("another").unwrap(),
        of: Content::Batch,
        tasks: Vec::new(),
        parts: Vec::new(),
        problem: None,
    };
    for mac_key in [KEY, MacKey::Keyed([8; 32])] {
        let message = reference.message(b"shell", &mac_key);
        bed.inner.put(vec![message.clone()]).await;
        assert_eq!(bed.take().await, message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_delays_no_other_message_and_goes_on() {
    let slow = ThrottleConfig {
        wait_put_per_call: Duration::from_secs(25),
        ..ThrottleConfig::default()
    };
    let bed = bed_over(Arc::new(ThrottledStore::new(InMemory::new(), slow)));
    let (large, small) = (batch(1, &payload(1, 200_000)), batch(2, b"x"));
    let begin = Instant::now();
    let messages = vec![large.clone(), small.clone()];
    let answers = bed.queue.put(messages).await;
    let waited = begin.elapsed();
    assert!(waited <= Duration::from_secs(11), "{waited:?}");
    assert!(answers[1].is_ok());
    assert!(
        matches!(&answers[0], Err(error) if error.is_transient()),
        "{:?}",
        answers[0]
    );
    assert_eq!(bed.take().await, small);
    // The same upload is joined, not begun again.
    assert!(bed.queue.put(vec![large.clone()]).await[0].is_err());
    assert!(bed.queue.put(vec![large.clone()]).await[0].is_ok());
    assert!(
        begin.elapsed() < Duration::from_secs(26),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(bed.take().await, large);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_deleted_and_other_runs_stay() {
    let bed = bed();
    bed.put(&[
        batch(1, &payload(1, 200_000)),
        batch(2, &payload(2, 300_000)),
    ])
    .await;
    let other_run = RunId::new("test-run-2").unwrap();
    let other = PayloadStore::with_client(bed.objects.clone(), "memory:///", &other_run);
    other.put([1; 32], payload(1, 10).into()).await.unwrap();
    bed.store.check().await.unwrap();
    let usage = Usage {
        objects: 2,
        bytes: 500_000,
    };
    assert_eq!(bed.store.usage().await.unwrap(), usage);
    assert_eq!(bed.store.delete_run().await.unwrap(), 2);
    assert_eq!(bed.store.usage().await.unwrap(), Usage::default());
    assert_eq!(other.usage().await.unwrap().objects, 1);
    assert_eq!(bed.store.delete_run().await.unwrap(), 0);
}

#[tokio::test]
async fn the_runs_of_a_directory_are_listed_and_removed_without_a_trace() {
    let directory =
        std::env::temp_dir().join(format!("podpool-payload-{:016x}", fastrand::u64(..)));
    let url = format!("file://{}", directory.display());
    for name in ["one", "two"] {
        let store = PayloadStore::open(&url, &RunId::new(name).unwrap()).unwrap();
        store.check().await.unwrap();
        store.put([7; 32], payload(1, 100).into()).await.unwrap();
    }
    let mut runs = PayloadStore::runs(&url).await.unwrap();
    runs.sort_by(|one, two| one.as_str().cmp(two.as_str()));
    let names: Vec<_> = runs.iter().map(RunId::as_str).collect();
    assert_eq!(names, ["one", "two"]);
    for run in &runs {
        PayloadStore::open(&url, run)
            .unwrap()
            .delete_run()
            .await
            .unwrap();
    }
    assert!(PayloadStore::runs(&url).await.unwrap().is_empty());
    // Fails unless the directory is there and empty.
    std::fs::remove_dir(&directory).unwrap();
}

#[tokio::test(start_paused = true)]
async fn transient_faults_are_overcome_by_repetition() {
    let message = batch(1, &payload(1, 200_000));
    let bed = bed_over(Arc::new(Failing::new(1, failing::busy)));
    let answers = bed.queue.put(vec![message.clone()]).await;
    assert!(
        matches!(&answers[0], Err(error) if error.is_transient()),
        "{answers:?}"
    );
    bed.put(std::slice::from_ref(&message)).await;
    assert_eq!(bed.take().await, message);

    let failing = Arc::new(Failing::new(0, failing::busy));
    let bed = bed_over(failing);
    bed.put(std::slice::from_ref(&message)).await;
    let again = PayloadStore::with_client(
        Arc::new(Failing::new(3, failing::busy)),
        "memory:///",
        &run(),
    );
    // Three refusals, then the answer of another, empty store: the fetch was repeated.
    let queue = again.queue(bed.inner.clone(), KEY);
    let taken = queue.take(1, Duration::ZERO).await.unwrap().remove(0);
    assert!(Reference::is(&taken.body));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_failing_store_is_left_to_the_next_taker() {
    let bed = bed();
    let message = batch(1, &payload(1, 200_000));
    bed.put(std::slice::from_ref(&message)).await;
    let broken = Arc::new(Failing::new(usize::MAX, failing::denied));
    let broken = PayloadStore::with_client(broken, "broken://", &run());
    let begin = Instant::now();
    let refused = broken
        .queue(bed.inner.clone(), KEY)
        .take(1, Duration::ZERO)
        .await;
    let error = refused.unwrap_err();
    assert!(matches!(&error, QueueError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("broken://"), "{error}");
    let waited = begin.elapsed();
    assert!(
        (Duration::from_secs(20)..Duration::from_secs(40)).contains(&waited),
        "{waited:?}"
    );
    assert_eq!(bed.take().await, message, "it was given back");
}

#[tokio::test(start_paused = true)]
async fn a_check_names_the_store_what_was_tried_and_what_is_missing() {
    let denied = Arc::new(Failing::new(1, failing::denied));
    let store = PayloadStore::with_client(denied, "gs://bucket/prefix", &run());
    let said = store.check().await.unwrap_err().to_string();
    for part in ["write to", "gs://bucket/prefix", "not permitted", "rights"] {
        assert!(said.contains(part), "{said}");
    }
    store.check().await.unwrap();
    assert_eq!(store.usage().await.unwrap(), Usage::default());
}

#[tokio::test(start_paused = true)]
async fn a_message_past_every_limit_is_refused_by_name() {
    let bed = bed();
    // Zeroes that are never read take no memory.
    let message = Bytes::from(vec![0; u32::MAX as usize]);
    let answers = bed.queue.put(vec![message]).await;
    assert!(
        matches!(&answers[0], Err(QueueError::TooLarge { .. })),
        "{answers:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_arrives_with_its_number_and_its_payload() {
    let bed = bed();
    let bytes = payload(3, 500_000);
    bed.put(&[batch(77, &bytes)]).await;
    let read = Message::read(bed.take().await, &KEY);
    let Ok(Message::Batch(_, mut entries)) = read else {
        panic!("{read:?}");
    };
    let task = next_task(&mut entries).unwrap().unwrap();
    assert_eq!((task.task, &task.payload[..]), (TaskId(77), &bytes[..]));
}

/// Queues under test carry a few messages of the checks' own, so that most of what is large is cut out whole.
fn over(inner: Arc<dyn Queue>) -> Arc<dyn Queue> {
    let store = PayloadStore::with_client(Arc::new(InMemory::new()), "memory:///", &run());
    Arc::new(store.queue(inner, KEY))
}

fn memory(lease: Duration) -> Arc<dyn Queue> {
    Arc::new(MemoryQueue::new("tasks", QueueLimits::new(CARRIED, lease)))
}

#[tokio::test(start_paused = true)]
async fn it_keeps_every_guarantee_of_the_inner_queue() {
    let fresh = async || over(memory(Duration::from_millis(300)));
    conformance::all(fresh, Promises::REFERENCE).await;
}

#[tokio::test(start_paused = true)]
async fn it_loses_nothing_over_a_queue_that_misbehaves() {
    let seed = AtomicU64::new(1);
    let fresh = async || {
        let faults = Faults::chaos(seed.fetch_add(1, Ordering::Relaxed));
        over(Arc::new(Faulty::new(
            memory(Duration::from_millis(300)),
            faults,
        )))
    };
    conformance::under_faults(fresh, 500).await;
}
