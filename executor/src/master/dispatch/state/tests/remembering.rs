//! What is recorded of a run with a ledger.

use podpool_core::fleet::End as Gone;
use podpool_core::ledger::{End, EndRecord, Fold};
use podpool_core::outcome::Exit;

use super::super::super::remembered::Memory;
use super::*;

pub(super) fn remembering() -> Bed {
    let mut bed = bed();
    bed.state.remember_run(bed.now, Memory::new(Vec::new()));
    bed
}

impl Bed {
    /// All records so far. A ledger takes them.
    pub(super) fn recorded(&self) -> &[Record] {
        let mut fold = Fold::default();
        for record in &self.records {
            assert_eq!(fold.apply(record), Ok(()), "{record:?}");
        }
        &self.records
    }

    pub(super) fn end_of(&self, task: u64) -> &EndRecord {
        let end = self.recorded().iter().find_map(|record| match record {
            Record::End(it) if it.task == TaskId(task) => Some(it),
            _ => None,
        });
        end.expect("it has ended")
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_whose_cause_is_learned_later_is_amended() {
    let mut bed = remembering();
    bed.submit(&PLAIN);
    bed.batches();
    bed.hello();
    // As a worker reports what it gives back when it is asked to leave.
    let mut silent = Failure::new(Cause::Interrupted, "it leaves");
    silent.exit = None;
    bed.fail_with(0, 1, &silent);
    bed.goes(Gone::Died(Exit::Signal(9)), &[(0, 1)], &[(0, 1)]);
    let attempts = bed.recorded().iter().filter_map(|record| match record {
        Record::Attempt(it) => Some((false, &it.report)),
        Record::Amended(it) => Some((true, &it.report)),
        _ => None,
    });
    let attempts: Vec<_> = attempts.collect();
    let [(false, first), (true, last)] = attempts[..] else {
        panic!("{attempts:?}");
    };
    assert_eq!((first.attempt, &first.worker), (last.attempt, &last.worker));
    assert_eq!(first.cause, Cause::Interrupted);
    assert_eq!(last.exit, Some(Exit::Signal(9)));
    assert_eq!(bed.cells[0].attempts().len(), 1, "as its future has it");
}

#[tokio::test(start_paused = true)]
async fn an_end_tells_which_execution_gave_the_result() {
    let mut bed = remembering();
    // Equal calls are tasks of their own.
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.hello();
    bed.done(&[(0, 1)], Duration::from_millis(4));
    let mut skipped = Vec::new();
    put_done(&mut skipped, TaskId(1), Attempt(1), |_| {
        Ok::<_, ()>(Duration::ZERO)
    })
    .unwrap();
    mark_skipped(&mut skipped[..]);
    bed.results(skipped, 1);
    let end = bed.end_of(0);
    assert!(matches!(end.end, End::Done(_)), "{end:?}");
    assert_eq!(end.execution, Some(Bed::execution()));
    assert_eq!((end.attempt, end.skipped), (Attempt(1), false));
    assert_eq!(end.elapsed, Some(Duration::from_millis(4)));
    assert_eq!(end.worker.as_deref(), Some("pod-1"));
    assert!(bed.end_of(1).skipped);
}
