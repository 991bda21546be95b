//! The rows: the measured case, its reference, and the budget.

mod bench;
#[cfg(feature = "ledger")]
mod ledger;
#[cfg(feature = "pubsub")]
mod pubsub;

use anyhow::Context;

use crate::board::{Budget, Unit};
use crate::ppe::Measure;

pub use bench::Bench;

const BARE: &str = "bare pool";
const PPE: &str = "ProcessPoolExecutor";

/// The size of a full measurement, and that of a `--quick` one.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    full: u64,
    quick: u64,
}

/// Where a number comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// A case of this program, in a process of its own.
    Case(&'static str, Size),
    /// The whole process of a case, in milliseconds.
    Process(&'static str, Size),
    /// The whole process of a case, in milliseconds, with all of its threads and children on one core.
    Pinned(&'static str, Size),
    /// A case of the program that counts live heap.
    Heap(&'static str, Size),
    /// The Python program.
    Ppe(Measure, Size),
}

/// How a row is made.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The name that `--only` takes.
    pub name: &'static str,
    what: &'static str,
    unit: Unit,
    measured: Source,
    reference: Option<(&'static str, Source)>,
    budget: Budget,
    rounds: Size,
}

const MILLION: Size = Size {
    full: 1_000_000,
    quick: 100_000,
};
/// Just past 2^20, where containers that double have just doubled.
const PAST_DOUBLING: Size = Size {
    full: 1_100_000,
    quick: 140_000,
};
const HUNDRED_THOUSAND: Size = Size {
    full: 100_000,
    quick: 10_000,
};
const ONE_BY_ONE_IN_PYTHON: Size = Size {
    full: 20_000,
    quick: 5_000,
};
const TRIPS: Size = Size {
    full: 2_000,
    quick: 500,
};
/// Names that hello greets.
const NAMES: Size = Size { full: 3, quick: 3 };
const BACKLOG: Size = Size {
    full: 160_000,
    quick: 40_000,
};
const QUARTER: Size = Size {
    full: 40_000,
    quick: 10_000,
};
const HEAVY: Size = Size {
    full: 64,
    quick: 64,
};
/// Milliseconds of a nap.
const NAPS: Size = Size {
    full: 5_000,
    quick: 500,
};
const MANY: Size = Size { full: 11, quick: 3 };
const FEW: Size = Size { full: 5, quick: 3 };
const ONCE: Size = Size { full: 1, quick: 1 };

/// Every local row, in the order of the table.
pub const PLANS: [Plan; 17] = [
    Plan {
        name: "one-by-one",
        what: "1 M no-ops, submitted one by one",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-burst", MILLION),
        reference: Some((BARE, Source::Case("bare-burst", MILLION))),
        budget: Budget::RatioAtLeast(1.0),
        rounds: MANY,
    },
    Plan {
        name: "one-by-one-python",
        what: "the same, against the fastest peer",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-burst", MILLION),
        reference: Some((PPE, Source::Ppe(Measure::Burst, ONE_BY_ONE_IN_PYTHON))),
        budget: Budget::RatioAtLeast(1.0),
        rounds: FEW,
    },
    Plan {
        name: "map",
        what: "1 M no-ops through map, default window",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-map", MILLION),
        reference: Some((PPE, Source::Ppe(Measure::Map, MILLION))),
        budget: Budget::RatioAtLeast(2.5),
        rounds: MANY,
    },
    Plan {
        name: "trip",
        what: "round trip, both on one core",
        unit: Unit::Micros,
        measured: Source::Pinned("pool-trip", TRIPS),
        reference: Some((BARE, Source::Pinned("bare-trip", TRIPS))),
        budget: Budget::RatioAtMost(1.5),
        rounds: MANY,
    },
    Plan {
        name: "trip-any-core",
        what: "round trip, cores as they come",
        unit: Unit::Micros,
        measured: Source::Case("pool-trip", TRIPS),
        reference: Some((BARE, Source::Case("bare-trip", TRIPS))),
        budget: Budget::Information,
        rounds: MANY,
    },
    Plan {
        name: "trip-python",
        what: "the same, against Python",
        unit: Unit::Micros,
        measured: Source::Case("pool-trip", TRIPS),
        reference: Some((PPE, Source::Ppe(Measure::Trip, TRIPS))),
        budget: Budget::Information,
        rounds: FEW,
    },
    Plan {
        name: "submit",
        what: "submit while the slots run",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-submit", MILLION),
        reference: None,
        budget: Budget::AtLeast(2e6),
        rounds: MANY,
    },
    Plan {
        name: "heap",
        what: "live heap of a pending task, 1 M pending",
        unit: Unit::BytesPerTask,
        measured: Source::Heap("pending", MILLION),
        reference: None,
        budget: Budget::AtMost(200.0),
        rounds: ONCE,
    },
    Plan {
        name: "heap-past-doubling",
        what: "the same, 1.1 M pending",
        unit: Unit::BytesPerTask,
        measured: Source::Heap("pending", PAST_DOUBLING),
        reference: None,
        budget: Budget::AtMost(200.0),
        rounds: ONCE,
    },
    Plan {
        name: "bytes",
        what: "64 × 1 MiB in and out",
        unit: Unit::MebibytesPerSecond,
        measured: Source::Case("pool-load", HEAVY),
        reference: Some((BARE, Source::Case("bare-load", HEAVY))),
        budget: Budget::RatioAtLeast(1.2),
        rounds: MANY,
    },
    Plan {
        name: "bytes-python",
        what: "the same, against Python",
        unit: Unit::MebibytesPerSecond,
        measured: Source::Case("pool-load", HEAVY),
        reference: Some((PPE, Source::Ppe(Measure::Load, HEAVY))),
        budget: Budget::RatioAtLeast(1.0),
        rounds: MANY,
    },
    Plan {
        name: "bytes-vec",
        what: "the same as Vec<u8>, which costs copies",
        unit: Unit::MebibytesPerSecond,
        measured: Source::Case("pool-load-vec", HEAVY),
        reference: Some((BARE, Source::Case("bare-load", HEAVY))),
        budget: Budget::Information,
        rounds: FEW,
    },
    Plan {
        name: "flat",
        what: "peak memory that map adds, 100,000 to 1 M tasks",
        unit: Unit::Mebibytes,
        measured: Source::Case("pool-map-memory", MILLION),
        reference: None,
        budget: Budget::AtMost(8.0),
        rounds: FEW,
    },
    Plan {
        name: "linear",
        what: "1 M tasks one by one, against 100,000",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-burst", MILLION),
        reference: Some(("podpool", Source::Case("pool-burst", HUNDRED_THOUSAND))),
        budget: Budget::RatioAtLeast(0.5),
        rounds: FEW,
    },
    Plan {
        name: "hello",
        what: "the program hello, from exec to its end",
        unit: Unit::Millis,
        measured: Source::Process("hello", NAMES),
        reference: None,
        budget: Budget::AtMost(12.0),
        rounds: MANY,
    },
    Plan {
        name: "cancel",
        what: "cancelling what waits, two types in turn, newest first, against a quarter of it",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pool-cancel", BACKLOG),
        reference: Some(("podpool", Source::Case("pool-cancel", QUARTER))),
        budget: Budget::RatioAtLeast(0.5),
        rounds: FEW,
    },
    Plan {
        name: "naps",
        what: "225 tasks of 5 s on 25 slots, over the ideal 45 s",
        unit: Unit::Percent,
        measured: Source::Case("pool-naps", NAPS),
        reference: None,
        budget: Budget::AtMost(1.0),
        rounds: ONCE,
    },
];

/// Every row that this program can measure here.
#[must_use]
pub fn plans() -> Vec<Plan> {
    let plans = PLANS.to_vec();
    #[cfg(feature = "ledger")]
    let plans = [plans, ledger::PLANS.to_vec()].concat();
    #[cfg(feature = "pubsub")]
    let plans = {
        let mut plans = plans;
        if crate::pubsub::is_available() {
            plans.extend(pubsub::PLANS);
        }
        plans
    };
    plans
}

/// The plans of the given names, in the table's order.
///
/// # Errors
/// A name that no row has.
pub fn chosen(only: &[String]) -> anyhow::Result<Vec<Plan>> {
    let plans = plans();
    for name in only {
        plans
            .iter()
            .find(|plan| plan.name == name)
            .with_context(|| format!("there is no row {name:?}; --list names them"))?;
    }
    let wanted = |plan: &Plan| only.is_empty() || only.iter().any(|name| name == plan.name);
    Ok(plans.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name_in_the_tables_order() {
        let only = ["trip".to_owned(), "map".to_owned()];
        let names: Vec<_> = chosen(&only).unwrap().iter().map(|p| p.name).collect();
        assert_eq!(names, ["map", "trip"]);
        assert_eq!(chosen(&[]).unwrap().len(), plans().len());
        let error = chosen(&["mop".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("mop"), "{error}");
    }

    #[test]
    fn no_two_rows_share_a_name() {
        let names: std::collections::BTreeSet<_> = plans().iter().map(|plan| plan.name).collect();
        assert_eq!(names.len(), plans().len());
    }
}
