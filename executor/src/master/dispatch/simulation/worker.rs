//! A worker of the simulation: its state, its slots, its leases.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use podpool_core::broker::ClassId;
use podpool_core::envelope::{Control, Hello, MacKey, Printed, Revoked, TaskType};
use podpool_core::fleet::{Departure, End as WorkerEnd};
use podpool_core::id::{ExecutionId, RunId, TaskId, WorkerId};
use podpool_core::outcome::Failure;
use podpool_core::queue::LeaseId;
use podpool_core::worker::frame::TaskTypeInfo;
use podpool_core::worker::state::Lookup;
use podpool_core::worker::{Settings as WorkerSettings, WorkerState};
use tokio::time::Instant;

use super::slots::{Ran, Slots};

/// How long a slot may take to start, or to end a cancelled task.
const GRACE: Duration = Duration::from_secs(1);
/// Slots of each worker.
pub(super) const SLOTS: u32 = 2;

/// One life of a worker.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) name: String,
    pub(super) state: WorkerState,
    pub(super) slots: Slots,
    pub(super) leases: BTreeSet<LeaseId>,
    pub(super) life: u64,
    pub(super) beats: u32,
    /// Whether its greeting was answered.
    pub(super) greeted: bool,
    /// Until then what it sends is on its way.
    pub(super) muted: Option<Instant>,
    /// Lines that its slots printed.
    pub(super) lines: u64,
    /// The newest that it was told.
    told: Option<Control>,
}

/// What a worker knows of the one task type.
pub(super) struct Knows(pub(super) bool);

impl Lookup for Knows {
    fn look_up(&self, _: &TaskType) -> Result<TaskTypeInfo, Failure> {
        Ok(TaskTypeInfo {
            index: 0,
            finish_on_lost_lease: self.0,
            ..TaskTypeInfo::UNKNOWN
        })
    }
}

pub(super) fn run_id() -> RunId {
    RunId::new("simulation").unwrap()
}

impl Worker {
    pub(super) fn new(number: usize, life: u64) -> Self {
        let id = WorkerId(number as u64 + 100 * life);
        let settings = WorkerSettings {
            run: run_id(),
            worker: id,
            mac_key: MacKey::Absent,
            slots: SLOTS,
            max_tasks_per_slot: (number == 1).then_some(20),
            grace: GRACE,
            start_timeout: GRACE,
            message_bytes: 1 << 20,
            shared_memory: None,
            types: None,
        };
        Self {
            id,
            name: format!("pod-{number}-{life}"),
            state: WorkerState::new(settings),
            slots: Slots::default(),
            leases: BTreeSet::new(),
            life,
            beats: 0,
            greeted: false,
            muted: None,
            lines: 0,
            told: None,
        }
    }

    pub(super) fn hello(&mut self) -> Hello {
        Hello {
            run: run_id(),
            worker: self.id,
            name: self.name.as_str().into(),
            node: "node".into(),
            class: ClassId::DEFAULT,
            slots: SLOTS,
            build: String::new(),
            epoch: self.state.epoch(),
            sequence: self.state.next_sequence(),
        }
    }

    /// The message of its lines; their texts do not matter.
    pub(super) fn printed(&self) -> Bytes {
        let printed = Printed {
            run: run_id(),
            worker: self.id,
            epoch: self.state.epoch(),
            tasks: Vec::new(),
            lines: Vec::new(),
            left_out: 0,
            through: self.lines,
        };
        printed.message(&MacKey::Absent)
    }

    /// Whether the master has heard its greeting, and what must not run.
    pub(super) fn note(&mut self, control: &Control) {
        self.greeted |= control.greeted.contains(&self.id);
        let age = |control: &Control| (control.epoch, control.sequence);
        if self
            .told
            .as_ref()
            .is_none_or(|told| age(told) < age(control))
        {
            self.told = Some(control.clone());
        }
    }

    /// The newest master that it has heard of; 0 for none.
    pub(super) fn told_epoch(&self) -> u64 {
        self.told.as_ref().map_or(0, |told| told.epoch)
    }

    /// Nothing that is revoked begins once the worker knows it.
    pub(super) fn check_begun(&self, ran: &[Ran]) {
        let Some(told) = &self.told else {
            return;
        };
        for begun in ran {
            let Ran::Begun(task, attempt) = begun else {
                continue;
            };
            let names = |range: &Revoked| {
                (range.first..=range.last).contains(task) && *attempt <= range.attempt
            };
            let revoked = *task < told.ended_below || told.revoked.iter().any(names);
            assert!(!revoked, "task {task}, attempt {attempt}, was revoked");
        }
    }

    /// How its fleet sees its end.
    pub(super) fn departure(&self, end: WorkerEnd) -> Departure {
        let running = self.slots.running_tasks().into_iter();
        let execution = ExecutionId {
            worker: self.id,
            number: 0,
        };
        Departure {
            worker: self.name.as_str().into(),
            node: None,
            end,
            reason: "as the test wants it".to_owned(),
            at: None,
            running: running
                .map(|(task, attempt)| (execution, task, attempt))
                .collect(),
        }
    }

    /// The task that alone runs there.
    pub(super) fn only_task(&self) -> Option<TaskId> {
        match self.slots.running_tasks().as_slice() {
            [(task, _)] => Some(*task),
            _ => None,
        }
    }
}
