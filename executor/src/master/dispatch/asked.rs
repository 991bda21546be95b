//! What the loop does when another process asks something of the run by its ledger. Each command is answered in words.

use podpool_core::ledger::{Command, CommandId};
use podpool_core::notice;
use podpool_core::task::CallParts;

use crate::master::command::ShutdownBehavior;
use crate::master::ledger::Asked;

use super::RunningDispatch;

impl RunningDispatch {
    pub(super) fn on_asked(&mut self, id: CommandId, asked: Asked) {
        let what = match &asked {
            Asked::Command(command) => command.to_string(),
            Asked::Again(_) | Asked::Unreadable(_) => "retry".to_owned(),
        };
        let answer = self.obey(asked);
        let answer = answer.unwrap_or_else(|reason| refused(&reason));
        self.remember_that("command", || format!("{what}: {answer}"));
        self.carry_out();
        // After the records of what it caused: who reads the answer finds them.
        self.commits.answer_asked(id, answer);
    }

    /// Carries a command out. The answer, or why it is refused.
    fn obey(&mut self, asked: Asked) -> Result<String, String> {
        match asked {
            Asked::Again(calls) => self.submit_again(calls),
            Asked::Unreadable(reason) => Err(format!("the tasks cannot be read: {reason}")),
            Asked::Command(command) => match command {
                Command::Stop => Ok(self.stop(ShutdownBehavior::CancelPending)),
                Command::StopNow => Ok(self.stop(ShutdownBehavior::Abort)),
                Command::Scale(workers) => self.state.scale(workers),
                Command::Drain(worker) => self.state.drain_by_name(&worker),
                other => Err(format!("this version of podpool cannot carry out {other}")),
            },
        }
    }

    fn stop(&mut self, behavior: ShutdownBehavior) -> String {
        let missing = self.state.unfinished() > 0;
        self.shut_down(behavior);
        // Submissions that waited in the mailbox were taken in, and ended, by that.
        if missing || self.state.unfinished() > 0 {
            self.state.stopped();
        }
        let left = self.state.unfinished();
        let answer = match (behavior, left) {
            (ShutdownBehavior::Abort, _) => "every task is ended".to_owned(),
            (_, 0) => "no task runs".to_owned(),
            (_, 1) => "tasks that have not begun are cancelled; 1 task is finished".to_owned(),
            (_, left) => {
                format!("tasks that have not begun are cancelled; {left} tasks are finished")
            }
        };
        notice::trouble(format!("the run is stopped by a command: {answer}"));
        answer
    }

    fn submit_again(&mut self, calls: Vec<CallParts>) -> Result<String, String> {
        let count = calls.len();
        // They are taken in with the mail of this turn.
        if !self.inbox.submit_again(calls) {
            return Err("the run takes no more tasks".to_owned());
        }
        Ok(match count {
            0 => "no task is selected".to_owned(),
            1 => "1 task is submitted again".to_owned(),
            count => format!("{count} tasks are submitted again"),
        })
    }
}

fn refused(reason: &str) -> String {
    format!("refused: {reason}")
}
