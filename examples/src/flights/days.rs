//! The range of days.

use jiff::ToSpan;
use jiff::civil::Date;

/// A first and a last day, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    from: Date,
    to: Date,
}

/// A range that names no days.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRange {
    /// Not a day of the calendar.
    #[error("{option} {given:?} is not a date such as 2013-01-31")]
    Date {
        /// The option that the value was given for.
        option: &'static str,
        /// The value that was given.
        given: String,
    },
    /// The last day is before the first.
    #[error("--from {from} is after --to {to}")]
    Order {
        /// The first day.
        from: Date,
        /// The last day.
        to: Date,
    },
}

impl Days {
    /// A range from two dates such as `2013-01-31`.
    ///
    /// # Errors
    /// One of the values is no date, or the values are in the wrong order.
    pub fn parse(from: &str, to: &str) -> Result<Self, BadRange> {
        let date = |option, given: &str| {
            given.parse::<Date>().map_err(|_| BadRange::Date {
                option,
                given: given.to_owned(),
            })
        };
        let (from, to) = (date("--from", from)?, date("--to", to)?);
        if from > to {
            return Err(BadRange::Order { from, to });
        }
        Ok(Self { from, to })
    }

    /// Every day, in order.
    pub fn iter(&self) -> impl Iterator<Item = Date> + Send + use<> {
        let to = self.to;
        self.from.series(1.day()).take_while(move |day| *day <= to)
    }

    /// How many days there are, at least one.
    #[must_use]
    pub fn count(&self) -> u64 {
        let days = self.from.until(self.to).map_or(0, |span| span.get_days());
        u64::from(days.unsigned_abs()) + 1
    }

    /// The first day.
    #[must_use]
    pub fn from(&self) -> Date {
        self.from
    }

    /// The last day.
    #[must_use]
    pub fn to(&self) -> Date {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(from: &str, to: &str) -> Vec<String> {
        Days::parse(from, to)
            .unwrap()
            .iter()
            .map(|day| day.to_string())
            .collect()
    }

    #[test]
    fn both_ends_are_included_across_months_and_leap_days() {
        assert_eq!(
            list("2012-02-28", "2012-03-01"),
            ["2012-02-28", "2012-02-29", "2012-03-01"]
        );
        assert_eq!(list("2013-05-05", "2013-05-05"), ["2013-05-05"]);
        assert_eq!(list("9999-12-30", "9999-12-31").len(), 2);
    }

    #[test]
    fn the_count_agrees_with_the_list() {
        for (from, to) in [
            ("2013-01-01", "2013-12-31"),
            ("2013-03-03", "2013-03-03"),
            ("1999-11-30", "2013-02-01"),
        ] {
            let days = Days::parse(from, to).unwrap();
            assert_eq!(days.count(), days.iter().count() as u64);
        }
    }

    #[test]
    fn the_error_of_a_bad_range_is_one_line() {
        let error = |from, to| Days::parse(from, to).unwrap_err().to_string();
        assert_eq!(
            error("2013-02-30", "2013-03-01"),
            "--from \"2013-02-30\" is not a date such as 2013-01-31"
        );
        assert_eq!(
            error("2013-02-01", "soon\n"),
            "--to \"soon\\n\" is not a date such as 2013-01-31"
        );
        assert_eq!(
            error("2013-12-31", "2013-01-01"),
            "--from 2013-12-31 is after --to 2013-01-01"
        );
    }
}
