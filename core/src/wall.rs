//! Times of a wall clock, as messages carry them. They are for people: no decision compares the clocks of two machines.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A time by the wall clock of the host that states it, in microseconds since 1970. A clock that stands before 1970
/// counts as standing there.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct WallTime(pub u64);

impl From<SystemTime> for WallTime {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Self(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

impl WallTime {
    /// The time, corrected by so many microseconds. None where no clock can state the result: what a worker sends is not
    /// trusted to be a time.
    #[must_use]
    pub fn corrected(self, micros: i64) -> Option<SystemTime> {
        let micros = self.0.checked_add_signed(micros)?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros))
    }

    /// By how many microseconds another clock's time is later than this one; none where that is no number of 63 bits.
    #[must_use]
    pub fn behind(self, other: Self) -> Option<i64> {
        i64::try_from(i128::from(other.0) - i128::from(self.0)).ok()
    }
}

/// What this host's wall clock shows.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "people read when an attempt was published and when it began"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_difference_corrects_one_clock_to_the_other(one: u64, other: u64) {
            let (one, other) = (WallTime(one), WallTime(other));
            if let Some(micros) = one.behind(other)
                && let Some(corrected) = one.corrected(micros)
            {
                prop_assert_eq!(WallTime::from(corrected), other);
            }
        }

        #[test]
        fn any_time_and_correction_are_a_time_or_none(one: u64, micros: i64) {
            let corrected = WallTime(one).corrected(micros);
            prop_assert!(corrected.is_none_or(|time| time >= SystemTime::UNIX_EPOCH));
        }
    }

    #[test]
    fn a_clock_before_1970_counts_as_1970() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(WallTime::from(before), WallTime(0));
        let after = SystemTime::UNIX_EPOCH + Duration::from_micros(7);
        assert_eq!(WallTime::from(after), WallTime(7));
        assert_eq!(WallTime(7).corrected(-8), None);
    }
}
