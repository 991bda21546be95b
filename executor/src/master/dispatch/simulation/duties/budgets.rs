//! The budgets of a task, one for each cause.

use podpool_core::outcome::Cause;
use podpool_core::retry::Blame;

use super::tasks::Task;

/// Crashes, and ends of workers, after which a task still runs again.
const CRASHES: u32 = 2;
/// Times out of memory after which a task still runs again.
const OUT_OF_MEMORY: u32 = 1;
/// The loss that ends a task.
const LAST_LOSS: u32 = 100;
impl Task {
    /// Spends the budget of a cause; false when it was spent.
    pub(super) const fn spend(&mut self, cause: Cause) -> bool {
        if !matches!(cause, Cause::Broken | Cause::Cancelled) {
            self.losses_in_row = 0;
        }
        let (spent, budget) = match cause {
            Cause::Failed | Cause::Panicked | Cause::TimedOut => (&mut self.failures, self.retries),
            Cause::Crashed => (&mut self.crashes, CRASHES),
            Cause::OutOfMemory => (&mut self.out_of_memory, OUT_OF_MEMORY),
            Cause::Broken | Cause::Cancelled => (&mut self.losses, LAST_LOSS - 1),
            Cause::Suspect => return true,
            _ => return false,
        };
        *spent += 1;
        *spent <= budget
    }

    /// The same for a loss, by the budget that its blame names.
    pub(super) fn spend_loss(&mut self, blame: Blame, cause: Cause) -> bool {
        let (spent, budget) = match (blame, cause) {
            (Blame::None, _) => return self.losses < LAST_LOSS,
            (Blame::Suspect, _) => return true,
            (Blame::Charged, Cause::OutOfMemory) => (&mut self.out_of_memory, OUT_OF_MEMORY),
            (Blame::Charged, _) => (&mut self.workers, CRASHES),
        };
        *spent += 1;
        *spent <= budget
    }
}
