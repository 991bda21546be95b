//! The thread of the ledger, as a test plays it: it serves what was asked when the test wants it.

use podpool_core::ledger::TypeRecord;
use podpool_core::task::TaskSpec;

use super::*;

/// The thread, and what keeps it from noticing that no dispatcher waits.
pub(crate) struct ByHand(Writer);

/// Opens a run. Returns which master of it the caller is, what is remembered, the way to the thread, and the thread.
/// Tasks that have not ended are taken in where `adopted` finds theirs; without it none is.
///
/// # Errors
/// As [`open`](super::open).
pub(crate) fn open(
    ledger: &dyn Ledger,
    opening: Opening,
    adopted: Option<fn(&TypeRecord) -> Option<&'static TaskSpec>>,
) -> Result<(u64, Memory, LedgerLink, ByHand), LedgerError> {
    let terms = Terms {
        opening,
        attached: None,
        patience: Duration::ZERO,
        adopts: adopted.is_some(),
    };
    let (Facts { epoch, memory, .. }, store) = read(ledger, &terms, adopted.unwrap_or(known))?;
    let (requests, asked) = channel();
    let (here, dispatcher) = channel();
    let (tell, answers) = mpsc::unbounded_channel();
    let link = LedgerLink {
        requests,
        numbers: Numbers::from(memory.next()),
        answers,
        _here: here,
    };
    let writer = Writer::new(store, (asked, dispatcher), tell, Duration::ZERO);
    Ok((epoch, memory, link, ByHand(writer)))
}

impl ByHand {
    /// Serves the next request, with the records behind it. False where nothing was asked.
    pub(crate) fn serve(&mut self) -> bool {
        let asked = || self.0.asked.try_recv().ok();
        let Some(request) = self.0.later.take().or_else(asked) else {
            return false;
        };
        self.0.carry_out(Some(request));
        true
    }
}
