//! Interleaved pairs and their medians.
//!
//! A machine's speed drifts within seconds, so only runs that follow each other are compared: a round runs both
//! sides once, the order is reversed every other round, and the ratio that counts is the median of the rounds' ratios.

use std::time::Duration;

/// The medians of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// Median of the measured side.
    pub measured: f64,
    /// Median of the reference.
    pub reference: f64,
    /// Median of the rounds' measured / reference.
    pub ratio: f64,
}

/// Runs both sides `rounds` times, interleaved.
///
/// # Errors
/// The first error of either side.
pub fn pairs<S>(
    rounds: usize,
    sides: &mut S,
    measured: impl Fn(&mut S) -> anyhow::Result<f64>,
    reference: impl Fn(&mut S) -> anyhow::Result<f64>,
) -> anyhow::Result<Paired> {
    let mut ours = Vec::with_capacity(rounds);
    let mut theirs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        // A drift of the machine's speed within a round then favours each side equally often.
        if round % 2 == 0 {
            ours.push(measured(sides)?);
            theirs.push(reference(sides)?);
        } else {
            theirs.push(reference(sides)?);
            ours.push(measured(sides)?);
        }
    }
    // The median of the rounds' ratios, not the ratio of the medians, which may come from rounds minutes apart.
    let ratios = ours.iter().zip(&theirs).map(|(our, their)| our / their);
    Ok(Paired {
        ratio: median(ratios.collect()),
        measured: median(ours),
        reference: median(theirs),
    })
}

/// The middle value, or the mean of the two in the middle; not a number when there is none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half), values.len() % 2) {
        (None, _) => f64::NAN,
        (Some(middle), 1) => *middle,
        (Some(upper), _) => f64::midpoint(values[half - 1], *upper),
    }
}

/// How many a second.
#[must_use]
pub fn rate(count: u64, elapsed: Duration) -> f64 {
    // Exact up to 2^53, far above any count here.
    count as f64 / elapsed.as_secs_f64()
}

/// The median in microseconds.
#[must_use]
pub fn median_micros(times: &[Duration]) -> f64 {
    median(times.iter().map(|time| time.as_secs_f64() * 1e6).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_none() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn the_order_turns_every_round_and_ratios_are_taken_by_round() {
        // The simulated machine becomes slower by a tenth of its speed with each run, for both sides alike.
        let mut log = Vec::new();
        let run = |name: char, value: f64| {
            move |log: &mut Vec<char>| {
                log.push(name);
                Ok(value * log.len() as f64)
            }
        };
        let paired = pairs(3, &mut log, run('m', 2.0), run('r', 1.0)).unwrap();
        assert_eq!(log, ['m', 'r', 'r', 'm', 'm', 'r']);
        // Rounds: 2/2, 8/3, 10/6.
        assert_eq!(paired.ratio, 10.0 / 6.0);
        assert_eq!(paired.measured, 8.0);
        assert_eq!(paired.reference, 3.0);
    }

    #[test]
    fn an_error_of_either_side_ends_the_rounds() {
        let outcome = pairs(3, &mut (), |()| Ok(1.0), |()| anyhow::bail!("gone"));
        assert_eq!(outcome.unwrap_err().to_string(), "gone");
    }

    #[test]
    fn rates_and_micros() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2000.0);
        let times = [1, 9, 2].map(Duration::from_micros);
        assert!((median_micros(&times) - 2.0).abs() < 1e-9);
    }
}
