//! Lines that tasks printed, on their way to the program's streams.

use podpool_core::envelope::{Printed, PrintedLine};
use podpool_core::worker::{KeptLine, OutputLine, OutputSink};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::report::outlet::Gauge;

use super::MasterState;

/// The sink that shows lines, and how far they are shown.
pub(super) struct Lines {
    /// Shows the lines that tasks printed elsewhere.
    sink: Option<OutputSink>,
    /// The buffer that holds lines which are not shown yet.
    buffer: Option<Gauge<KeptLine>>,
    /// Resolves when lines which a failure waits for are taken.
    taken: Option<oneshot::Receiver<()>>,
}

impl Lines {
    pub(super) const fn new(sink: Option<OutputSink>, buffer: Option<Gauge<KeptLine>>) -> Self {
        Self {
            sink,
            buffer,
            taken: None,
        }
    }

    /// Reports to the state how far lines are shown: failures wait for that.
    pub(super) fn look(&mut self, now: Instant, state: &mut MasterState) {
        // Without a buffer nothing is ever put, so that nothing is waited for.
        let position = self.buffer.as_ref().map(Gauge::position);
        state.on_lines(now, position.unwrap_or_default());
        // One at a time. It waits for all lines that are in the buffer now; for a failure that came later this look is
        // repeated when it resolves, and makes the next.
        if self.taken.is_none() && state.waits_for_lines() {
            self.taken = self.buffer.as_ref().map(Gauge::emptied);
        }
    }

    /// Waits until lines that a failure waits for are taken.
    pub(super) async fn taken(&mut self) {
        match &mut self.taken {
            // The buffer's thread may have ended: then there is nothing to wait for.
            Some(taken) => drop(taken.await),
            None => std::future::pending().await,
        }
        // After the wait and not before: a future that is dropped by `select!` must find its receiver the next time.
        self.taken = None;
    }

    /// Shows the lines that tasks of a worker printed.
    pub(super) fn show(&self, worker: &str, printed: &Printed) {
        let Some(sink) = &self.sink else {
            return;
        };
        if printed.left_out > 0 {
            sink(OutputLine::remote(
                worker,
                None,
                &left_out(printed.left_out),
            ));
        }
        for line in &printed.lines {
            let task = line.task.and_then(|place| usize::try_from(place).ok());
            let task = task.and_then(|place| printed.tasks.get(place));
            sink(OutputLine::remote(worker, task, line));
        }
    }
}

fn left_out(lines: u64) -> PrintedLine {
    let text = format!(
        "podpool: {lines} lines were left out here: a worker prints more than it may send; they stand in its own log, and KubernetesOptions::output_rate allows more"
    );
    PrintedLine {
        task: None,
        error: true,
        text,
    }
}
