//! Beds over queues that misbehave, one for each seed.

use podpool_core::queue::faulty::Faults;

use crate::bed::Bed;

/// The number of seeds of the faulty suite.
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

/// In-process slots over queues that lose messages too: a lost message comes only when it is published again.
#[must_use]
pub fn losing(seeds: u64) -> Vec<Bed> {
    let bed = |seed| {
        let mut faults = Faults::chaos(seed);
        // One message in twenty: in a storm of 200 tasks some are lost, and each loss costs three leases until its
        // batch is published again.
        faults.lose = 0.05;
        Bed::in_process().with_faults(faults)
    };
    (1..=seeds).map(bed).collect()
}

/// Slots of each kind with runs that are remembered, some over queues with every fault but losing messages.
#[must_use]
pub fn remembered() -> Vec<Bed> {
    let chaotic = (1..=3).map(|seed| Bed::in_process().with_faults(Faults::chaos(seed)));
    let beds = [Bed::process(), Bed::in_process()]
        .into_iter()
        .chain(chaotic);
    beds.map(Bed::with_ledger).collect()
}
