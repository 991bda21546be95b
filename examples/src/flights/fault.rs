//! Faults of the input: their place, their reason, and the days that fail by them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::civil::Date;

/// A place in the input and the fault at that place, as `file:line: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    file: Arc<Path>,
    line: Option<u64>,
    reason: String,
}

impl Fault {
    /// A fault of a whole file.
    pub fn of_file(file: impl Into<Arc<Path>>, reason: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            reason: reason.into(),
        }
    }

    /// A fault of a line, counted from 1 in the uncompressed file, the header included.
    pub fn of_line(file: impl Into<Arc<Path>>, line: u64, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::of_file(file, reason)
        }
    }

    /// A table that has neither this plain file nor its compressed form.
    pub(crate) fn missing(plain: &Path) -> Self {
        let name = plain.file_name().unwrap_or_default().display();
        Self::of_file(plain, format!("no such file, and no {name}.gz beside it"))
    }

    /// A file that can't be read on after so many lines.
    pub(crate) fn of_reading(file: &Arc<Path>, lines_before: u64, error: &io::Error) -> Self {
        Self::of_line(
            Arc::clone(file),
            lines_before + 1,
            format!("the file can't be read on: {error}"),
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for Fault {}

/// The first bad row of a day, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    first: Fault,
    more: u64,
}

impl Found {
    fn new(first: Fault) -> Self {
        Self { first, more: 0 }
    }

    fn join(&mut self, later: &Self) {
        self.more += later.more + 1;
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match self.more {
            0 => Ok(()),
            1 => f.write_str(" (and 1 more bad row)"),
            more => write!(f, " (and {more} more bad rows)"),
        }
    }
}

impl std::error::Error for Found {}

/// The bad rows of all files, by the day that they fail.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    by_day: BTreeMap<Date, Found>,
    every_day: Option<Found>,
}

impl Faults {
    /// The fault that fails a day, if there is one.
    pub(crate) fn of(&self, day: Date) -> Option<&Found> {
        self.by_day.get(&day).or(self.every_day.as_ref())
    }

    fn add(&mut self, day: Option<Date>, found: Found) {
        let place = match day {
            Some(day) => {
                if let Some(known) = self.by_day.get_mut(&day) {
                    known.join(&found);
                } else {
                    self.by_day.insert(day, found);
                }
                return;
            }
            None => &mut self.every_day,
        };
        match place {
            Some(known) => known.join(&found),
            None => *place = Some(found),
        }
    }
}

/// Assigns each row of one file to a day, and records the row's faults for that day.
#[derive(Debug)]
pub(crate) struct Ascription<'a> {
    faults: &'a mut Faults,
    last: Option<Date>,
    before_any: Option<Found>,
}

impl<'a> Ascription<'a> {
    pub(crate) fn new(faults: &'a mut Faults) -> Self {
        Self {
            faults,
            last: None,
            before_any: None,
        }
    }

    /// Records the date of the next row, where that date is readable.
    pub(crate) fn dated(&mut self, date: Option<Date>) {
        let Some(date) = date else { return };
        self.last = Some(date);
        if let Some(found) = self.before_any.take() {
            self.faults.add(Some(date), found);
        }
    }

    /// Files a fault of the row whose date was noted last.
    pub(crate) fn bad(&mut self, fault: Fault) {
        let found = Found::new(fault);
        match (self.last, &mut self.before_any) {
            (Some(day), _) => self.faults.add(Some(day), found),
            (None, Some(known)) => known.join(&found),
            (None, none) => *none = Some(found),
        }
    }

    /// Ends the file: if no row had a readable date, its faults fail every day.
    pub(crate) fn end(self) {
        if let Some(found) = self.before_any {
            self.faults.add(None, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn fault(line: u64) -> Fault {
        Fault::of_line(Path::new("f.csv"), line, "bad")
    }

    fn of(faults: &Faults, day: Date) -> Option<String> {
        faults.of(day).map(ToString::to_string)
    }

    #[test]
    fn a_row_without_a_date_belongs_to_the_day_before_it_and_the_first_to_the_day_after() {
        let mut faults = Faults::default();
        let mut file = Ascription::new(&mut faults);
        let (first, second) = (date(2013, 1, 1), date(2013, 1, 2));
        file.dated(None);
        file.bad(fault(2));
        file.dated(Some(first));
        file.dated(Some(second));
        file.dated(None);
        file.bad(fault(5));
        file.dated(None);
        file.bad(fault(6));
        file.end();
        assert_eq!(of(&faults, first).as_deref(), Some("f.csv:2: bad"));
        assert_eq!(
            of(&faults, second).as_deref(),
            Some("f.csv:5: bad (and 1 more bad row)")
        );
        assert_eq!(of(&faults, date(2013, 1, 3)), None);
    }

    #[test]
    fn a_file_without_any_date_fails_every_day() {
        let mut faults = Faults::default();
        let mut file = Ascription::new(&mut faults);
        for line in 2..5 {
            file.dated(None);
            file.bad(fault(line));
        }
        file.end();
        assert_eq!(
            of(&faults, date(2013, 7, 4)).as_deref(),
            Some("f.csv:2: bad (and 2 more bad rows)")
        );
    }

    #[test]
    fn a_whole_file_has_no_line() {
        assert_eq!(
            Fault::of_file(Path::new("x/f.csv"), "no such file").to_string(),
            "x/f.csv: no such file"
        );
    }
}
