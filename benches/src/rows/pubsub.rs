//! The rows of the Pub/Sub path.

use crate::board::{Budget, Unit};

use super::{FEW, Plan, Size, Source};

/// Messages of a Pub/Sub row; packed tasks are many more in the same time.
const MESSAGES: Size = Size {
    full: 10_000,
    quick: 1_000,
};
const PACKED: Size = Size {
    full: 1_000_000,
    quick: 20_000,
};

/// Tasks of 1, 5 and 50 ms, that four slots take some seconds for.
const SHORT: Size = Size {
    full: 8_000,
    quick: 4_000,
};
const MIDDLING: Size = Size {
    full: 4_000,
    quick: 1_000,
};
const LONG: Size = Size {
    full: 400,
    quick: 200,
};
const MAPPED: Size = Size {
    full: 1_000_000,
    quick: 300_000,
};

/// Half of them fill the largest window some times over.
const WINDOW_IS_FULL: Size = Size {
    full: 1_000_000,
    quick: 1_000_000,
};

const ROUNDS: Size = Size { full: 5, quick: 1 };

/// A window that holds no call back.
const WIDE: &str = "window(100_000)";

/// The rows of the Pub/Sub path.
pub(super) const PLANS: [Plan; 8] = [
    Plan {
        name: "pubsub",
        what: "Pub/Sub emulator, one task a batch, against a minimal loop with two consumers",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pubsub-single", MESSAGES),
        reference: Some(("bare loop", Source::Case("pubsub-bare", MESSAGES))),
        budget: Budget::RatioAtLeast(5.0),
        rounds: FEW,
    },
    Plan {
        name: "pubsub-batched",
        what: "the same, against consumers that take 256 at a time and do nothing",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pubsub-single", MESSAGES),
        reference: Some(("bare loop", Source::Case("pubsub-bare-batched", MESSAGES))),
        budget: Budget::Information,
        rounds: FEW,
    },
    Plan {
        name: "pubsub-packed",
        what: "Pub/Sub emulator, short tasks packed",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pubsub-packed", PACKED),
        reference: Some(("one a batch", Source::Case("pubsub-single", MESSAGES))),
        budget: Budget::RatioAtLeast(20.0),
        rounds: FEW,
    },
    Plan {
        name: "pubsub-map-1ms",
        what: "map, default window, 4 workers over the emulator: tasks of 1 ms, part of the ideal speed",
        unit: Unit::Percent,
        measured: Source::Case("pubsub-map-1ms", SHORT),
        reference: Some((WIDE, Source::Case("pubsub-wide-1ms", SHORT))),
        budget: Budget::AtLeast(85.0),
        rounds: ROUNDS,
    },
    Plan {
        name: "pubsub-map-5ms",
        what: "the same, tasks of 5 ms",
        unit: Unit::Percent,
        measured: Source::Case("pubsub-map-5ms", MIDDLING),
        reference: Some((WIDE, Source::Case("pubsub-wide-5ms", MIDDLING))),
        budget: Budget::AtLeast(85.0),
        rounds: ROUNDS,
    },
    Plan {
        name: "pubsub-map-50ms",
        what: "the same, tasks of 50 ms",
        unit: Unit::Percent,
        measured: Source::Case("pubsub-map-50ms", LONG),
        reference: Some((WIDE, Source::Case("pubsub-wide-50ms", LONG))),
        budget: Budget::AtLeast(85.0),
        rounds: ROUNDS,
    },
    Plan {
        name: "pubsub-map-no-ops",
        what: "the same, no-ops",
        unit: Unit::TasksPerSecond,
        measured: Source::Case("pubsub-map-no-ops", MAPPED),
        reference: Some((WIDE, Source::Case("pubsub-wide-no-ops", MAPPED))),
        budget: Budget::AtLeast(300e3),
        rounds: ROUNDS,
    },
    Plan {
        name: "pubsub-map-flat",
        what: "peak memory that the same adds, 500,000 to 1 M tasks",
        unit: Unit::Mebibytes,
        measured: Source::Case("pubsub-map-memory", WINDOW_IS_FULL),
        reference: None,
        budget: Budget::AtMost(8.0),
        rounds: ROUNDS,
    },
];
