//! One day: its carriers' totals, as CSV and as a summary.

use std::collections::BTreeMap;

use super::airlines::Airlines;
use super::summary::{CarrierSummary, DaySummary};
use super::totals::{Flight, Totals};

/// The columns of a day's file.
const HEADER: [&str; 8] = [
    "carrier",
    "name",
    "flights",
    "cancelled",
    "mean_dep_delay",
    "mean_arr_delay",
    "distance",
    "mean_wind_speed",
];

/// The totals of one day by carrier.
#[derive(Clone, Debug, Default)]
pub struct Day(BTreeMap<Box<str>, Totals>);

impl Day {
    pub(crate) fn add(&mut self, carrier: &str, flight: &Flight) {
        if let Some(totals) = self.0.get_mut(carrier) {
            totals.add(flight);
        } else {
            self.0.entry(carrier.into()).or_default().add(flight);
        }
    }

    /// The day's file: a row for each carrier, sorted by carrier.
    ///
    /// Fields are quoted only where CSV needs it, lines end in `\n`, missing means are empty.
    ///
    /// # Errors
    /// No error is known: the file is written to memory.
    pub fn csv(&self, airlines: &Airlines) -> csv::Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::with_capacity(64 * (self.0.len() + 2)));
        csv.write_record(HEADER)?;
        for (carrier, totals) in &self.0 {
            csv.write_record([
                carrier,
                airlines.name(carrier),
                &totals.flights.to_string(),
                &totals.cancelled.to_string(),
                &totals.dep_delay.text(),
                &totals.arr_delay.text(),
                &totals.distance.to_string(),
                &totals.wind.text(),
            ])?;
        }
        csv.into_inner().map_err(|error| error.into_error().into())
    }

    /// The summary that the master folds.
    #[must_use]
    pub fn summary(&self) -> DaySummary {
        let carriers = self.0.iter().map(|(carrier, totals)| {
            let summary = CarrierSummary {
                flights: totals.flights,
                cancelled: totals.cancelled,
                distance: totals.distance,
                arr_delay_sum: totals.arr_delay.whole_sum(),
                arrivals: totals.arr_delay.count(),
            };
            (carrier.to_string(), summary)
        });
        DaySummary {
            carriers: carriers.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flights::Files;

    fn flight(delay: Option<i32>) -> Flight {
        Flight {
            cancelled: delay.is_none(),
            distance: 100,
            dep_delay: delay,
            arr_delay: delay,
            wind: None,
        }
    }

    #[test]
    fn rows_are_sorted_quoted_where_needed_and_empty_where_nothing_is_known() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("airlines.csv"),
            "carrier,name\nZZ,\"Last, \"\"and\"\" Least\"\nAA,It's # plain\n",
        )
        .unwrap();
        let airlines = Airlines::load(&Files::of_directory(dir.path()).unwrap()).unwrap();
        let mut day = Day::default();
        day.add("ZZ", &flight(None));
        day.add("AA", &flight(Some(-4)));
        day.add("AA", &flight(Some(5)));
        day.add("QQ", &flight(Some(0)));
        let text = String::from_utf8(day.csv(&airlines).unwrap()).unwrap();
        assert_eq!(
            text,
            "carrier,name,flights,cancelled,mean_dep_delay,mean_arr_delay,distance,mean_wind_speed\n\
             AA,It's # plain,2,0,0.500,0.500,200,\n\
             QQ,,1,0,0.000,0.000,100,\n\
             ZZ,\"Last, \"\"and\"\" Least\",1,1,,,100,\n"
        );
    }

    #[test]
    fn the_summary_counts_what_the_file_contains() {
        let mut day = Day::default();
        day.add("AA", &flight(Some(7)));
        day.add("AA", &flight(None));
        assert_eq!(
            day.summary().carriers["AA"],
            CarrierSummary {
                flights: 2,
                cancelled: 1,
                distance: 200,
                arr_delay_sum: 7,
                arrivals: 1
            }
        );
    }
}
