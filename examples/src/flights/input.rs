//! The whole input, read once: every day's totals, and which days have bad rows.
//!
//! Rows are added up as they are read, so that memory grows with days and carriers and not with rows. Adding
//! happens in the order of the file, which keeps every sum, and so every digit written, the same on every run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::airlines::Airlines;
use super::column::DateColumns;
use super::day::Day;
use super::fault::{Ascription, Fault, Faults, Found};
use super::files::Files;
use super::rows::{Column, Row, Rows};
use super::totals::Flight;
use super::weather::Weather;

/// Columns that nothing is made of, but that must be whole numbers as the data set says.
const OTHER_NUMBERS: [&str; 7] = [
    "sched_dep_time",
    "arr_time",
    "sched_arr_time",
    "flight",
    "air_time",
    "hour",
    "minute",
];

/// All days of an input.
#[derive(Debug)]
pub struct Input {
    airlines: Airlines,
    days: BTreeMap<Date, Day>,
    faults: Faults,
}

impl Input {
    /// Reads `airlines`, `weather` and `flights`.
    ///
    /// # Errors
    /// A file is missing, lacks a column or can't be read to its end. Bad rows are no error here: [`Input::day`]
    /// reports them for the days that they belong to.
    pub fn load(files: &Files) -> Result<Self, Fault> {
        let airlines = Airlines::load(files)?;
        let mut faults = Faults::default();
        let weather = Weather::load(files, &mut faults)?;
        let days = read_flights(files, &weather, &mut faults)?;
        Ok(Self {
            airlines,
            days,
            faults,
        })
    }

    /// Checks before any work that the files are there and have the columns that are needed.
    ///
    /// # Errors
    /// The first thing that is wrong; `airlines.csv` is read wholly.
    pub fn check(files: &Files) -> Result<Airlines, Fault> {
        Columns::of(&files.rows("flights")?)?;
        Weather::check(files)?;
        Airlines::load(files)
    }

    /// The totals of a day; `None` for a day without flights.
    ///
    /// # Errors
    /// The day has bad rows: the first, and how many more.
    pub fn day(&self, day: Date) -> Result<Option<&Day>, Found> {
        match self.faults.of(day) {
            Some(found) => Err(found.clone()),
            None => Ok(self.days.get(&day)),
        }
    }

    /// The airlines' names.
    #[must_use]
    pub fn airlines(&self) -> &Airlines {
        &self.airlines
    }
}

fn read_flights(
    files: &Files,
    weather: &Weather,
    faults: &mut Faults,
) -> Result<BTreeMap<Date, Day>, Fault> {
    let mut rows = files.rows("flights")?;
    let columns = Columns::of(&rows)?;
    let mut ascription = Ascription::new(faults);
    let mut days = BTreeMap::<Date, Day>::new();
    while let Some(row) = rows.next()? {
        let date = columns.date.read(&row);
        ascription.dated(date);
        match columns.read(&row, date, weather) {
            Ok((date, carrier, flight)) => days.entry(date).or_default().add(carrier, &flight),
            Err(reason) => ascription.bad(row.fault(reason)),
        }
    }
    ascription.end();
    Ok(days)
}

struct Columns {
    date: DateColumns,
    dep_time: Column,
    dep_delay: Column,
    arr_delay: Column,
    carrier: Column,
    origin: Column,
    distance: Column,
    time_hour: Column,
    others: Vec<Column>,
}

impl Columns {
    fn of(rows: &Rows) -> Result<Self, Fault> {
        Ok(Self {
            date: DateColumns::of(rows)?,
            dep_time: rows.column("dep_time")?,
            dep_delay: rows.column("dep_delay")?,
            arr_delay: rows.column("arr_delay")?,
            carrier: rows.column("carrier")?,
            origin: rows.column("origin")?,
            distance: rows.column("distance")?,
            time_hour: rows.column("time_hour")?,
            others: OTHER_NUMBERS
                .into_iter()
                .filter_map(|name| rows.find_column(name))
                .collect(),
        })
    }

    /// The flight of a row: every value checked, the wind joined.
    fn read<'a>(
        &self,
        row: &Row<'a>,
        date: Option<Date>,
        weather: &Weather,
    ) -> Result<(Date, &'a str, Flight), String> {
        row.check_form()?;
        let date = date.ok_or_else(|| self.date.unreadable(row))?;
        let dep_time = self.dep_time.whole(row)?;
        for column in &self.others {
            column.whole(row)?;
        }
        let flight = Flight {
            cancelled: dep_time.is_none(),
            distance: self.distance.needed_count(row)?,
            dep_delay: self.dep_delay.whole(row)?,
            arr_delay: self.arr_delay.whole(row)?,
            wind: self.wind(row, self.time_hour.moment(row)?, weather)?,
        };
        Ok((date, self.carrier.needed_text(row)?, flight))
    }

    fn wind(
        &self,
        row: &Row<'_>,
        time: Option<Timestamp>,
        weather: &Weather,
    ) -> Result<Option<f64>, String> {
        if !self.origin.is_present(row) {
            return Ok(None);
        }
        let origin = self.origin.needed_text(row)?;
        Ok(time.and_then(|time| weather.wind(origin, time)))
    }
}

#[cfg(test)]
mod tests;
