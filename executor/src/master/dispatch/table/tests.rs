//! Tests of the table of tasks.

use std::sync::Arc;

use super::*;
use crate::client::future::fake::TASK;
use crate::error::{TaskError, TaskErrorKind};
use crate::master::cell::{Cell, CellGuard, Wakers};

fn entry(id: u64) -> Entry {
    let cell = Arc::new(Cell::new(&TASK));
    cell.set_id(TaskId(id));
    let error = TaskError::new(TaskErrorKind::Cancelled, cell.subject(), "");
    cell.settle(Err(error), &mut Wakers::default());
    Entry {
        owners: CellGuard::new(cell).into(),
        spec: &TASK,
        class: ClassId::DEFAULT,
        arguments: Arguments::default(),
        options: None,
        history: None,
        attempt: Attempt::FIRST,
        batch: 0,
        phase: Phase::Waiting,
        running: false,
        alone: false,
        repeated: false,
    }
}

fn table(numbers: impl IntoIterator<Item = u64>) -> Table {
    let mut table = Table::default();
    numbers
        .into_iter()
        .for_each(|id| table.insert(TaskId(id), entry(id)));
    table
}

fn ids(table: &Table) -> Vec<u64> {
    table.ids().iter().map(|id| id.0).collect()
}

/// Entries that hold memory, ended or not.
fn kept(table: &Table) -> usize {
    table
        .chunks
        .iter()
        .map(|chunk| chunk.entries.capacity())
        .sum()
}

const CHUNKS: u64 = CHUNK as u64;

#[test]
fn chunks_whose_tasks_ended_are_freed_even_behind_an_older_task() {
    let mut table = table(0..4 * CHUNKS);
    (1..3 * CHUNKS).for_each(|id| drop(table.remove(TaskId(id)).unwrap()));
    assert_eq!(kept(&table), 2 * CHUNK, "the first and the last");
    assert_eq!(table.len() as u64, 1 + CHUNKS);
    assert_eq!(ids(&table)[..2], [0, 3 * CHUNKS]);
    assert_eq!(table.ended_below(), TaskId(0));
    assert!(table.remove(TaskId(0)).is_some());
    assert_eq!((table.base, table.chunks.len()), (3 * CHUNKS, 1));
    assert_eq!(kept(&table), CHUNK);
    assert_eq!(table.ended_below(), TaskId(3 * CHUNKS));
    assert!(table.get_mut(TaskId(3 * CHUNKS)).is_some());
}

#[test]
fn a_task_ends_once_and_unknown_numbers_have_no_entry() {
    let mut table = table(0..2 * CHUNKS);
    (0..CHUNKS).for_each(|id| drop(table.remove(TaskId(id)).unwrap()));
    for gone in [0, CHUNKS - 1, 2 * CHUNKS, 9 * CHUNKS, u64::MAX] {
        assert!(table.remove(TaskId(gone)).is_none(), "{gone}");
        assert!(table.get_mut(TaskId(gone)).is_none(), "{gone}");
    }
    assert_eq!(table.len() as u64, CHUNKS);
}

#[test]
fn numbers_that_are_left_out_stay_empty() {
    let mut table = table([2, 5, 2 * CHUNKS + 1]);
    assert_eq!(ids(&table), [2, 5, 2 * CHUNKS + 1]);
    assert!(table.get_mut(TaskId(3)).is_none());
    for id in [5, 2, 2 * CHUNKS + 1] {
        assert!(table.remove(TaskId(id)).is_some());
    }
    assert_eq!((table.len(), ids(&table)), (0, vec![]));
    assert_eq!(table.ended_below(), TaskId(2 * CHUNKS + 2));
    table.insert(TaskId(2 * CHUNKS + 2), entry(2 * CHUNKS + 2));
    assert_eq!(ids(&table), [2 * CHUNKS + 2]);
}

#[test]
fn a_chunk_that_is_still_filled_is_kept_until_it_is_full() {
    let mut table = table(0..10);
    (0..10).for_each(|id| drop(table.remove(TaskId(id)).unwrap()));
    (10..CHUNKS + 3).for_each(|id| table.insert(TaskId(id), entry(id)));
    (10..CHUNKS).for_each(|id| drop(table.remove(TaskId(id)).unwrap()));
    assert_eq!(ids(&table), [CHUNKS, CHUNKS + 1, CHUNKS + 2]);
    assert_eq!(table.ended_below(), TaskId(CHUNKS));
    assert_eq!(table.base, CHUNKS);
}
