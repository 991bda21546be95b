//! The fold against a judgement that looks at all earlier records anew, on any sequence of records.

mod fuzz;

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::broker::ClassId;
use crate::error::{AttemptReport, TaskErrorKind};
use crate::id::Attempt;
use crate::ledger::{
    AttemptRecord, End, EndRecord, EventRecord, PublishedRecord, TaskRecord, TypeRecord, Why,
};
use crate::outcome::{Cause, Failure};
use crate::shape::Fingerprint;

fn a_type(number: u32) -> Record {
    Record::Type(TypeRecord {
        number: TypeId(number),
        name: "it".to_owned(),
        version: None,
        fingerprint: Fingerprint([0; 16]),
        shape: String::new(),
        parameters: Vec::new(),
    })
}

fn a_task(task: u64, task_type: u32, identity: u8) -> Record {
    Record::Task(TaskRecord {
        task: TaskId(task),
        task_type: TypeId(task_type),
        identity: Identity([identity; 16]),
        content: Content([identity; 16]),
        class: ClassId::DEFAULT,
        arguments: Bytes::new(),
        options: None,
        why: Why::First,
    })
}

fn a_publish(task: u64, attempt: u32) -> Record {
    Record::Published(PublishedRecord {
        task: TaskId(task),
        attempt: Attempt(attempt),
    })
}

fn an_attempt(task: u64, attempt: u32) -> Record {
    let failure = Failure::new(Cause::Failed, "no");
    Record::Attempt(AttemptRecord {
        task: TaskId(task),
        report: AttemptReport::new(Attempt(attempt), failure),
    })
}

fn amended(attempt: Record) -> Record {
    match attempt {
        Record::Attempt(it) => Record::Amended(it),
        other => other,
    }
}

fn an_event() -> Record {
    Record::Event(EventRecord {
        at: std::time::SystemTime::UNIX_EPOCH,
        kind: "worker came".to_owned(),
        text: String::new(),
    })
}

fn an_end(task: u64, end: End) -> Record {
    Record::End(EndRecord {
        started: None,
        queued: None,
        task: TaskId(task),
        attempt: Attempt::FIRST,
        elapsed: Some(Duration::from_millis(1)),
        worker: None,
        node: None,
        execution: None,
        skipped: false,
        end,
    })
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Done(Bytes::new())),
        Just(End::Failed {
            kind: TaskErrorKind::Failed,
            message: String::new(),
        }),
        Just(End::Cancelled),
        Just(End::Interrupted),
    ]
}

/// Records of few types, tasks and identities, so that they meet.
fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        1 => Just(an_event()),
        1 => (0..99_u64).prop_map(|number| Record::Reserved(TaskId(number))),
        1 => (0..4_u32).prop_map(a_type),
        4 => (0..12_u64, 0..3_u32, 0..5_u8).prop_map(|(task, of, same)| a_task(task, of, same)),
        2 => (0..12_u64, 1..5_u32).prop_map(|(task, attempt)| an_attempt(task, attempt)),
        1 => (0..12_u64, 1..5_u32).prop_map(|(task, attempt)| amended(an_attempt(task, attempt))),
        2 => (0..12_u64, 1..5_u32).prop_map(|(task, attempt)| a_publish(task, attempt)),
        3 => (0..12_u64, ends()).prop_map(|(task, end)| an_end(task, end)),
    ]
}

fn is_task(record: &Record, task: TaskId) -> bool {
    matches!(record, Record::Task(it) if it.task == task)
}

fn is_end(record: &Record, task: TaskId) -> bool {
    matches!(record, Record::End(it) if it.task == task)
}

/// What a fold must answer to a record, by all that it took in before.
fn judge(taken: &[Record], record: &Record) -> Result<(), FoldError> {
    let any = |is: &dyn Fn(&Record) -> bool| taken.iter().any(is);
    let types = taken.iter().filter(|it| matches!(it, Record::Type(_)));
    let types = types.count() as u32;
    match record {
        Record::Type(it) if it.number.0 == types => Ok(()),
        Record::Type(it) => Err(FoldError::TypeNumber(it.number)),
        Record::Reserved(_) | Record::Event(_) | Record::Place(_) => Ok(()),
        Record::Task(it) if it.task_type.0 >= types => Err(FoldError::UnknownType(it.task)),
        Record::Task(it) if any(&|other| is_task(other, it.task)) => Err(FoldError::Twice(it.task)),
        Record::Task(it) => {
            let unended = |other: &Record| match other {
                Record::Task(other) => {
                    other.identity == it.identity && !any(&|end| is_end(end, other.task))
                }
                _ => false,
            };
            match any(&unended) {
                true => Err(FoldError::Same(it.task)),
                false => Ok(()),
            }
        }
        Record::Published(it) if any(&|other| is_task(other, it.task)) => Ok(()),
        Record::Published(it) => Err(FoldError::UnknownTask(it.task)),
        Record::Attempt(AttemptRecord { task, .. })
        | Record::Amended(AttemptRecord { task, .. })
        | Record::End(EndRecord { task, .. }) => {
            if !any(&|other| is_task(other, *task)) {
                Err(FoldError::UnknownTask(*task))
            } else if any(&|other| is_end(other, *task)) {
                Err(FoldError::Ended(*task))
            } else {
                Ok(())
            }
        }
    }
}

/// What the taken records say of a task, looked up one by one.
fn looked_up(taken: &[Record], task: &TaskRecord) -> Folded {
    let end = taken.iter().find_map(|record| match record {
        Record::End(it) if it.task == task.task => Some(it.end.status()),
        _ => None,
    });
    let before = taken.iter().take_while(|it| !is_end(it, task.task));
    let published = before.clone().filter_map(|record| match record {
        Record::Published(it) if it.task == task.task => Some(it.attempt),
        _ => None,
    });
    let attempts = before.filter_map(|record| match record {
        Record::Attempt(it) | Record::Amended(it) if it.task == task.task => {
            Some(it.report.attempt.0)
        }
        _ => None,
    });
    Folded {
        task: task.task,
        task_type: task.task_type,
        identity: task.identity,
        content: task.content,
        status: end.unwrap_or(Status::Unended),
        published: published.max(),
        attempts: attempts.max().unwrap_or(0),
        why: task.why,
    }
}

fn same(one: &Fold, other: &Fold) -> bool {
    one.types == other.types && one.tasks == other.tasks && one.newest == other.newest
}

fn fold(records: &[Record]) -> Fold {
    let mut fold = Fold::default();
    for record in records {
        assert_eq!(fold.apply(record), Ok(()), "{record:?}");
    }
    fold
}

proptest! {
    #[test]
    fn any_sequence_folds_as_it_is_judged_and_a_refusal_changes_nothing(
        records in vec(records(), 0..80),
    ) {
        let (mut fold, mut taken) = (Fold::default(), Vec::new());
        for record in records {
            let before = fold.clone();
            let applied = fold.apply(&record);
            prop_assert_eq!(applied, judge(&taken, &record), "{:?}", record);
            match applied {
                Ok(()) => taken.push(record),
                Err(_) => prop_assert!(same(&before, &fold)),
            }
        }
        let tasks = taken.iter().filter_map(|record| match record {
            Record::Task(it) => Some(looked_up(&taken, it)),
            _ => None,
        });
        let mut tasks: Vec<_> = tasks.collect();
        for task in &tasks {
            // The later ones of an identity stand behind the earlier ones here.
            let newest = tasks.iter().rfind(|it| it.identity == task.identity);
            prop_assert_eq!(fold.newest(task.identity), newest.copied());
        }
        tasks.sort_by_key(|it| it.task);
        prop_assert_eq!(fold.tasks().collect::<Vec<_>>(), tasks);
    }

    #[test]
    fn any_prefix_of_what_was_taken_in_is_a_state_of_its_own(records in vec(records(), 0..80)) {
        let mut states = vec![Fold::default()];
        let mut taken = Vec::new();
        for record in records {
            let mut next = states[taken.len()].clone();
            if next.apply(&record).is_ok() {
                taken.push(record);
                states.push(next);
            }
        }
        for (length, state) in states.iter().enumerate() {
            prop_assert!(same(&fold(&taken[..length]), state));
        }
    }
}

#[test]
fn a_task_that_has_ended_gives_its_identity_to_the_next() {
    let mut fold = fold(&[a_type(0), a_task(5, 0, 7)]);
    assert_eq!(
        fold.apply(&a_task(2, 0, 7)),
        Err(FoldError::Same(TaskId(2)))
    );
    fold.apply(&an_attempt(5, 1)).unwrap();
    fold.apply(&an_end(5, End::Cancelled)).unwrap();
    assert_eq!(
        fold.apply(&an_attempt(5, 2)),
        Err(FoldError::Ended(TaskId(5)))
    );
    fold.apply(&a_task(2, 0, 7)).unwrap();
    let newest = fold.newest(Identity([7; 16])).unwrap();
    assert_eq!((newest.task, newest.status), (TaskId(2), Status::Unended));
    assert_eq!(fold.newest(Identity([8; 16])), None);
    let tasks: Vec<_> = fold.tasks().map(|it| (it.task.0, it.status)).collect();
    assert_eq!(tasks, [(2, Status::Unended), (5, Status::Cancelled)]);
}
