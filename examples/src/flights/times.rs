//! When what happened: how long a pool took to be there, to give its first result and its last, and to go.

use std::fmt;
use std::time::{Duration, Instant};

/// Moments of a run, each as the time since its begin.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    begin: Instant,
    built: Duration,
    first: Option<Duration>,
    last: Option<Duration>,
    shut_down: Duration,
}

impl Times {
    /// The run begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            begin: Instant::now(),
            built: Duration::ZERO,
            first: None,
            last: None,
            shut_down: Duration::ZERO,
        }
    }

    /// The pool was built; on a cluster its topics are there.
    pub fn built(&mut self) {
        self.built = self.begin.elapsed();
    }

    /// A result came.
    pub fn result(&mut self) {
        let now = self.begin.elapsed();
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// The pool has ended.
    pub fn shut_down(&mut self) {
        self.shut_down = self.begin.elapsed();
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool built after {:.2} s", self.built.as_secs_f64())?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let (first, last) = (first.as_secs_f64(), last.as_secs_f64());
            write!(f, ", first day after {first:.2} s, last after {last:.2} s")?;
        }
        write!(f, ", ended after {:.2} s", self.shut_down.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_each_moment_that_there_was() {
        let ms = Duration::from_millis;
        let mut times = Times {
            begin: Instant::now(),
            built: ms(250),
            first: None,
            last: None,
            shut_down: ms(12_500),
        };
        assert_eq!(
            times.to_string(),
            "pool built after 0.25 s, ended after 12.50 s"
        );
        (times.first, times.last) = (Some(ms(4_010)), Some(ms(11_000)));
        assert_eq!(
            times.to_string(),
            "pool built after 0.25 s, first day after 4.01 s, last after 11.00 s, ended after 12.50 s"
        );
    }

    #[test]
    fn the_first_result_stays_the_first() {
        let mut times = Times::begin();
        times.result();
        let first = times.first;
        times.result();
        assert!(first.is_some() && times.first == first && times.last >= first);
    }
}
