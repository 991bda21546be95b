//! No message is taken for another one: duplicates, older ones after newer ones, numbers.

use podpool_core::envelope::CONTROL_BYTES;
use podpool_core::fleet::{Departure, End};
use podpool_core::outcome::Exit;

use super::super::revoked::MAX_RANGES;
use super::*;

impl Bed {
    /// A heartbeat with this sequence, which holds one task.
    fn holds(&mut self, sequence: u64, task: u64) {
        let newest = std::mem::replace(&mut self.sequence, sequence - 1);
        self.alive(1, 0, 0, vec![run(task, 1, 1)]);
        self.sequence = newest.max(sequence);
    }

    fn held(&self) -> Vec<u64> {
        let holds = &self.state.workers[&WorkerId(1)].holds;
        holds.iter().map(|run| run.first.0).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_comes_twice_or_late_changes_nothing() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 9);
    bed.batches();
    bed.holds(4, 1);
    bed.now += Duration::from_secs(5);
    let heard = bed.state.workers[&WorkerId(1)].heard;
    bed.holds(4, 2);
    bed.holds(3, 3);
    assert_eq!(bed.held(), [1], "duplicates and older ones");
    assert_eq!(bed.state.workers[&WorkerId(1)].heard, heard);
    bed.holds(9, 4);
    assert_eq!(bed.held(), [4], "the ones between may be lost");
    bed.holds(8, 5);
    assert_eq!(bed.held(), [4]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_an_old_heartbeat_acknowledged_stays_revoked() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.submit(&PLAIN);
    bed.batches();
    bed.cancel(TaskId(1));
    bed.alive(1, 1, 0, vec![]);
    bed.sequence -= 1;
    bed.alive_and_revoked(1, (1, 0), vec![], vec![run(1, 1, 1)]);
    assert_eq!(bed.revoked(), [(1, 1, 1)]);
    bed.alive_and_revoked(1, (1, 0), vec![], vec![run(1, 1, 1)]);
    assert_eq!(bed.revoked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_not_brought_back_by_an_old_heartbeat() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    bed.batches();
    bed.hello();
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    bed.orders.clear();
    bed.departs(End::Lost, Vec::new());
    bed.sequence -= 1;
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    assert_eq!(bed.held(), [] as [u64; 0]);
    assert_eq!(std::mem::take(&mut bed.orders), []);
    bed.alive(1, 0, 0, vec![run(0, 1, 1)]);
    let heard = FleetOrder::Present("pod-1".into());
    assert_eq!(std::mem::take(&mut bed.orders), [heard]);
}

#[tokio::test(start_paused = true)]
async fn a_greeting_counts_once_even_behind_a_heartbeat() {
    let mut bed = bed();
    bed.sequence = 1;
    bed.alive(1, 1, 0, vec![]);
    bed.sequence = 0;
    let heard = FleetOrder::Present("pod-1".into());
    bed.hello();
    assert_eq!(std::mem::take(&mut bed.orders), [heard], "the name is new");
    bed.told();
    bed.sequence = 0;
    bed.hello();
    assert_eq!(std::mem::take(&mut bed.orders), []);
    assert_eq!(bed.told(), None, "no second answer");
}

impl Bed {
    fn departs(&mut self, end: End, running: Vec<(ExecutionId, TaskId, Attempt)>) {
        let departure = Departure {
            worker: "pod-1".into(),
            node: None,
            end,
            reason: "set by the test".to_owned(),
            at: None,
            running,
        };
        self.fleet(FleetEvent::Gone(departure));
    }
}

#[tokio::test(start_paused = true)]
async fn a_termination_message_charges_tasks_of_its_own_worker_alone() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 2);
    bed.batches();
    bed.hello();
    bed.alive(2, 0, 0, vec![run(0, 1, 1), run(1, 1, 1)]);
    let of_another = ExecutionId {
        worker: WorkerId(2),
        number: 0,
    };
    for _ in 0..9 {
        let named = vec![(of_another, TaskId(0), Attempt(1))];
        bed.departs(End::Died(Exit::Signal(11)), named);
    }
    assert_eq!(bed.cells[0].attempts().len(), 0);
    assert_eq!((bed.revoked(), bed.batches()), (vec![], vec![]));
    let both = vec![
        (of_another, TaskId(0), Attempt(1)),
        (Bed::execution(), TaskId(1), Attempt(1)),
    ];
    bed.departs(End::Died(Exit::Signal(11)), both);
    assert_eq!(bed.cells[0].attempts().len(), 0);
    let story = &bed.cells[1].attempts()[0];
    assert_eq!(story.cause, Cause::Crashed, "the only one of that worker");
}

#[tokio::test(start_paused = true)]
async fn control_names_the_oldest_unfinished_task_and_no_range_below_it() {
    let mut bed = bed();
    bed.submit_many(&PLAIN, 6);
    bed.batches();
    let told = |bed: &mut Bed| {
        bed.now += HEARTBEAT;
        let control = bed.told().unwrap();
        let ranges = control.revoked.iter().map(|r| (r.first.0, r.last.0));
        (control.ended_below.0, ranges.collect::<Vec<_>>())
    };
    assert_eq!(told(&mut bed), (0, vec![]));
    for id in [1, 2, 4] {
        bed.cancel(TaskId(id));
    }
    assert_eq!(told(&mut bed), (0, vec![(1, 2), (4, 4)]));
    bed.done(&[(0, 1)], Duration::ZERO);
    assert_eq!(told(&mut bed), (3, vec![(4, 4)]));
    bed.done(&[(3, 1), (5, 1)], Duration::ZERO);
    assert_eq!(told(&mut bed), (6, vec![]), "the next number");
    bed.submit(&PLAIN);
    assert_eq!(told(&mut bed), (6, vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_largest_control_message_keeps_its_bound() {
    let mut bed = bed();
    bed.submit(&PLAIN);
    let far = u64::MAX / 2;
    for n in 0..=MAX_RANGES as u64 {
        let (task, attempt) = (TaskId(far + 2 * n), Attempt(u32::MAX - 1));
        bed.state.revoke_attempts(task, attempt, true);
    }
    for n in 0..1_000 {
        bed.greet(far + n);
        bed.state.drain.push(WorkerId(far + n));
    }
    let control = bed.told().unwrap();
    assert_eq!(control.revoked.len(), MAX_RANGES);
    assert_eq!((control.greeted.len(), control.drain.len()), (1_000, 1_000));
    let bytes = control.message(&MacKey::Keyed([7; 32])).len();
    assert!(bytes <= CONTROL_BYTES, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_number_of_its_own_and_so_has_one_that_is_published_again() {
    let mut bed = bed();
    bed.submit_many(&UNPACKED, 3);
    let number = |message: Bytes| match Message::read(message, &MacKey::Absent) {
        Ok(Message::Batch(batch, _)) => (batch.run, batch.epoch, batch.number),
        other => panic!("{other:?}"),
    };
    let run = RunId::new("test").unwrap();
    let mut numbers = Vec::new();
    numbers.extend(bed.messages().into_iter().map(number));
    bed.now += Duration::from_secs(1);
    bed.republish_all(bed.now);
    let again = std::mem::take(&mut bed.published).into_iter();
    numbers.extend(again.map(|(_, message)| number(message)));
    let expected: Vec<_> = (0..numbers.len() as u64)
        .map(|n| (run.clone(), 1, n))
        .collect();
    assert_eq!(numbers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_surplus_worker_that_goes_before_it_greets_is_forgotten() {
    let mut bed = bed();
    bed.fleet(FleetEvent::Surplus("pod-9".into()));
    assert_eq!(bed.state.surplus.len(), 1);
    bed.fleet(FleetEvent::Gone(Departure {
        worker: "pod-9".into(),
        node: None,
        end: End::Lost,
        reason: "deleted".to_owned(),
        at: None,
        running: Vec::new(),
    }));
    assert!(bed.state.surplus.is_empty());
}
