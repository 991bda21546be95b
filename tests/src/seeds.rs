//! Beds over queues that misbehave, one for each seed.

use podpool_core::queue::faulty::Faults;

use crate::bed::Bed;

/// How many seeds the faulty suite runs with.
pub const SEEDS: u64 = 20;

/// In-process slots over queues with every fault but losing messages, one bed for each seed.
#[must_use]
pub fn chaotic() -> Vec<Bed> {
    let bed = |seed| Bed::in_process().with_faults(Faults::chaos(seed));
    (1..=SEEDS).map(bed).collect()
}

/// Child processes over such queues.
#[must_use]
pub fn chaotic_processes(seeds: u64) -> Vec<Bed> {
    let bed = |seed| Bed::process().with_faults(Faults::chaos(seed));
    (1..=seeds).map(bed).collect()
}

/// In-process slots over queues that lose messages too, which only publishing them again can repair.
#[must_use]
pub fn losing(seeds: u64) -> Vec<Bed> {
    let bed = |seed| {
        let mut faults = Faults::chaos(seed);
        faults.lose = 0.05;
        Bed::in_process().with_faults(faults)
    };
    (1..=seeds).map(bed).collect()
}
