//! What the fleet and the workers are told, and what workers say that is shown.

use podpool_core::envelope::{Printed, PrintedLine, RunState};
use podpool_core::fleet::FleetOrder;
use podpool_core::instant::after;
use podpool_core::worker::OutputLine;
use tokio::time::Instant;

use crate::master::mailbox::Closed;

use super::{HEARTBEAT, RunningDispatch};

impl RunningDispatch {
    pub(super) fn order(&self, order: FleetOrder) {
        // A fleet that has ended by itself needs no orders.
        self.fleet.orders.send(order).ok();
    }

    /// Tells the fleet how much there is to do, and when it is over.
    pub(super) fn tell_fleet(&mut self, now: Instant) {
        let unfinished = self.state.unfinished();
        for order in self.state.take_fleet_orders() {
            self.order(order);
        }
        if self.state.broken().is_some() && !self.ending {
            self.ending = true;
            self.order(FleetOrder::Stop);
        }
        let over = self.shutdown.is_some() && unfinished == 0;
        // Workers were told that the run has ended, and send their last lines; after the end nobody listens.
        // It is asked until its time is over, whatever ends the run: else its deadline would wake the loop again and again.
        if over && self.after_lines.may_end(now) && !self.ending {
            self.ending = true;
            self.order(FleetOrder::End);
        }
        let needed = Some((unfinished.min(self.slots), self.shutdown.is_some()));
        if !over && !self.ending && needed != self.needed {
            self.needed = needed;
            self.order(FleetOrder::Needed {
                unfinished,
                closing: self.shutdown.is_some(),
            });
        }
    }

    /// Shows the lines that tasks printed elsewhere.
    pub(super) fn show(&mut self, printed: &Printed) {
        self.after_lines.came(printed.worker, printed.through);
        let Some(sink) = &self.printed else {
            return;
        };
        let name = self.state.worker_name(printed.worker).cloned();
        let name = name.unwrap_or_else(|| printed.worker.to_string().into());
        if printed.left_out > 0 {
            let text = format!(
                "podpool: {} lines were left out here: a worker prints more than it may send; they stand in its own log, and Builder::worker_output_rate allows more",
                printed.left_out
            );
            let line = PrintedLine {
                task: None,
                error: true,
                text,
            };
            sink(OutputLine::remote(&name, None, &line));
        }
        for line in &printed.lines {
            let task = line.task.and_then(|place| usize::try_from(place).ok());
            let task = task.and_then(|place| printed.tasks.get(place));
            sink(OutputLine::remote(&name, task, line));
        }
    }

    /// Sends the run's state: at once when it changed, else every ten seconds.
    pub(super) fn tell_workers(&mut self, now: Instant) {
        if let Some(reason) = self.state.broken() {
            self.inbox.close(Closed::Broken(reason.into()));
        }
        let broken = self.state.broken().is_some() && self.superseded.is_none();
        let closing = self.shutdown.is_some();
        let told = run_state(self.aborted || broken, closing, self.state.unfinished());
        if told.is_some_and(|told| self.state.set_run_state(told)) {
            // Workers wait for it, and it changes three times at most.
            self.control_after = now;
        }
        if self.ending {
            // The last word is the state above; after it nobody listens.
            self.heartbeat = after(now, HEARTBEAT);
        }
        let due = now >= self.heartbeat;
        if due {
            self.heartbeat = after(now, HEARTBEAT);
        }
        // A burst of cancels is one message, not one each.
        let settled = now >= self.control_after;
        if (settled || due)
            && let Some(control) = self.state.control(now, due)
        {
            self.control_after = after(now, self.control_pause);
            self.control.push(control.message(&self.mac_key), None);
        }
    }
}

/// What workers are told of a run that is no longer open. An aborted one's must not wait for what they run: until they
/// go, their pods, and so the master, would wait for the grace.
pub(super) const fn run_state(aborted: bool, closing: bool, unfinished: usize) -> Option<RunState> {
    match (aborted, closing) {
        (true, _) => Some(RunState::Aborted),
        (false, true) if unfinished == 0 => Some(RunState::Ended),
        (false, true) => Some(RunState::Closing),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use podpool_core::envelope::{MacKey, Message};
    use podpool_core::fleet::FleetEvent;
    use podpool_core::queue::Queue;
    use podpool_core::queue::memory::MemoryQueue;
    use podpool_core::worker::Queues;
    use tokio::sync::oneshot;

    use super::super::fake::idle;
    use super::*;
    use crate::master::command::{Command, ShutdownBehavior};

    /// The state of the run that the workers are told next.
    async fn told(control: &dyn Queue) -> RunState {
        let taken = control.take(1, Duration::from_secs(7_200)).await.unwrap();
        let message = Message::read(taken[0].body.clone(), &MacKey::Absent);
        let Ok(Message::Control(control)) = message else {
            panic!("it is no control");
        };
        control.state
    }

    #[tokio::test(start_paused = true)]
    async fn workers_are_told_of_the_end_at_once_however_lately_they_were_told_of_something() {
        let queue = |name: &str| Arc::new(MemoryQueue::local(name)) as Arc<dyn Queue>;
        let queues = Queues {
            tasks: queue("tasks"),
            results: queue("results"),
            control: queue("control"),
        };
        let control = queues.control.clone();
        let (mailbox, fleet, _orders, mut dispatch) = idle(queues);
        dispatch.control_pause = Duration::from_secs(3_600);
        let (done, ended) = oneshot::channel();
        let master = async {
            assert_eq!(told(&*control).await, RunState::Open);
            let began = Instant::now();
            let behavior = ShutdownBehavior::WaitForTasks;
            mailbox.command(Command::Shutdown { behavior, done });
            assert_eq!(told(&*control).await, RunState::Ended);
            assert!(began.elapsed() < Duration::from_secs(1));
            let leftovers = Vec::new();
            fleet.send(FleetEvent::Ended { leftovers }).unwrap();
            assert_eq!(ended.await.unwrap(), Ok(()));
        };
        tokio::join!(dispatch.run(), master);
    }

    #[test]
    fn an_aborted_run_never_looks_like_one_that_ended() {
        assert_eq!(run_state(false, false, 0), None);
        assert_eq!(run_state(false, true, 1), Some(RunState::Closing));
        assert_eq!(run_state(false, true, 0), Some(RunState::Ended));
        for (closing, unfinished) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let told = run_state(true, closing, unfinished);
            assert_eq!(told, Some(RunState::Aborted));
        }
    }
}
