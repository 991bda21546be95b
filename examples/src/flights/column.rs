//! Reading the values of a row: types, and `NA` for what is missing.

use std::borrow::Cow;
use std::str::{self, FromStr};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::fault::Fault;
use super::rows::{Column, Row, Rows};

/// How the data marks a missing value.
const MISSING: &[u8] = b"NA";

/// Most bytes of a bad value that an error shows.
const SHOWN: usize = 40;

impl Column {
    /// The field as it stands. Rows are checked for their length before, so that a field is there.
    fn bytes<'a>(&self, row: &Row<'a>) -> &'a [u8] {
        row.field(self.index).unwrap_or_default()
    }

    fn present<'a>(&self, row: &Row<'a>) -> Option<&'a [u8]> {
        Some(self.bytes(row)).filter(|bytes| *bytes != MISSING)
    }

    fn parsed<T: FromStr>(&self, row: &Row<'_>, wanted: &str) -> Result<Option<T>, String> {
        let Some(bytes) = self.present(row) else {
            return Ok(None);
        };
        match parse(bytes) {
            Some(value) => Ok(Some(value)),
            None => Err(self.unreadable(bytes, wanted)),
        }
    }

    fn unreadable(&self, bytes: &[u8], wanted: &str) -> String {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        let cut = if bytes.len() > SHOWN { "…" } else { "" };
        format!("{} {shown:?}{cut} is not {wanted}", self.name)
    }

    /// Whether there is a value, of whatever kind.
    pub(crate) fn is_present(&self, row: &Row<'_>) -> bool {
        self.present(row).is_some()
    }

    /// A whole number.
    pub(crate) fn whole(&self, row: &Row<'_>) -> Result<Option<i32>, String> {
        self.parsed(row, "a whole number")
    }

    /// A whole number from 0 that can't be missing.
    pub(crate) fn needed_count(&self, row: &Row<'_>) -> Result<u32, String> {
        self.parsed(row, "a whole number from 0")?
            .ok_or_else(|| self.missing())
    }

    /// A finite number.
    pub(crate) fn number(&self, row: &Row<'_>) -> Result<Option<f64>, String> {
        match self.parsed::<f64>(row, "a number")? {
            // `f64::from_str` accepts "inf" and "NaN", which are no measurements.
            Some(number) if !number.is_finite() => {
                Err(self.unreadable(self.bytes(row), "a number"))
            }
            number => Ok(number),
        }
    }

    /// Text that can't be missing.
    pub(crate) fn needed_text<'a>(&self, row: &Row<'a>) -> Result<&'a str, String> {
        let bytes = self
            .present(row)
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| self.missing())?;
        str::from_utf8(bytes).map_err(|_| self.unreadable(bytes, "UTF-8 text"))
    }

    /// A moment such as `2013-01-01T10:00:00Z`. One without a zone is taken as UTC: only its being equal counts.
    pub(crate) fn moment(&self, row: &Row<'_>) -> Result<Option<Timestamp>, String> {
        let Some(bytes) = self.present(row) else {
            return Ok(None);
        };
        let zoneless = || {
            let time = parse::<DateTime>(bytes)?;
            time.to_zoned(TimeZone::UTC)
                .ok()
                .map(|zoned| zoned.timestamp())
        };
        parse(bytes)
            .or_else(zoneless)
            .map(Some)
            .ok_or_else(|| self.unreadable(bytes, "a time such as 2013-01-01T10:00:00Z"))
    }

    fn missing(&self) -> String {
        format!("{} is missing", self.name)
    }
}

fn parse<T: FromStr>(bytes: &[u8]) -> Option<T> {
    // Text of another encoding is not a number or a time, and the fault shows the bytes.
    str::from_utf8(bytes).ok()?.parse().ok()
}

/// The columns that give a row its day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DateColumns {
    year: Column,
    month: Column,
    day: Column,
}

impl DateColumns {
    pub(crate) fn of(rows: &Rows) -> Result<Self, Fault> {
        Ok(Self {
            year: rows.column("year")?,
            month: rows.column("month")?,
            day: rows.column("day")?,
        })
    }

    /// The row's date; `None` when the row is too short to tell or names no day of the calendar.
    pub(crate) fn read(&self, row: &Row<'_>) -> Option<Date> {
        let year = parse(row.field(self.year.index)?)?;
        let month = parse(row.field(self.month.index)?)?;
        let day = parse(row.field(self.day.index)?)?;
        Date::new(year, month, day).ok()
    }

    /// The fault of a date that can't be read.
    pub(crate) fn unreadable(&self, row: &Row<'_>) -> String {
        let [year, month, day] = [self.year, self.month, self.day].map(|column| {
            let bytes = column.bytes(row);
            let shown: Cow<'_, str> = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
            shown.into_owned()
        });
        format!("{:?} is not a date", format!("{year}-{month}-{day}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::io::Cursor;
    use std::path::Path;

    /// Reads `field` as the only value of column `v`.
    fn with<T>(field: &str, read: impl Fn(Column, &Row<'_>) -> T) -> T {
        let text = format!("v\n{field}\n");
        let mut rows = Rows::read(Path::new("t").into(), Cursor::new(text)).unwrap();
        let column = rows.column("v").unwrap();
        read(column, &rows.next().unwrap().unwrap())
    }

    #[test]
    fn missing_is_no_error_where_a_value_may_be_missing() {
        assert_eq!(with("NA", |column, row| column.whole(row)), Ok(None));
        assert_eq!(with("NA", |column, row| column.number(row)), Ok(None));
        assert_eq!(with("NA", |column, row| column.moment(row)), Ok(None));
        let missing = Err("v is missing".to_owned());
        assert_eq!(with("NA", |column, row| column.needed_count(row)), missing);
    }

    #[test]
    fn a_missing_or_empty_text_is_an_error_where_it_is_needed() {
        for field in ["NA", "\"\""] {
            let read = with(field, |column, row| {
                column.needed_text(row).map(str::to_owned)
            });
            assert_eq!(read, Err("v is missing".to_owned()));
        }
    }

    #[test]
    fn numbers_are_read_strictly() {
        assert_eq!(with("-12", |column, row| column.whole(row)), Ok(Some(-12)));
        for bad in ["1.0", "x", "1 ", "\"\"", "99999999999", "na"] {
            let error = with(bad, |column, row| column.whole(row)).unwrap_err();
            assert!(error.ends_with("is not a whole number"), "{error}");
        }
        assert!(with("-1", |column, row| column.needed_count(row)).is_err());
        assert_eq!(
            with("10.357019999999999", |column, row| column.number(row)),
            Ok(Some(10.357_019_999_999_999))
        );
        for bad in ["inf", "NaN", "1,5", "--", "1e999"] {
            let error = with(&format!("\"{bad}\""), |column, row| column.number(row));
            assert_eq!(error, Err(format!("v {bad:?} is not a number")));
        }
    }

    #[test]
    fn a_long_bad_value_is_cut() {
        let error = with(&"y".repeat(1000), |column, row| column.whole(row)).unwrap_err();
        assert!(error.len() < 100, "{error}");
        assert!(error.contains('…'), "{error}");
    }

    #[test]
    fn moments_with_and_without_a_zone() {
        let moment = |field| with(field, |column, row| column.moment(row));
        let expected: Timestamp = "2013-01-01T10:00:00Z".parse().unwrap();
        assert_eq!(moment("2013-01-01T10:00:00Z"), Ok(Some(expected)));
        assert_eq!(moment("2013-01-01 05:00:00-05:00"), Ok(Some(expected)));
        assert_eq!(moment("2013-01-01 10:00:00"), Ok(Some(expected)));
        assert!(moment("2013-02-30T10:00:00Z").is_err());
        assert!(moment("10").is_err());
    }

    #[test]
    fn dates_of_the_calendar_only() {
        let read = |row: &str| {
            let text = format!("year,month,day\n{row}\n");
            let mut rows = Rows::read(Path::new("t").into(), Cursor::new(text)).unwrap();
            let columns = DateColumns::of(&rows).unwrap();
            let row = rows.next().unwrap().unwrap();
            columns.read(&row).ok_or_else(|| columns.unreadable(&row))
        };
        assert_eq!(read("2013,1,31"), Ok(date(2013, 1, 31)));
        assert_eq!(
            read("2013,2,29"),
            Err("\"2013-2-29\" is not a date".to_owned())
        );
        assert_eq!(
            read("2013,NA,1"),
            Err("\"2013-NA-1\" is not a date".to_owned())
        );
        assert!(read("2013,1").is_err());
    }
}
