//! Runs that nobody goes on with are told when another run begins, and at no other time.

use std::sync::Mutex;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::id::RunId;
use podpool_core::ledger::memory::MemoryLedger;
use podpool_core::ledger::{
    Content, Identity, Master, Opened, Record, TaskRecord, TypeId, TypeRecord, Why,
};
use podpool_core::shape::Fingerprint;

use crate::PodPoolExecutor;
use crate::options::{Isolation, LocalOptions, Notices};
use crate::testing::Builder as _;

use super::*;

/// A run with two unended tasks, as its master has it.
fn with_tasks(ledger: &dyn Ledger, name: &str) -> Opened {
    let opening = Opening {
        which: Which::Named {
            name: RunName::new(name).unwrap(),
            fresh: RunId::new(&format!("{name}-0")).unwrap(),
            mac_key: [7; 32],
        },
        master: Master::default(),
        take_over: false,
        now: now(),
    };
    let mut run = ledger.open(&opening).unwrap();
    let a_type = Record::Type(TypeRecord {
        number: TypeId(0),
        name: "it".to_owned(),
        version: None,
        fingerprint: Fingerprint([1; 16]),
        shape: String::new(),
        parameters: Vec::new(),
    });
    let task = |number: u64| {
        let content = Content::of(&number.to_le_bytes());
        Record::Task(TaskRecord {
            task: TaskId(number),
            task_type: TypeId(0),
            identity: Identity::counted("it", content, 0),
            content,
            class: ClassId::DEFAULT,
            arguments: Bytes::new(),
            options: None,
            why: Why::First,
        })
    };
    let records = [a_type, task(0), task(1)];
    run.ledger.append(&records, now()).unwrap();
    run
}

/// The notices of a pool from its start to its end.
async fn notices(run: &str, ledger: impl FnOnce(Builder) -> Builder) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let sink = move |line: &str| tells.lock().unwrap().push(line.to_owned());
    let builder = PodPoolExecutor::builder()
        .max_workers(1)
        .local(LocalOptions::default().isolation(Isolation::InProcess))
        .notices(Notices::to(sink))
        .run(run);
    let pool = ledger(builder).build().await.unwrap();
    pool.shutdown().await.unwrap();
    let told = told.lock().unwrap();
    told.clone()
}

fn is_about(line: &str, run: &str) -> bool {
    line.contains(&format!("run {run} (stopped")) && line.contains("2 tasks unended")
}

#[tokio::test]
async fn a_fresh_run_tells_of_those_whose_master_is_gone() {
    let ledger = MemoryLedger::new();
    let here = |builder: Builder| builder.remembered_in(Arc::new(ledger.clone()));
    assert_eq!(notices("first", here).await, [""; 0], "there is none");
    let held = with_tasks(&ledger, "held");
    assert_eq!(notices("second", here).await, [""; 0], "its master lives");
    drop(held);
    drop(with_tasks(&ledger, "killed"));
    let told = notices("third", here).await;
    let [line] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(is_about(line, "held") && is_about(line, "killed"), "{line}");
    assert!(
        line.contains("`run(\"killed\")`") || line.contains("`run(\"held\")`"),
        "{line}"
    );
    assert_eq!(notices("third", here).await, [""; 0], "it is no fresh run");
    let picked_up = notices("killed", here).await;
    assert!(
        picked_up.iter().all(|line| !is_about(line, "held")),
        "{picked_up:?}"
    );
}

#[cfg(feature = "ledger")]
#[tokio::test]
async fn a_process_tells_once_of_the_runs_in_a_directory() {
    let name = format!(
        "podpool-told-{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    );
    let directory = std::env::temp_dir().join(name);
    let ledger = crate::ledger::SqliteLedger::new(&directory);
    drop(with_tasks(&ledger, "killed"));
    let told = notices("first", |builder| builder.ledger(&directory)).await;
    assert!(told.len() == 1 && is_about(&told[0], "killed"), "{told:?}");
    let told = notices("second", |builder| builder.ledger(&directory)).await;
    assert_eq!(told, [""; 0]);
    let listed = crate::ledger::Ledger::open(&directory);
    let unfinished = listed.unfinished().unwrap();
    let names: Vec<_> = unfinished.iter().map(|it| it.run.name.as_str()).collect();
    assert_eq!(names, ["killed"], "those without tasks are finished");
    assert_eq!(listed.delete("killed").unwrap().as_str(), "killed-0");
    assert!(listed.unfinished().unwrap().is_empty());
    std::fs::remove_dir_all(&directory).unwrap();
}
