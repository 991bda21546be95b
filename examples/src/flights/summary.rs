//! The summary that a day's task returns, and the total that the master folds from all summaries.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The result of one day's task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySummary {
    /// Every carrier that flew that day.
    pub carriers: BTreeMap<String, CarrierSummary>,
}

/// One carrier's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarrierSummary {
    /// All flights, the cancelled ones too.
    pub flights: u64,
    /// Flights that never left.
    pub cancelled: u64,
    /// Miles, over all flights.
    pub distance: u64,
    /// Minutes of delay at arrival, over the flights that have one.
    pub arr_delay_sum: i64,
    /// How many have one.
    pub arrivals: u64,
}

impl AddAssign for CarrierSummary {
    fn add_assign(&mut self, other: Self) {
        self.flights += other.flights;
        self.cancelled += other.cancelled;
        self.distance += other.distance;
        self.arr_delay_sum += other.arr_delay_sum;
        self.arrivals += other.arrivals;
    }
}

/// The whole run. The order in which days are added makes no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Days that have flights, which is the number of files written.
    pub days: u64,
    /// The sum over all carriers.
    pub all: CarrierSummary,
    /// Every carrier of these days.
    pub carriers: BTreeMap<String, CarrierSummary>,
}

impl Summary {
    /// Adds a day.
    pub fn add(&mut self, day: DaySummary) {
        self.days += 1;
        for (carrier, counts) in day.carriers {
            self.all += counts;
            *self.carriers.entry(carrier).or_default() += counts;
        }
    }

    /// `summary.json`: one line, keys sorted at every level.
    ///
    /// # Errors
    /// No error is known: the summary is written to memory, and holds only whole numbers.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(&Document::from(self))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The summary as written. Fields are in the order of their names: that is the order in the file.
#[derive(Serialize)]
struct Document<'a> {
    arr_delay_sum: i64,
    cancelled: u64,
    carriers: BTreeMap<&'a str, CarrierDocument>,
    days: u64,
    distance: u64,
    rows: u64,
}

#[derive(Serialize)]
struct CarrierDocument {
    cancelled: u64,
    flights: u64,
}

impl<'a> From<&'a Summary> for Document<'a> {
    fn from(summary: &'a Summary) -> Self {
        let carriers = summary.carriers.iter().map(|(carrier, counts)| {
            let document = CarrierDocument {
                cancelled: counts.cancelled,
                flights: counts.flights,
            };
            (carrier.as_str(), document)
        });
        Self {
            arr_delay_sum: summary.all.arr_delay_sum,
            cancelled: summary.all.cancelled,
            carriers: carriers.collect(),
            days: summary.days,
            distance: summary.all.distance,
            rows: summary.all.flights,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(carrier: &str, flights: u64) -> DaySummary {
        let counts = CarrierSummary {
            flights,
            cancelled: 1,
            distance: 10 * flights,
            arr_delay_sum: -2,
            arrivals: flights - 1,
        };
        DaySummary {
            carriers: BTreeMap::from([(carrier.to_owned(), counts)]),
        }
    }

    #[test]
    fn days_fold_into_sorted_whole_numbers() {
        let mut summary = Summary::default();
        for day in [day("UA", 5), day("AA", 3), day("UA", 2)] {
            summary.add(day);
        }
        assert_eq!(
            String::from_utf8(summary.json().unwrap()).unwrap(),
            "{\"arr_delay_sum\":-6,\"cancelled\":3,\"carriers\":{\
             \"AA\":{\"cancelled\":1,\"flights\":3},\"UA\":{\"cancelled\":2,\"flights\":7}},\
             \"days\":3,\"distance\":100,\"rows\":10}\n"
        );
    }

    #[test]
    fn an_empty_list_of_days_has_a_summary() {
        assert_eq!(
            String::from_utf8(Summary::default().json().unwrap()).unwrap(),
            "{\"arr_delay_sum\":0,\"cancelled\":0,\"carriers\":{},\"days\":0,\"distance\":0,\"rows\":0}\n"
        );
    }
}
