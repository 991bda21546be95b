//! Each class has its own outbox, bounds, workers and republishing; results and control are the run's.

use super::*;

const LARGE: ClassId = ClassId(1);

fn two_classes() -> Bed {
    let mut settings = settings();
    settings.classes = vec![ClassId::DEFAULT, LARGE];
    settings.batches_out = 2;
    bed_with(settings)
}

impl Bed {
    fn submit_to(&mut self, class: ClassId, spec: &'static TaskSpec) -> u64 {
        let id = self.cells.len() as u64;
        let cell = Arc::new(Cell::new(spec));
        cell.set_id(TaskId(id));
        self.cells.push(cell.clone());
        let submission = Submission {
            cell: CellGuard::new(cell),
            spec,
            arguments: vec![7].into(),
            options: None,
        };
        self.state.submit_to(class, submission);
        self.apply();
        id
    }

    /// What is published now, by class, and stored.
    fn published_to(&mut self) -> Vec<(ClassId, Published)> {
        self.state.publish(self.now);
        self.republished_to()
    }

    /// What was decided to be published, by class, and stored.
    fn republished_to(&mut self) -> Vec<(ClassId, Published)> {
        let mut effects = Vec::new();
        self.state.take_effects(&mut effects);
        let mut published = Vec::new();
        for effect in effects {
            if let Effect::Publish {
                class,
                batch,
                message,
            } = effect
            {
                self.state.on_stored(self.now, batch);
                published.push((class, read(message)));
            }
        }
        published
    }

    /// A worker of a class greets; later heartbeats report free slots and empty pulls.
    fn greet_of(&mut self, worker: u64, class: ClassId) {
        let hello = Hello {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            name: format!("pod-{worker}").into(),
            node: "node-1".into(),
            class,
            slots: 2,
            build: String::new(),
            epoch: 0,
            sequence: self.next_sequence(),
        };
        self.state.on_hello(self.now, hello);
        self.apply();
    }

    fn beat(&mut self, worker: u64, free: u32) {
        let alive = Alive {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            held: Vec::new(),
            running: 2 - free,
            free,
            empty_pulls: free,
            revoked: Vec::new(),
            replays: 0,
            epoch: 0,
            sequence: self.next_sequence(),
            at: self.worker_wall,
        };
        self.state.on_alive(self.now, alive);
        self.apply();
    }

    /// What the fleet is sent, by class.
    pub(super) fn needed(&mut self) -> Vec<(u32, usize)> {
        self.state.announce_to_fleet(self.now);
        self.apply();
        let orders = std::mem::take(&mut self.orders);
        let needed = |order| match order {
            FleetOrder::Needed {
                class, unfinished, ..
            } => Some((class.0, unfinished)),
            _ => None,
        };
        orders.into_iter().filter_map(needed).collect()
    }
}

#[test]
fn a_class_that_is_full_holds_up_no_other() {
    let mut bed = two_classes();
    for _ in 0..4 {
        bed.submit_to(ClassId::DEFAULT, &UNPACKED);
    }
    let large = bed.submit_to(LARGE, &UNPACKED);
    let published = bed.published_to();
    let expected = [
        (ClassId::DEFAULT, packed(&[(0, 1)])),
        (ClassId::DEFAULT, packed(&[(1, 1)])),
        (LARGE, packed(&[(large, 1)])),
    ];
    assert_eq!(published, expected);
    assert!(!bed.state.is_full(), "the large class takes one more");
    bed.submit_to(LARGE, &UNPACKED);
    assert_eq!(bed.published_to().len(), 1);
    assert!(bed.state.is_full());
    assert_eq!(bed.state.waiting(), 2);
}

#[test]
fn tasks_of_two_classes_share_no_batch_and_results_of_both_end_them() {
    let mut bed = two_classes();
    bed.submit_to(ClassId::DEFAULT, &PLAIN);
    bed.submit_to(LARGE, &PLAIN);
    let published = bed.published_to();
    assert_eq!(
        published,
        [
            (ClassId::DEFAULT, packed(&[(0, 1)])),
            (LARGE, packed(&[(1, 1)]))
        ]
    );
    bed.done(&[(1, 1), (0, 1)], Duration::from_millis(1));
    assert_eq!((bed.output(0), bed.output(1)), (1, 1));
    bed.assert_empty();
}

#[test]
fn the_fleet_is_sent_the_number_of_each_class() {
    let mut bed = two_classes();
    assert_eq!(bed.needed(), [(0, 0), (1, 0)]);
    bed.submit_to(LARGE, &PLAIN);
    assert_eq!(bed.needed(), [(1, 1)]);
    bed.submit_to(ClassId::DEFAULT, &PLAIN);
    assert_eq!(bed.needed(), [(0, 1)]);
    bed.published_to();
    bed.done(&[(0, 1)], Duration::from_millis(1));
    assert_eq!(bed.needed(), [(1, 0)]);
}

#[test]
fn a_lost_batch_is_published_again_when_a_worker_of_its_own_class_is_idle() {
    let mut bed = two_classes();
    bed.submit_to(LARGE, &PLAIN);
    assert_eq!(bed.published_to().len(), 1);
    bed.greet_of(1, ClassId::DEFAULT);
    for _ in 0..10 {
        bed.now += LEASE / 2;
        bed.beat(1, 2);
        bed.state.on_tick(bed.now);
        assert_eq!(bed.republished_to(), [], "it may wait in its queue");
    }
    bed.greet_of(2, LARGE);
    let mut again = Vec::new();
    for _ in 0..4 {
        bed.now += LEASE / 2;
        bed.beat(2, 2);
        bed.state.on_tick(bed.now);
        again.extend(bed.republished_to());
    }
    assert_eq!(again, [(LARGE, packed(&[(0, 1)]))]);
}

#[test]
fn a_retry_stays_in_its_class() {
    let mut bed = two_classes();
    bed.submit_to(LARGE, &STUBBORN);
    bed.published_to();
    bed.fail(0, 1, Cause::Failed);
    bed.now += Duration::from_secs(600);
    bed.state.on_tick(bed.now);
    assert_eq!(bed.published_to(), [(LARGE, packed(&[(0, 2)]))]);
}

#[test]
fn a_task_of_a_class_without_a_queue_is_rejected() {
    let mut bed = two_classes();
    let id = bed.submit_to(ClassId(9), &PLAIN);
    let error = bed.error(id);
    assert_eq!(error.kind(), TaskErrorKind::Rejected);
    assert!(error.to_string().contains("class 9"), "{error}");
    assert_eq!(bed.state.unfinished(), 0);
}

#[test]
fn revoked_attempts_are_kept_while_a_queue_in_use_was_not_found_empty() {
    let mut bed = two_classes();
    bed.submit_to(LARGE, &PLAIN);
    bed.submit_to(LARGE, &PLAIN);
    bed.published_to();
    bed.greet_of(1, ClassId::DEFAULT);
    assert_eq!(bed.cancel(TaskId(0)), CancelOutcome::Signalled);
    let named = |bed: &mut Bed, worker: u64| {
        for _ in 0..10 {
            bed.now += LEASE;
            bed.beat(worker, 2);
            bed.state.on_tick(bed.now);
            bed.apply();
        }
        bed.revoked().len()
    };
    assert_eq!(named(&mut bed, 1), 1, "it may be in the other queue");
    bed.greet_of(2, LARGE);
    assert_eq!(named(&mut bed, 2), 0);
}
