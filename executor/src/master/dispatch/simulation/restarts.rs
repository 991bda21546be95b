//! The simulation with restarts: masters of one run that are killed, stopped, shut down and taken over at any step, with
//! a ledger between them.
//!
//! Each master is what a process has: its state, what waits for commits ([`Commits`](super::super::commits::Commits)), and
//! the ledger's thread, whose requests and answers take their time. The ledger is the reference, in memory. The program
//! makes the same calls again in each life. Whatever happens, in the end the ledger has one terminal state of each of
//! them, which its script allows and a real execution brought about.

mod check;
mod history;
mod lives;
mod master;
mod program;
mod world;

use super::{SEEDS, Simulated, all_seeds};

use self::world::Restarts;

#[test]
fn restarted_runs_end_once_as_their_scripts_say() {
    all_seeds::<Restarts>("SIMULATION_RESTARTS", SEEDS);
}

/// The pod of the first master was told to cancel a task. The cancel was not stored when that master was killed, so the
/// next one expects the task's result: it runs again.
#[test]
fn a_cancel_that_was_not_stored_ends_nothing() {
    super::run::<Restarts>(670).unwrap();
}

/// A master whose run was taken, and that is aborted then, tells workers nothing that have not heard of the next one.
#[test]
fn a_master_that_was_taken_over_ends_no_task_of_the_next() {
    super::run::<Restarts>(134).unwrap();
}

/// A task had ended before the last master began. The newest control, by which it had ended, did not reach a worker, and
/// an envelope came again after the queue had been found empty for three leases: it runs once more, and changes nothing.
#[test]
fn an_envelope_that_comes_after_all_names_are_forgotten_runs_in_vain() {
    let mut world = Restarts::new(19_413, false);
    world.run().unwrap();
    assert_eq!(world.facts.late, 1);
}

/// Where the list of revoked attempts is full, attempts run that it would have named; each is counted.
#[test]
fn the_seeds_of_restarts_reach_a_full_list() {
    let mut overflows = 0;
    for seed in 0..60 {
        let mut world = Restarts::new(seed, false);
        world.run().unwrap();
        overflows += world.facts.overflow.tasks;
    }
    assert!(overflows > 0);
}

#[test]
fn one_seed_of_restarts_gives_one_trace() {
    for seed in 0..3 {
        assert_eq!(super::run::<Restarts>(seed), super::run::<Restarts>(seed));
    }
}

/// Each way to lose a master is met, and each state in which a task can be found.
#[test]
fn the_seeds_of_restarts_reach_every_life() {
    let mut met = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let mut world = Restarts::new(seed, false);
        world.run().unwrap();
        met.extend(world.met);
    }
    assert_eq!(met, lives::Life::ALL.into_iter().collect());
}
