//! What a program does in the simulation: it submits tasks, and cancels some.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::id::TaskId;
use podpool_core::task::CallOptions;

use crate::master::cell::{Cell, CellGuard};
use crate::master::mailbox::Submission;

use super::script::Script;
use super::world::{TASKS_BY_TYPE, World};

impl World {
    /// A task whose end its script decides.
    pub(super) fn submit(&mut self) {
        let script = Script::random(&mut self.site.rng);
        let number = self.cells.len() as u64;
        let task_type = match script.end() {
            Some(_) if self.site.chance(70) => 1,
            _ => 2 * usize::from(self.site.chance(10)),
        };
        let spec = &TASKS_BY_TYPE[task_type];
        let cell = Arc::new(Cell::new(spec));
        cell.set_id(TaskId(number));
        let retries = 1 + self.site.rng.u32(..3);
        let mut options = CallOptions::default();
        options.retries = Some(retries);
        let seconds = if script == Script::Long { 60 } else { 1 };
        options.timeout = Some(Duration::from_secs(seconds));
        options.priority = self.site.rng.i32(-1..2);
        let facts = (options.priority, task_type as u32, retries);
        self.duties.submitted(number, facts);
        self.scripts.push(script);
        self.cells.push(cell.clone());
        self.master.submit(Submission {
            cell: CellGuard::new(cell),
            spec,
            arguments: vec![script as u8].into(),
            options: Some(Box::new(options)),
        });
    }

    /// A task that was submitted is cancelled.
    pub(super) fn cancel(&mut self, task: TaskId) {
        if (task.0 as usize) < self.cells.len() {
            self.cancelled.insert(task.0);
            self.duties.cancelled(task);
            self.master.cancel(task);
        }
    }
}
