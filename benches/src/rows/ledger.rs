//! The rows of runs that are remembered.

use crate::board::{Budget, Unit};

use super::{FEW, MILLION, ONCE, Plan, Size, Source};

/// Tasks of 10 ms, which two slots take some seconds for.
const NAPS: Size = Size {
    full: 1_000,
    quick: 100,
};

/// The same pool without a ledger.
const WITHOUT: &str = "without a ledger";

/// The rows, in the order of the table.
pub(super) const PLANS: [Plan; 8] = [
    Plan {
        name: "ledger",
        what: "1 M no-ops with keys and a ledger, synchronous=FULL",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("ledger-burst", MILLION),
        reference: Some((WITHOUT, Source::Case("keyed-burst", MILLION))),
        budget: Budget::AtLeast(80_000.0),
        rounds: FEW,
    },
    Plan {
        name: "ledger-normal",
        what: "the same, synchronous=NORMAL",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("ledger-burst-normal", MILLION),
        reference: Some((WITHOUT, Source::Case("keyed-burst", MILLION))),
        budget: Budget::AtLeast(80_000.0),
        rounds: FEW,
    },
    Plan {
        name: "ledger-naps",
        what: "tasks of 10 ms with keys and a ledger",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("ledger-naps", NAPS),
        reference: Some((WITHOUT, Source::Case("keyed-naps", NAPS))),
        budget: Budget::RatioAtLeast(0.95),
        rounds: FEW,
    },
    Plan {
        name: "ledger-disk",
        what: "disk of a small task in a ledger, of 1 M",
        unit: Unit::BytesPerTask,
        measured: Source::Case("ledger-disk", MILLION),
        reference: None,
        budget: Budget::AtMost(1_000.0),
        rounds: ONCE,
    },
    Plan {
        name: "ledger-memory",
        what: "peak memory of the master of 1 M tasks with a ledger, through map",
        unit: Unit::Mebibytes,
        measured: Source::Case("ledger-memory", MILLION),
        reference: None,
        budget: Budget::Information,
        rounds: ONCE,
    },
    Plan {
        name: "ledger-open",
        what: "`build()` for a run of 1 M done tasks",
        unit: Unit::Millis,
        measured: Source::Case("ledger-open", MILLION),
        reference: None,
        budget: Budget::Information,
        rounds: FEW,
    },
    Plan {
        name: "ledger-resume",
        what: "until the first new result of a run of 1 M that is started again, the last 1 % missing",
        unit: Unit::Millis,
        measured: Source::Case("ledger-resume", MILLION),
        reference: None,
        budget: Budget::AtMost(10_000.0),
        rounds: FEW,
    },
    Plan {
        name: "ledger-heap",
        what: "live heap of a done task in such a run",
        unit: Unit::BytesPerTask,
        measured: Source::Heap("resumed", MILLION),
        reference: None,
        budget: Budget::AtMost(100.0),
        rounds: ONCE,
    },
];
