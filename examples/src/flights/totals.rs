//! One carrier's flights of one day, added up.

/// Sums over flights. Delays are in minutes, distances in miles, wind in miles an hour.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// All flights, the cancelled ones too.
    pub flights: u64,
    /// Flights that never left.
    pub cancelled: u64,
    /// Distance of all flights.
    pub distance: u64,
    /// Delays at departure, where known.
    pub dep_delay: Mean,
    /// Delays at arrival, where known.
    pub arr_delay: Mean,
    /// Wind at the origin in the hour of departure, where known; cancelled flights bring theirs.
    pub wind: Mean,
}

/// The values of one flight that are added up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flight {
    pub(crate) cancelled: bool,
    pub(crate) distance: u32,
    pub(crate) dep_delay: Option<i32>,
    pub(crate) arr_delay: Option<i32>,
    pub(crate) wind: Option<f64>,
}

impl Totals {
    /// Adds a flight.
    pub(crate) fn add(&mut self, flight: &Flight) {
        self.flights += 1;
        self.cancelled += u64::from(flight.cancelled);
        self.distance += u64::from(flight.distance);
        self.dep_delay.add(flight.dep_delay.map(f64::from));
        self.arr_delay.add(flight.arr_delay.map(f64::from));
        self.wind.add(flight.wind);
    }
}

/// The sum and the number of the values that are present.
///
/// Whole minutes are added as floats without loss: their sums stay far below 2⁵³.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    /// The sum of values that are whole.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sums of whole minutes stay far below 2^53"
    )]
    pub fn whole_sum(&self) -> i64 {
        self.sum as i64
    }

    /// How many values are present.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean with three decimals; empty when no value is present.
    #[must_use]
    pub fn text(&self) -> String {
        match self.count {
            0 => String::new(),
            count => format!("{:.3}", self.sum / count as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_flight_brings_its_distance_and_wind_but_no_delay() {
        let mut totals = Totals::default();
        totals.add(&Flight {
            cancelled: true,
            distance: 500,
            dep_delay: None,
            arr_delay: None,
            wind: Some(10.0),
        });
        totals.add(&Flight {
            cancelled: false,
            distance: 700,
            dep_delay: Some(-3),
            arr_delay: None,
            wind: None,
        });
        assert_eq!((totals.flights, totals.cancelled), (2, 1));
        assert_eq!(totals.distance, 1200);
        assert_eq!(totals.dep_delay.text(), "-3.000");
        assert_eq!(totals.arr_delay.text(), "");
        assert_eq!(totals.wind.text(), "10.000");
    }

    #[test]
    fn means_have_three_decimals_of_the_exact_quotient() {
        let mut mean = Mean::default();
        for value in [1.0, 0.0, 1.0] {
            mean.add(Some(value));
        }
        assert_eq!(mean.text(), "0.667");
        // 1/16 = 0.0625 is exactly between two numbers of three decimals: the even one is written, as Python does.
        let tie = Mean {
            sum: 1.0,
            count: 16,
        };
        assert_eq!(tie.text(), "0.062");
        assert_eq!((tie.whole_sum(), tie.count()), (1, 16));
    }
}
