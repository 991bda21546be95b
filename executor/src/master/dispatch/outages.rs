//! Queues that refuse, or do not answer: when a notice is due, and when the pool ends.

use std::time::Duration;

use podpool_core::notice;
use podpool_core::queue::QueueError;
use podpool_core::queue::publisher::Publisher;
use podpool_core::queue::refusals::Refusals;
use tokio::time::Instant;
use tracing::debug;

use super::notices::{QueueNotice, QueueTrouble, Refusing};
use super::task_queues::{self, TaskQueues};

/// The refusals of the queues of a run.
#[derive(Debug)]
pub(super) struct Outages {
    /// For how long a queue may refuse everything.
    timeout: Duration,
    /// Pulls of results that were refused in a row.
    pulls: Refusals,
    /// The error of the last of them.
    refusal: Option<String>,
    /// The queues of results and control, then those of tasks in the order of their classes.
    // In the order of `refusing`, which is compared place by place. The classes of a run never change.
    troubles: Vec<QueueTrouble>,
}

impl Outages {
    pub(super) fn new(timeout: Duration, tasks: &TaskQueues) -> Self {
        let of_run = [
            QueueTrouble::new("the results' queue", "gives nothing"),
            QueueTrouble::new("the control queue", "takes nothing"),
        ];
        let of_tasks = tasks
            .iter()
            .map(|(class, _)| QueueTrouble::new(task_queues::name(class), "takes nothing"));
        Self {
            timeout,
            pulls: Refusals::default(),
            refusal: None,
            troubles: of_run.into_iter().chain(of_tasks).collect(),
        }
    }

    /// For how long a queue may refuse everything.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A pull of results was answered.
    pub(super) fn pulled(&mut self, now: Instant) {
        self.pulls.served(now);
        self.refusal = None;
    }

    /// A pull was refused. How long to wait before the next one, or why there is none.
    pub(super) fn refused(
        &mut self,
        now: Instant,
        error: &QueueError,
        jitter: f32,
    ) -> Result<Duration, String> {
        let pause = self.pulls.refused(now, self.timeout, jitter);
        self.refusal = Some(error.to_string());
        let Some(pause) = pause else {
            return Err(format!(
                "the results' queue gives nothing any more: {error}"
            ));
        };
        debug!(%error, ?pause, "no results were pulled");
        Ok(pause)
    }

    /// Why the pool must end: a queue that takes nothing for the timeout is gone.
    // Pulls are not among them: `refused` ends the pool with the refusal that comes when the time is over.
    pub(super) fn given_up(
        &self,
        now: Instant,
        tasks: &TaskQueues,
        control: &Publisher<()>,
    ) -> Option<String> {
        let tasks = tasks.given_up(now, self.timeout);
        tasks.or_else(|| control.given_up(now, self.timeout, "the control queue"))
    }

    /// When a notice about a queue that refuses is due.
    pub(super) fn deadline(&self, tasks: &TaskQueues, control: &Publisher<()>) -> Option<Instant> {
        let pulls = self.pulls.since().zip(self.refusal.as_ref());
        let refusing = refusing(tasks, pulls, control);
        let deadlines = self.troubles.iter().zip(refusing);
        deadlines
            .filter_map(|(trouble, refusing)| trouble.deadline(refusing.as_ref()))
            .min()
    }

    /// Why a queue takes or gives nothing at present.
    pub(super) fn reason(&self, tasks: &TaskQueues, control: &Publisher<()>) -> Option<String> {
        let pulls = self.pulls.since().zip(self.refusal.as_ref());
        let refusing = refusing(tasks, pulls, control);
        let mut refusing = self.troubles.iter().zip(refusing);
        refusing.find_map(|(trouble, refusing)| trouble.told_reason(refusing.as_ref()))
    }

    /// Issues notices about queues that refuse, and about queues that answer again.
    // Not by effects: the publishers belong to the loop, and the state has no queue.
    pub(super) fn report(&mut self, now: Instant, tasks: &TaskQueues, control: &Publisher<()>) {
        let pulls = self.pulls.since().zip(self.refusal.as_ref());
        let refusing = refusing(tasks, pulls, control);
        for (trouble, refusing) in self.troubles.iter_mut().zip(refusing) {
            match trouble.look(now, refusing.as_ref(), self.timeout) {
                Some(QueueNotice::Trouble(text)) => notice::trouble(text),
                Some(QueueNotice::Relief(text)) => notice::relief(text),
                None => {}
            }
        }
    }
}

/// Which queues refuse, in the order of their troubles.
fn refusing<'a>(
    tasks: &'a TaskQueues,
    pulls: Option<(Instant, &'a String)>,
    control: &'a Publisher<()>,
) -> impl Iterator<Item = Option<Refusing<'a>>> {
    let of_run = [pulls.map(Refusing::of_pulls), Refusing::of_puts(control)];
    let of_tasks = tasks.iter().map(|(_, queue)| Refusing::of_puts(queue));
    of_run.into_iter().chain(of_tasks)
}
