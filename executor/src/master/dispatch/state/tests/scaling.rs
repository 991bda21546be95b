//! Runs whose number of workers is changed while they run.

use super::*;

fn on_a_cluster() -> Bed {
    bed_with(Settings {
        elsewhere: true,
        workers: 4,
        slots: 8,
        ..settings()
    })
}

impl Bed {
    /// How many tasks need workers, as the fleet was told last.
    fn needs(&mut self) -> Option<usize> {
        self.needed().pop().map(|(_, unfinished)| unfinished)
    }

    fn greet_as(&mut self, worker: u64, name: &str) {
        let hello = Hello {
            run: RunId::new("test").unwrap(),
            worker: WorkerId(worker),
            name: name.into(),
            node: "node-1".into(),
            class: ClassId::DEFAULT,
            slots: 2,
            build: String::new(),
            epoch: 0,
            sequence: self.next_sequence(),
        };
        self.state.on_hello(self.now, hello);
        self.apply();
    }
}

#[tokio::test(start_paused = true)]
async fn fewer_workers_are_ordered_and_the_idlest_leave() {
    let mut bed = on_a_cluster();
    bed.submit_many(&PLAIN, 20);
    assert_eq!(bed.needs(), Some(20));
    for worker in 1..=3 {
        bed.greet_as(worker, &format!("pod-{worker}"));
    }
    bed.alive(1, 0, 0, vec![run(0, 4, 1)]);
    bed.alive(3, 0, 0, vec![run(4, 2, 1)]);
    let answer = bed.state.scale(2).unwrap();
    assert!(answer.contains("1 worker finishes"), "{answer}");
    // Two workers with two slots each.
    assert_eq!(bed.needs(), Some(4));
    assert_eq!(bed.state.drain, [WorkerId(2)], "it holds nothing");
    assert!(bed.state.scale(1).unwrap().contains("1 worker finishes"));
    assert_eq!(bed.state.drain, [WorkerId(2), WorkerId(3)]);
    let more = bed.state.scale(4).unwrap();
    assert_eq!(more, "at most 4 workers from now on");
    assert_eq!(bed.needs(), Some(8));
}

#[tokio::test(start_paused = true)]
async fn a_number_of_workers_that_the_run_cannot_have_is_refused() {
    let mut bed = on_a_cluster();
    bed.submit_many(&PLAIN, 20);
    bed.needs();
    assert!(bed.state.scale(0).unwrap_err().contains("stop the run"));
    assert!(
        bed.state
            .scale(5)
            .unwrap_err()
            .contains("4 workers at most")
    );
    assert_eq!(bed.needs(), None, "nothing has changed");
    let mut here = super::bed();
    assert!(here.state.scale(1).unwrap_err().contains("one machine"));
    here.hello();
    let refused = here.state.drain_by_name("pod-1").unwrap_err();
    assert!(refused.contains("one machine"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_drained_by_its_name() {
    let mut bed = on_a_cluster();
    bed.greet_as(1, "pod-1");
    let unknown = bed.state.drain_by_name("pod-2").unwrap_err();
    assert!(unknown.contains("pod-2"), "{unknown}");
    assert!(bed.state.drain_by_name("pod-1").unwrap().contains("leaves"));
    assert!(
        bed.state
            .drain_by_name("pod-1")
            .unwrap()
            .contains("already")
    );
    assert_eq!(bed.told().unwrap().drain, [WorkerId(1)]);
}
