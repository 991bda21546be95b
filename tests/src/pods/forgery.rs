//! Messages on a run's topics from a publisher that has the right and does not belong to the run.

use std::time::Duration;

use bytes::Bytes;
use podpool::RunId;
use podpool::pubsub::QueueNames;
use podpool_core::broker::ClassId;
use podpool_core::envelope::entry::put_done;
use podpool_core::envelope::{Alive, Batch, Control, Hello, MacKey, Results, RunState};
use podpool_core::id::{Attempt, ExecutionId, TaskId, WorkerId};
use podpool_core::queue::Queue;
use podpool_core::wall::WallTime;

use super::known::KnownRun;

/// A key that is not the run's.
pub const WRONG: [u8; 32] = [8; 32];

/// Higher than any real epoch: a master or worker that accepted it would stop.
const EPOCH: u64 = 99;

/// Puts messages on the run's three topics; returns how many its worker must drop, and how many its master.
///
/// # Panics
/// If a message cannot be put.
pub async fn forge(known: &KnownRun) -> (u64, u64) {
    let (names, run, good) = (known.names(), &known.run, known.authenticate());
    let stranger = RunId::random();
    // With a valid MAC, but of another type or run: as if an observer had replayed them on the wrong topic.
    let mut tasks = spoilt(&batch, known);
    tasks.extend([batch(&stranger, &good), control(run, &good)]);
    let mut controls = spoilt(&control, known);
    controls.push(hello(run, &good));
    let mut results = spoilt(&result, known);
    results.extend([result(&stranger, &good), control(run, &good)]);
    results.extend([hello, alive].map(|message| message(run, &MacKey::Keyed(WRONG))));
    let to_worker = put(known, &names.tasks(), tasks).await
        + put(known, &names.control().unwrap(), controls).await;
    (to_worker, put(known, &names.results(), results).await)
}

async fn put(known: &KnownRun, names: &QueueNames, messages: Vec<Bytes>) -> u64 {
    let count = messages.len() as u64;
    for answer in known.queue(names).put(messages).await {
        answer.unwrap();
    }
    count
}

/// Bytes that are no message, a message with a wrong MAC, one without a MAC, and one that was changed after its MAC was
/// computed.
fn spoilt(message: &dyn Fn(&RunId, &MacKey) -> Bytes, known: &KnownRun) -> Vec<Bytes> {
    let run = &known.run;
    let mut changed = message(run, &known.authenticate()).to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    vec![
        Bytes::from_static(b"this is no message at all"),
        message(run, &MacKey::Keyed(WRONG)),
        message(run, &MacKey::Absent),
        changed.into(),
    ]
}

fn control(run: &RunId, mac_key: &MacKey) -> Bytes {
    let control = Control {
        run: run.clone(),
        epoch: EPOCH,
        sequence: 99,
        state: RunState::Aborted,
        ended_below: TaskId(0),
        revoked: Vec::new(),
        drain: Vec::new(),
        greeted: Vec::new(),
    };
    control.message(mac_key)
}

fn hello(run: &RunId, mac_key: &MacKey) -> Bytes {
    let hello = Hello {
        run: run.clone(),
        worker: WorkerId::random(),
        name: "stranger".into(),
        node: "nowhere".into(),
        class: ClassId::DEFAULT,
        slots: 1,
        build: String::new(),
        epoch: EPOCH,
        sequence: 1,
    };
    hello.message(mac_key)
}

fn alive(run: &RunId, mac_key: &MacKey) -> Bytes {
    let alive = Alive {
        run: run.clone(),
        worker: WorkerId::random(),
        held: Vec::new(),
        running: 0,
        free: 9,
        empty_pulls: 9,
        revoked: Vec::new(),
        replays: 0,
        epoch: EPOCH,
        sequence: 1,
        at: WallTime::default(),
    };
    alive.message(mac_key)
}

fn batch(run: &RunId, mac_key: &MacKey) -> Bytes {
    let batch = Batch {
        run: run.clone(),
        epoch: EPOCH,
        number: 0,
        alone: false,
        task_types: Vec::new(),
        count: 0,
    };
    batch.message(&[], mac_key)
}

/// A wrong result of the run's first task.
fn result(run: &RunId, mac_key: &MacKey) -> Bytes {
    let mut entries = Vec::new();
    let output = |body: &mut Vec<u8>| -> Result<Duration, std::io::Error> {
        body.push(99);
        Ok(Duration::ZERO)
    };
    put_done(&mut entries, TaskId(0), Attempt(1), output).unwrap();
    let execution = ExecutionId {
        worker: WorkerId::random(),
        number: 0,
    };
    let results = Results {
        run: run.clone(),
        execution,
        epoch: EPOCH,
        count: 1,
        lines: 0,
        at: WallTime::default(),
    };
    results.message(&entries, mac_key)
}
