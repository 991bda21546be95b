//! A fuzz target: any state that is folded from any prefix of records is valid, and the ledger in memory has the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::*;
use crate::fuzz::INPUTS;
use crate::id::{RunId, RunName};
use crate::ledger::memory::MemoryLedger;
use crate::ledger::{Ledger, Master, Opening, ReadRun, Which};

/// A record, by what is drawn for it: few types, tasks and identities, so that records meet.
fn record((kind, task, other): (u8, u8, u8)) -> Record {
    let number = u64::from(task % 16);
    let attempt = u32::from(other % 4) + 1;
    match kind % 12 {
        0 => a_type(u32::from(task % 4)),
        1..=4 => a_task(number, u32::from(other % 3), other % 6),
        5 => an_attempt(number, attempt),
        6 => amended(an_attempt(number, attempt)),
        7 => a_publish(number, attempt),
        8 => an_end(number, End::Done(Bytes::new())),
        9 => an_end(number, End::Cancelled),
        10 => an_end(number, End::Interrupted),
        _ if other % 2 == 0 => Record::Reserved(TaskId(number)),
        _ => an_event(),
    }
}

/// Checks all that must hold in every state, and that it follows from the state before.
fn is_valid(before: &BTreeMap<TaskId, Folded>, fold: &Fold) -> BTreeMap<TaskId, Folded> {
    let mut unended = BTreeSet::new();
    let mut tasks = BTreeMap::new();
    for task in fold.tasks() {
        let fresh = task.status != Status::Unended || unended.insert(task.identity);
        assert!(fresh, "two tasks of one identity have not ended: {task:?}");
        assert!(task.task_type.0 < fold.types, "{task:?} has no type");
        let newest = fold.newest(task.identity).expect("it has a newest task");
        let is_newest = newest.task == task.task;
        assert!(
            is_newest || task.status != Status::Unended,
            "{task:?} is history"
        );
        tasks.insert(task.task, task);
    }
    for (number, old) in before {
        let task = tasks.get(number).expect("a task stays");
        let same = Folded {
            status: old.status,
            published: old.published,
            attempts: old.attempts,
            ..*task
        };
        assert_eq!(same, *old, "neither identity nor content changes");
        let ends = old.status == task.status || old.status == Status::Unended;
        let forward = ends && old.published <= task.published && old.attempts <= task.attempts;
        assert!(forward, "{old:?} became {task:?}");
    }
    assert!(tasks.len() - before.len() <= 1);
    tasks
}

fn memory() -> Box<dyn crate::ledger::RunLedger> {
    let name = RunName::new("nightly").unwrap();
    let opening = Opening {
        which: Which::Named {
            fresh: RunId::of(&name),
            name,
            mac_key: [0; 32],
        },
        master: Master::default(),
        take_over: false,
        now: SystemTime::UNIX_EPOCH,
    };
    MemoryLedger::new().open(&opening).unwrap().ledger
}

fn stored(run: &mut dyn ReadRun) -> Vec<Folded> {
    let mut tasks = Vec::new();
    run.tasks(&mut |task| tasks.push(task)).unwrap();
    tasks
}

#[test]
fn records() {
    let target = bolero::check!().with_iterations(INPUTS);
    target.with_type::<Vec<(u8, u8, u8)>>().for_each(|drawn| {
        let mut fold = Fold::default();
        let mut state = BTreeMap::new();
        let mut memory = memory();
        for record in drawn.iter().copied().map(record) {
            let applied = fold.apply(&record);
            let appended = memory.append(&[record], SystemTime::UNIX_EPOCH);
            assert_eq!(appended.is_ok(), applied.is_ok());
            state = is_valid(&state, &fold);
        }
        assert!(fold.tasks().eq(stored(&mut *memory)));
    });
}
