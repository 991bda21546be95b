//! What the executor's thread writes, and the handles of the executor read.

use super::events::Hub;
use super::mailbox::Mailbox;
use super::measured::Measured;
use super::stats::{Board, Stats};

use tokio::time::Instant;

/// Measurements, counts and events of one executor.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) measured: Measured,
    pub(crate) board: Board,
    pub(crate) hub: Hub,
}

impl Observed {
    /// Nothing has happened yet, in a program with so many task types.
    pub(crate) fn new(tasks: usize) -> Self {
        Self {
            measured: Measured::new(tasks),
            board: Board::default(),
            hub: Hub::default(),
        }
    }

    /// The counts now, with the tasks that are still in the mailbox.
    pub(crate) fn stats(&self, mailbox: &Mailbox) -> Stats {
        self.board.read(Instant::now(), || mailbox.submitted())
    }
}
