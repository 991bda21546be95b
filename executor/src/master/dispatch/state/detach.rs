//! The master leaves, and the run goes on: everything is published first.

use podpool_core::envelope::RunState;
use podpool_core::fleet::FleetOrder;
use tokio::time::Instant;

use super::MasterState;
use super::life::Breach;

/// What the futures of tasks get that go on without this master.
const REASON: &str =
    "the run goes on without this process; pick it up by its name, and call the task again";

impl MasterState {
    /// The master leaves as soon as everything that waits is published. Tasks between two attempts wait for the next
    /// master.
    pub(crate) fn detach(&mut self) {
        self.life.detach();
        self.classes.open_gates();
    }

    /// The last thing before the workers learn of a turn: leaves the run, if it can go on without this master.
    pub(super) fn leave_run(&mut self, now: Instant) {
        // With nothing left to do the run ends as any other.
        if !self.life.is_detaching() || self.unfinished() == 0 || !self.is_published() {
            return;
        }
        self.judge_all_failures(now);
        // Failures may have ended the last task, or put another into the outbox.
        if self.unfinished() == 0 || !self.is_published() {
            return;
        }
        // Before the futures end: control states which tasks have ended, and these have not.
        self.run_state = RunState::Detached;
        self.send_control(now);
        self.life.breach(Breach::Detached, REASON);
        self.order(FleetOrder::Detach);
        self.life.end_fleet();
        let kind = Breach::Detached.kind();
        self.end_all(kind, REASON);
    }

    /// Whether nothing waits to be published, and every batch is stored.
    fn is_published(&self) -> bool {
        self.waiting() == 0 && !self.batches.are_sending()
    }
}
