//! How many workers the run may have, and which leave, where another process asks for that.

use podpool_core::id::WorkerId;

use super::MasterState;

/// Why a run of one machine has no workers to change.
const ONE: &str = "on one machine a run has one worker, `local`, with the slots that it was built with; to end it, stop the run";

impl MasterState {
    /// A command of another process ends the run before its tasks have ended.
    pub(crate) const fn stopped(&mut self) {
        self.life.stop();
    }

    /// Has so many workers at most from now on. The answer, or why that cannot be.
    pub(crate) fn scale(&mut self, workers: u32) -> Result<String, String> {
        let most = self.settings.workers;
        let wanted = workers as usize;
        if !self.settings.elsewhere {
            return Err(ONE.to_owned());
        }
        if wanted == 0 {
            return Err("a run has one worker at least; to have none, stop the run".to_owned());
        }
        if wanted > most {
            return Err(format!("the run was built with {most} workers at most"));
        }
        self.scaled = Some(wanted);
        // What the fleet was sent last counts no more: it must learn the new bound though no task ends or comes.
        for place in 0..self.classes.len() {
            let id = self.classes.at(place);
            if let Some(class) = self.classes.get_mut(id) {
                class.needed = None;
            }
        }
        let leave = self.beyond(wanted);
        let leaving = leave.len();
        leave.into_iter().for_each(|id| self.drain_worker(id));
        Ok(match leaving {
            0 => format!("at most {wanted} workers from now on"),
            1 => format!(
                "at most {wanted} workers from now on; 1 worker finishes what it runs and leaves"
            ),
            _ => format!(
                "at most {wanted} workers from now on; {leaving} workers finish what they run and leave"
            ),
        })
    }

    /// Workers that were starting when the run was scaled leave, as far as they are too many.
    pub(super) fn drain_beyond(&mut self) {
        if let Some(most) = self.scaled {
            let leave = self.beyond(most);
            leave.into_iter().for_each(|id| self.drain_worker(id));
        }
    }

    /// Workers beyond a number, those first that hold the fewest tasks.
    fn beyond(&self, wanted: usize) -> Vec<WorkerId> {
        let staying = self.workers.iter();
        let staying = staying.filter(|(id, worker)| {
            worker.liveness.is_here() && worker.greeting.is_some() && !self.drain.contains(id)
        });
        let held = |runs: &[podpool_core::envelope::TaskRun]| -> u64 {
            runs.iter().map(|run| u64::from(run.count)).sum()
        };
        let mut staying: Vec<_> = staying
            .map(|(id, worker)| (held(&worker.holds), *id))
            .collect();
        staying.sort_unstable();
        let leaving = staying.len().saturating_sub(wanted);
        staying.truncate(leaving);
        staying.into_iter().map(|(_, id)| id).collect()
    }

    /// Most workers at a time.
    pub(super) fn most_workers(&self) -> usize {
        self.scaled.unwrap_or(self.settings.workers)
    }

    /// Most slots at a time.
    pub(super) fn most_slots(&self) -> usize {
        let each = self.settings.slots.div_ceil(self.settings.workers.max(1));
        match self.scaled {
            Some(workers) => each.saturating_mul(workers),
            None => usize::MAX,
        }
    }

    /// Lets a worker finish what it runs and leave. The answer, or why that cannot be.
    pub(crate) fn drain_by_name(&mut self, name: &str) -> Result<String, String> {
        if !self.settings.elsewhere {
            return Err(ONE.to_owned());
        }
        let here = self.workers.iter().find(|(_, worker)| {
            let named = worker.name().is_some_and(|known| **known == *name);
            named && worker.liveness.is_here()
        });
        match here.map(|(id, _)| *id) {
            None => Err(format!("no worker called {name} is there")),
            Some(id) if self.drain.contains(&id) => Ok(format!("worker {name} leaves already")),
            Some(id) => {
                self.drain_worker(id);
                Ok(format!("worker {name} finishes what it runs and leaves"))
            }
        }
    }
}
