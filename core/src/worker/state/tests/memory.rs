//! Slots that keep the memory of tasks that have ended.

use super::*;
use crate::codec;
use crate::envelope::EntryOptions;

const GIB: u64 = 1 << 30;

impl Bed {
    /// A batch of one task that declares so much memory.
    fn declared(&mut self, lease: &str, task: u64, memory: u64) {
        let options = codec::encode(&EntryOptions {
            memory: Some(memory),
            ..EntryOptions::default()
        })
        .unwrap();
        let mut body = Vec::new();
        put_task(&mut body, TaskId(task), Attempt(1), 0, &options, &[1]).unwrap();
        self.take_in(lease, "slow", 1, body.into(), false);
        self.settle();
    }

    /// Both slots have run a task.
    fn two_slots() -> Self {
        let mut bed = bed(2);
        bed.batch("x", "slow", 0, 1, false);
        bed.batch("y", "slow", 1, 1, false);
        bed.done(S0, 1, SECOND / 2);
        bed.done(S1, 1, SECOND / 2);
        assert_eq!((bed.started, bed.busy()), (2, vec![]));
        bed
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_keeps_memory_is_replaced_and_only_tasks_that_declare_some_wait_for_its_end() {
    let mut bed = Bed::two_slots();
    bed.deaf = true;
    bed.declared("a", 2, GIB);
    assert_eq!(bed.busy(), [(0, 1)]);
    assert_eq!(bed.frames[&S0][0].memory, Some(GIB), "the call's own");
    bed.script.resident.insert(S0, GIB / 2);
    bed.script.resident.insert(S0, 3 * GIB);
    bed.done(S0, 1, SECOND / 2);
    bed.declared("b", 3, 3 * GIB);
    bed.batch("c", "slow", 4, 1, false);
    assert_eq!(bed.busy(), [(1, 1)], "the one that declares nothing");
    assert_eq!(bed.frames[&S1][0].memory, None);
    bed.deaf = false;
    bed.exit(S0, Exit::Code(0), None);
    assert_eq!((bed.busy(), bed.started), (vec![(1, 1), (2, 1)], 3));
    assert_eq!(bed.frames[&SlotId(2)][0].memory, Some(3 * GIB));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_fit_whatever_the_master_sends() {
    let mut bed = Bed::two_slots();
    bed.declared("a", 2, 4 * GIB);
    bed.declared("b", 3, 2 * GIB);
    assert_eq!(bed.busy(), [(0, 1)], "5 GiB are shared");
    bed.done(S0, 1, SECOND / 2);
    assert_eq!(bed.busy().len(), 1);
    bed.declared("c", 4, 3 * GIB);
    assert_eq!(bed.busy().len(), 2);
    bed.declared("d", 5, 9 * GIB);
    bed.done(S0, 1, SECOND / 2);
    bed.done(S1, 1, SECOND / 2);
    assert_eq!(bed.busy().len(), 1, "alone in any case");
}

#[tokio::test(start_paused = true)]
async fn what_a_slot_has_before_its_first_task_is_not_kept() {
    let mut bed = bed(1);
    bed.script.resident.insert(S0, 2 * GIB);
    bed.batch("x", "slow", 0, 1, false);
    bed.done(S0, 1, SECOND / 2);
    bed.declared("a", 1, 4 * GIB);
    bed.done(S0, 1, SECOND / 2);
    bed.declared("b", 2, 4 * GIB);
    assert_eq!((bed.busy(), bed.started), (vec![(0, 1)], 1));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_has_run_its_share_keeps_memory_too_and_is_killed_for_it() {
    let mut bed = Bed::two_slots();
    bed.state.settings.max_tasks_per_slot = Some(2);
    bed.state.settings.grace = Duration::MAX;
    bed.deaf = true;
    bed.declared("a", 2, 4 * GIB);
    bed.script.resident.insert(S0, 4 * GIB);
    bed.done(S0, 1, SECOND / 2);
    bed.declared("b", 3, 4 * GIB);
    assert_eq!(bed.busy(), [], "4 GiB are not free");
    bed.now += 31 * SECOND;
    bed.tick();
    assert_eq!(bed.kills, [S0]);
    bed.exit(S0, Exit::Signal(9), None);
    assert_eq!(bed.busy(), [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_has_returned_memory_goes_on() {
    let mut bed = Bed::two_slots();
    for (task, resident) in [(2, GIB / 8), (3, 1)] {
        bed.declared(&format!("m{task}"), task, GIB);
        bed.script.resident.insert(S0, resident);
        bed.done(S0, 1, SECOND / 2);
    }
    // Without a declaration nothing is looked at.
    bed.script.resident.insert(S0, 5 * GIB);
    bed.batch("z", "slow", 4, 1, false);
    bed.done(S0, 1, SECOND / 2);
    bed.declared("last", 5, GIB);
    assert_eq!((bed.busy(), bed.started), (vec![(0, 1)], 2));
}
