//! The contents of a row, and how rows are printed.

use serde::Serialize;

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Tasks per second.
    TasksPerSecond,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Bytes per task.
    BytesPerTask,
    /// MiB per second; a payload that goes in and comes out is counted once.
    MebibytesPerSecond,
    /// MiB.
    Mebibytes,
    /// Percent.
    Percent,
}

impl Unit {
    /// The unit's text behind a number.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TasksPerSecond => "tasks/s",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::BytesPerTask => "B/task",
            Self::MebibytesPerSecond => "MiB/s",
            Self::Mebibytes => "MiB",
            Self::Percent => "%",
        }
    }

    /// A value for people: as many digits as a second run would agree on.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        let number = match self {
            Self::TasksPerSecond if value >= 1e6 => {
                return format!("{:.2} M {}", value / 1e6, self.name());
            }
            Self::TasksPerSecond if value >= 1e4 => {
                return format!("{:.0} k {}", value / 1e3, self.name());
            }
            Self::TasksPerSecond | Self::MebibytesPerSecond | Self::BytesPerTask => {
                format!("{value:.0}")
            }
            Self::Percent => format!("{value:.2}"),
            Self::Micros | Self::Millis | Self::Mebibytes => format!("{value:.1}"),
        };
        format!("{number} {}", self.name())
    }
}

/// The budget that a row must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Measured / reference, at least.
    RatioAtLeast(f64),
    /// Measured / reference, at most.
    RatioAtMost(f64),
    /// The measured value, at least.
    AtLeast(f64),
    /// The measured value, at most.
    AtMost(f64),
    /// None: the row informs.
    Information,
}

impl Budget {
    /// Whether the budget is met; `None` where there is no budget or no value to compare.
    #[must_use]
    pub fn met(self, measured: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtLeast(least) => ratio.map(|ratio| ratio >= least),
            Self::RatioAtMost(most) => ratio.map(|ratio| ratio <= most),
            Self::AtLeast(least) => Some(measured >= least),
            Self::AtMost(most) => Some(measured <= most),
            Self::Information => None,
        }
    }

    fn show(self, unit: Unit) -> String {
        match self {
            Self::RatioAtLeast(least) => format!("≥ {least} ×"),
            Self::RatioAtMost(most) => format!("≤ {most} ×"),
            Self::AtLeast(least) => format!("≥ {}", unit.show(least)),
            Self::AtMost(most) => format!("≤ {}", unit.show(most)),
            Self::Information => "–".to_owned(),
        }
    }
}

/// The reference that the measured value is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reference {
    /// The name of the reference.
    pub name: &'static str,
    /// The reference's median, in the row's unit; absent when it could not be measured.
    pub value: Option<f64>,
}

/// One line of the scoreboard.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The name that `--only` takes.
    pub name: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// Median of the measured side; absent when it could not be measured.
    pub measured: Option<f64>,
    /// Unit of `measured` and of the reference's value.
    pub unit: &'static str,
    /// The reference of the comparison, if there is one.
    pub reference: Option<Reference>,
    /// Median of the rounds' measured / reference.
    pub ratio: Option<f64>,
    /// The budget as a text.
    pub budget: String,
    /// Whether the budget is met; absent when the row informs or could not be judged.
    pub met: Option<bool>,
    /// The number of rounds of which the medians are taken.
    pub rounds: usize,
    /// Why something is absent.
    pub note: Option<String>,
    #[serde(skip)]
    shown: Unit,
}

impl Row {
    /// A row before anything was measured.
    #[must_use]
    pub fn new(name: &'static str, what: &'static str, unit: Unit, budget: Budget) -> Self {
        Self {
            name,
            what,
            measured: None,
            unit: unit.name(),
            reference: None,
            ratio: None,
            budget: budget.show(unit),
            met: None,
            rounds: 0,
            note: None,
            shown: unit,
        }
    }

    fn cells(&self) -> [String; 6] {
        let show = |value: Option<f64>| value.map_or("absent".to_owned(), |v| self.shown.show(v));
        let measured = show(self.measured);
        let reference = self.reference.as_ref().map_or("–".to_owned(), |reference| {
            format!("{} {}", reference.name, show(reference.value))
        });
        let ratio = self.ratio.map(|ratio| format!("{ratio:.2} ×"));
        let met = match (self.met, self.measured) {
            (Some(true), _) => "yes",
            (Some(false), _) => "**no**",
            (None, Some(_)) => "–",
            (None, None) => "?",
        };
        [
            format!("{} (`{}`)", self.what, self.name),
            measured,
            reference,
            ratio.unwrap_or_else(|| "–".to_owned()),
            self.budget.clone(),
            met.to_owned(),
        ]
    }
}

/// The rows as a Markdown table whose columns also line up on a terminal, notes below.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let header = ["what", "podpool", "reference", "ratio", "budget", "met"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(header)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            let rule = widths.map(|width| "-".repeat(width + 2)).join("|");
            text.push_str(&format!("|{rule}|\n"));
        }
    }
    for row in rows {
        if let Some(note) = &row.note {
            text.push_str(&format!("\n{}: {note}\n", row.name));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_judge_both_ways() {
        assert_eq!(Budget::RatioAtLeast(0.8).met(1.0, Some(0.79)), Some(false));
        assert_eq!(Budget::RatioAtLeast(0.8).met(1.0, Some(0.8)), Some(true));
        assert_eq!(Budget::RatioAtMost(2.0).met(1.0, Some(2.1)), Some(false));
        assert_eq!(Budget::RatioAtMost(2.0).met(1.0, None), None);
        assert_eq!(Budget::AtLeast(2e6).met(1.9e6, None), Some(false));
        assert_eq!(Budget::AtMost(200.0).met(97.0, None), Some(true));
        assert_eq!(Budget::Information.met(1.0, Some(1.0)), None);
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        for (unit, value, shown) in [
            (Unit::TasksPerSecond, 1_284_321.0, "1.28 M tasks/s"),
            (Unit::TasksPerSecond, 11_800.0, "12 k tasks/s"),
            (Unit::TasksPerSecond, 575.4, "575 tasks/s"),
            (Unit::Micros, 7.84, "7.8 µs"),
            (Unit::Millis, 11.96, "12.0 ms"),
            (Unit::Percent, 0.456, "0.46 %"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }

    #[test]
    fn the_table_is_markdown_and_lines_up() {
        let mut met = Row::new("trip", "round trip", Unit::Micros, Budget::RatioAtMost(2.0));
        met.measured = Some(8.0);
        met.ratio = Some(1.25);
        met.met = Some(true);
        met.reference = Some(Reference {
            name: "bare",
            value: Some(6.4),
        });
        let mut absent = Row::new(
            "map",
            "map",
            Unit::TasksPerSecond,
            Budget::RatioAtLeast(2.0),
        );
        absent.reference = Some(Reference {
            name: "PPE",
            value: None,
        });
        absent.note = Some("python3 cannot be started".into());
        let expected = "\
| what                | podpool | reference   | ratio  | budget | met |
|---------------------|---------|-------------|--------|--------|-----|
| round trip (`trip`) | 8.0 µs  | bare 6.4 µs | 1.25 × | ≤ 2 ×  | yes |
| map (`map`)         | absent  | PPE absent  | –      | ≥ 2 ×  | ?   |

map: python3 cannot be started
";
        assert_eq!(table(&[met, absent]), expected);
    }
}
