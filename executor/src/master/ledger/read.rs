//! Opens a run in its ledger, and reads what is remembered of it. On the ledger's thread.

use std::time::SystemTime;

use podpool_core::id::{RunId, RunName};
use podpool_core::ledger::{
    EventRecord, Ledger, LedgerError, Opened, Opening, Record, RunLedger, Status, TypeRecord,
    Unfinished, Which,
};
use podpool_core::registry::Registry;
use podpool_core::task::TaskSpec;

use super::Terms;
use crate::master::dispatch::{LeftTask, Memory};
use crate::named_run;

/// What a run remembers.
pub(super) struct Facts {
    pub(super) run: RunId,
    pub(super) name: RunName,
    pub(super) created: SystemTime,
    pub(super) mac_key: [u8; 32],
    pub(super) epoch: u64,
    pub(super) memory: Memory,
    pub(super) unfinished: Option<Unfinished>,
}

/// Opens a run, and reads what is remembered. `known` is the task of a type in this program.
pub(super) fn read(
    ledger: &dyn Ledger,
    terms: &Terms,
    known: Known,
) -> Result<(Facts, Box<dyn RunLedger>), LedgerError> {
    let Opened {
        run,
        mac_key,
        epoch,
        first,
        ledger: mut store,
        ..
    } = match &terms.attached {
        Some(wanted) => ledger.open(&Opening {
            which: Which::Existing(named_run::find(ledger, wanted)?),
            ..terms.opening.clone()
        })?,
        None => ledger.open(&terms.opening)?,
    };
    let adopted = terms.adopts.then_some(known);
    let remembered = remembered(&mut *store, adopted).and_then(|memory| Ok((store.run()?, memory)));
    let (record, mut memory) = match remembered {
        Ok(found) => found,
        Err(error) => {
            // Its lock first: a run that is held is not set aside.
            drop(store);
            return Err(ledger.set_aside(&run, error));
        }
    };
    if terms.opening.take_over {
        note_take_over(&mut *store, terms.opening.now);
    }
    memory.start_at(first);
    let registry = Registry::global().ok();
    for spec in registry.iter().flat_map(|registry| registry.iter()) {
        // Traced here, on a deep stack. A shape that cannot be traced has a version in its place.
        if (spec.shape)().is_ok_and(|shape| shape.arguments_have_maps()) {
            memory.add_unordered(spec.name);
        }
    }
    let (name, created) = (record.name, record.created);
    let facts = Facts {
        run,
        name,
        created,
        mac_key,
        epoch,
        memory,
        unfinished: None,
    };
    Ok((facts, store))
}

/// Records from whom the run was taken, where its last master has not released it.
fn note_take_over(store: &mut dyn RunLedger, now: SystemTime) {
    let masters = store.run().map(|run| run.masters).unwrap_or_default();
    let [.., last, _] = &masters[..] else {
        return;
    };
    if last.until.is_none() {
        let event = EventRecord {
            at: now,
            kind: "taken over".to_owned(),
            text: format!(
                "the run was taken from {}, its master {}",
                last.master, last.epoch
            ),
        };
        // Nothing depends on it; a ledger that cannot be written is noticed by the first task.
        store.append(&[Record::Event(event)], now).ok();
    }
}

/// Finds the task of a type.
pub(super) type Known = fn(&TypeRecord) -> Option<&'static TaskSpec>;

/// What is remembered; with the tasks that have not ended, where `adopted` finds theirs.
fn remembered(store: &mut dyn RunLedger, adopted: Option<Known>) -> Result<Memory, LedgerError> {
    let types = store.types()?;
    let spec = |it: &TypeRecord| adopted.and_then(|known| known(it));
    let specs: Vec<_> = types.iter().map(spec).collect();
    let mut memory = Memory::new(types.clone());
    let mut left = Vec::new();
    store.tasks(&mut |task| {
        memory.add(&task);
        if adopted.is_none() || task.status != Status::Unended {
            return;
        }
        let task_type = task.task_type.0 as usize;
        match specs.get(task_type).copied().flatten() {
            Some(spec) => left.push((spec, task.task, task.published)),
            None => memory.add_unknown(types.get(task_type).map_or("", |it| &it.name)),
        }
    })?;
    for (spec, task, published) in left {
        // Listed a moment ago, and nothing but the run's masters removes tasks.
        if let Some(record) = store.task(task)? {
            let attempts = store.attempts(task)?.into_iter();
            memory.add_left(LeftTask {
                spec,
                record,
                published,
                attempts: attempts.map(|it| it.report).collect(),
            });
        }
    }
    Ok(memory)
}
