//! How many failures a map tolerates: a pure rule.

/// Results before a share of failures is judged: one failure among the first few proves little.
// One of 20 is 5 %. At half, a single failure would exceed every limit below 10 %.
const SHARE_FROM: usize = 20;

/// The reaction of a map to the errors of its tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tolerance {
    /// Goes on.
    All,
    /// Goes on until more than so many failed.
    Count(usize),
    /// Goes on until more than this percentage failed.
    Percent(f64),
}

impl Tolerance {
    /// Whether the map continues after `failures` among `results`.
    pub(super) fn endures(self, failures: usize, results: usize) -> bool {
        match self {
            Self::All => true,
            Self::Count(most) => failures <= most,
            Self::Percent(most) => {
                results < SHARE_FROM || failures as f64 * 100.0 <= most * results as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_exact_and_a_share_waits_for_enough_results() {
        assert!(!Tolerance::Count(0).endures(1, 1));
        assert!(Tolerance::Count(3).endures(3, 3) && !Tolerance::Count(3).endures(4, 1000));
        assert!(Tolerance::Percent(10.0).endures(19, 19));
        assert!(
            Tolerance::Percent(10.0).endures(2, 20) && !Tolerance::Percent(10.0).endures(3, 20)
        );
        assert!(Tolerance::All.endures(5, 5));
    }
}
