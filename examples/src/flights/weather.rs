//! The hourly wind at each airport, from `weather.csv`.

use std::collections::HashMap;

use jiff::Timestamp;

use super::column::DateColumns;
use super::fault::{Ascription, Fault, Faults};
use super::files::Files;
use super::rows::{Column, Row, Rows};

/// Columns that nothing is made of, but that must be numbers as the data set says.
const OTHER_NUMBERS: [&str; 9] = [
    "hour",
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
];

/// Wind speeds by origin and hour; hours of unknown wind are left out.
#[derive(Debug, Default)]
pub struct Weather(HashMap<Box<str>, HashMap<Timestamp, f64>>);

impl Weather {
    /// Reads `weather.csv`, or `weather.csv.gz`; bad rows go to `faults`.
    pub(crate) fn load(files: &Files, faults: &mut Faults) -> Result<Self, Fault> {
        let mut rows = files.rows("weather")?;
        let columns = Columns::of(&rows)?;
        let mut weather = Self::default();
        let mut days = Ascription::new(faults);
        while let Some(row) = rows.next()? {
            let date = columns.date.read(&row);
            days.dated(date);
            let read = row.check_form().and_then(|()| match date {
                Some(_) => columns.read(&row),
                None => Err(columns.date.unreadable(&row)),
            });
            match read {
                Ok(hour) => weather.add(&hour),
                Err(reason) => days.bad(row.fault(reason)),
            }
        }
        days.end();
        Ok(weather)
    }

    /// The first row of an hour counts; the data has no second.
    fn add(&mut self, hour: &Hour<'_>) {
        let (Some(time), Some(wind)) = (hour.time, hour.wind) else {
            return;
        };
        if !self.0.contains_key(hour.origin) {
            self.0.insert(hour.origin.into(), HashMap::new());
        }
        if let Some(hours) = self.0.get_mut(hour.origin) {
            hours.entry(time).or_insert(wind);
        }
    }

    /// The wind speed at an airport at an hour; `None` where the file has no value.
    #[must_use]
    pub fn wind(&self, origin: &str, time: Timestamp) -> Option<f64> {
        self.0.get(origin)?.get(&time).copied()
    }

    /// Checks that the file is there and has the columns that are needed.
    pub(crate) fn check(files: &Files) -> Result<(), Fault> {
        Columns::of(&files.rows("weather")?).map(drop)
    }
}

/// The values of a row that are kept.
struct Hour<'a> {
    origin: &'a str,
    time: Option<Timestamp>,
    wind: Option<f64>,
}

struct Columns {
    date: DateColumns,
    origin: Column,
    time_hour: Column,
    wind_speed: Column,
    others: Vec<Column>,
}

impl Columns {
    fn of(rows: &Rows) -> Result<Self, Fault> {
        Ok(Self {
            date: DateColumns::of(rows)?,
            origin: rows.column("origin")?,
            time_hour: rows.column("time_hour")?,
            wind_speed: rows.column("wind_speed")?,
            others: OTHER_NUMBERS
                .into_iter()
                .filter_map(|name| rows.find_column(name))
                .collect(),
        })
    }

    fn read<'a>(&self, row: &Row<'a>) -> Result<Hour<'a>, String> {
        for column in &self.others {
            column.number(row)?;
        }
        Ok(Hour {
            origin: self.origin.needed_text(row)?,
            time: self.time_hour.moment(row)?,
            wind: self.wind_speed.number(row)?,
        })
    }
}
