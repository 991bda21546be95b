//! Whether a task whose execution ended without a result runs again: the one place where budgets are spent. Pure.

use std::time::Duration;

use crate::outcome::{Cause, Failure};
use crate::task::Backoff;

/// Losses in a row after which a task runs alone: it may be what ends its workers.
// With 10 % of executions lost by chance, five in a row happen to one task in 100,000. With two, one task in a hundred
// would run alone without a reason; with ten, a task that ends its worker would end ten.
const ALONE_AFTER: u32 = 5;
/// Executions lost with their workers after which a task is given up. Spot nodes go often, so that it is far more than
/// a task meets by chance: with one loss in ten executions, a hundred in a row do not happen.
const LOSSES: u32 = 100;

/// How often a task may fail, by cause.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Attempts after the first when the task itself fails. Default: 0.
    pub retries: u32,
    /// Crashes after which it still runs again. Default: 2.
    pub crashes: u32,
    /// Workers that may end because of it, and it still runs again. Default: 2.
    pub workers: u32,
    /// Times it may run out of memory and run again at the same size. Default: 1.
    pub out_of_memory: u32,
    /// Delays between attempts.
    pub backoff: Backoff,
}

impl Policy {
    /// The default budgets with so many retries.
    #[must_use]
    pub const fn new(retries: u32, backoff: Backoff) -> Self {
        Self {
            retries,
            crashes: 2,
            workers: 2,
            out_of_memory: 1,
            backoff,
        }
    }
}

/// What a task has spent, before the end that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Failures, panics and timeouts.
    pub failures: u32,
    /// Crashes that were its own.
    pub crashes: u32,
    /// Workers that ended while it alone ran in them.
    pub workers: u32,
    /// Times out of memory.
    pub out_of_memory: u32,
    /// Deaths of a process for which it was only suspected.
    pub suspicions: u32,
    /// Executions that were lost with their worker.
    pub losses: u32,
    /// The same since the last failure that was reported, or since it ran alone.
    pub losses_in_row: u32,
}

/// What a worker's end means for a task that the worker had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nothing: the execution was lost with its worker.
    None,
    /// The worker ended while the task alone ran there.
    Charged,
    /// The worker ended while other tasks ran there too.
    Suspect,
}

/// How an execution ended without a result.
#[derive(Clone, Copy, Debug)]
pub enum Ended<'a> {
    /// A slot or its worker reported it. Nothing of the attempt is left in the queue.
    Reported(&'a Failure),
    /// Its worker is gone, or gave it back. Its message comes again by its lease.
    Lost {
        /// What the worker's end means for the task.
        blame: Blame,
        /// The cause that is reported: it names the budget of a charge.
        cause: Cause,
        /// Whether this loss was not counted yet.
        fresh: bool,
    },
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// The next attempt is published after a delay. What is left of a lost one in the queue must not run.
    Retry {
        /// How long to wait.
        after: Duration,
        /// Whether it runs alone, in a fresh slot: it is a suspect, and only a death there is proof.
        alone: bool,
    },
    /// The same attempt comes back by itself.
    Wait,
    /// The future resolves to the failure.
    GiveUp,
}

impl Decision {
    const AT_ONCE: Self = Self::Retry {
        after: Duration::ZERO,
        alone: false,
    };
    const ALONE: Self = Self::Retry {
        after: Duration::ZERO,
        alone: true,
    };

    /// `again` while the budget holds.
    const fn within(spent: u32, budget: u32, again: Self) -> Self {
        if spent <= budget { again } else { Self::GiveUp }
    }
}

/// Judges the end of an execution. `spent` is brought up to date; `jitter` lies in 0..1 and shortens the delay by up to
/// half.
///
/// A suspicion costs nothing: the task runs alone, and only what happens there counts.
pub fn decide(policy: &Policy, spent: &mut Spent, ended: Ended<'_>, jitter: f32) -> Decision {
    match ended {
        Ended::Reported(failure) => reported(policy, spent, failure, jitter),
        Ended::Lost {
            blame,
            cause,
            fresh,
        } => {
            // A loss may be reported twice, by the fleet and by silence: only the first counts, though both are judged.
            spent.losses += u32::from(fresh);
            spent.losses_in_row += u32::from(fresh);
            lost(policy, spent, blame, cause)
        }
    }
}

fn reported(policy: &Policy, spent: &mut Spent, failure: &Failure, jitter: f32) -> Decision {
    match failure.cause {
        Cause::Failed | Cause::Panicked | Cause::TimedOut => {
            spent.losses_in_row = 0;
            // Before the failure is counted: the exponent is 0 for the first retry, which waits for the initial delay.
            let after = delay(&policy.backoff, spent.failures, jitter);
            spent.failures += 1;
            if !failure.retryable {
                return Decision::GiveUp;
            }
            let again = Decision::Retry {
                after,
                alone: false,
            };
            Decision::within(spent.failures, policy.retries, again)
        }
        Cause::Crashed => {
            spent.losses_in_row = 0;
            spent.crashes += 1;
            // The charge suffices: if the task crashes again among others, it is a suspect first, so that none of the
            // others is charged.
            Decision::within(spent.crashes, policy.crashes, Decision::AT_ONCE)
        }
        Cause::OutOfMemory => {
            spent.losses_in_row = 0;
            spent.out_of_memory += 1;
            Decision::within(spent.out_of_memory, policy.out_of_memory, Decision::AT_ONCE)
        }
        Cause::Suspect => {
            spent.losses_in_row = 0;
            spent.suspicions += 1;
            Decision::ALONE
        }
        // Its worker gave it back, and it comes again.
        Cause::Interrupted => Decision::Wait,
        // The slots of its worker do not start, or the worker was told to cancel it by a master that is no more: what this
        // one cancels has ended. The worker has acknowledged it: the next attempt is published.
        Cause::Broken | Cause::Cancelled => {
            spent.losses += 1;
            // Counted as a loss: a fleet on which no slot starts must not send its tasks around for ever.
            Decision::within(spent.losses, LOSSES - 1, Decision::AT_ONCE)
        }
        Cause::Rejected => Decision::GiveUp,
    }
}

fn lost(policy: &Policy, spent: &mut Spent, blame: Blame, cause: Cause) -> Decision {
    let again = match blame {
        Blame::Charged if cause == Cause::OutOfMemory => {
            spent.out_of_memory += 1;
            Decision::within(spent.out_of_memory, policy.out_of_memory, Decision::Wait)
        }
        Blame::Charged => {
            spent.workers += 1;
            Decision::within(spent.workers, policy.workers, Decision::Wait)
        }
        Blame::Suspect => Decision::ALONE,
        Blame::None => Decision::within(spent.losses, LOSSES - 1, Decision::Wait),
    };
    // After the budgets: a task that is given up must not be published once more.
    if again == Decision::Wait && spent.losses_in_row >= ALONE_AFTER {
        spent.losses_in_row = 0;
        return Decision::ALONE;
    }
    if again == Decision::ALONE {
        spent.losses_in_row = 0;
    }
    again
}

/// The delay before attempt `failures + 2`: exponential up to its bound, shortened by up to half. It is total: whatever
/// a backoff holds, the delay is no longer than its `max`.
fn delay(backoff: &Backoff, failures: u32, jitter: f32) -> Duration {
    // `powi` takes an i32. Past some thousand the power is infinite in any case, and `min` cuts it.
    let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
    // Below 1 and no number: delays that do not grow.
    let factor = f64::from(backoff.factor).max(1.0);
    let longest = backoff.max.as_secs_f64();
    // Zero times infinity is no number either.
    let grown = match backoff.initial.as_secs_f64() {
        0.0 => 0.0,
        initial => (initial * factor.powi(exponent)).min(longest),
    };
    let jitter = if jitter.is_nan() { 0.0 } else { jitter };
    let shortened = grown * (1.0 - f64::from(jitter.clamp(0.0, 1.0)) / 2.0);
    Duration::try_from_secs_f64(shortened).map_or(backoff.max, |delay| delay.min(backoff.max))
}

#[cfg(test)]
mod tests;
