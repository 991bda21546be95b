//! The table at the end.

use std::time::Duration;

use super::airlines::Airlines;
use super::summary::{CarrierSummary, Summary};

/// The headings; text is set to the left, numbers to the right.
const HEADINGS: [&str; 7] = [
    "",
    "airline",
    "flights",
    "cancelled",
    "",
    "mean delay",
    "miles",
];

/// How many columns, from the left, are text.
const TEXT_COLUMNS: usize = 2;

/// A table of the carriers, busiest first, and a line with the number of days and the place of the files.
#[must_use]
pub fn table(
    summary: &Summary,
    airlines: &Airlines,
    failed: usize,
    took: Duration,
    out: &str,
) -> String {
    let mut carriers: Vec<_> = summary.carriers.iter().collect();
    carriers.sort_by(|(a, x), (b, y)| y.flights.cmp(&x.flights).then_with(|| a.cmp(b)));
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(
        carriers
            .into_iter()
            .map(|(carrier, counts)| line(carrier, airlines.name(carrier), counts)),
    );
    let last = line("", "all", &summary.all);
    let widths = widths(lines.iter().chain([&last]));
    let rule = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
    let mut text = String::new();
    for (number, cells) in lines.iter().enumerate() {
        text.push_str(&set(cells, &widths));
        if number == 0 {
            text.push_str(&format!("{rule}\n"));
        }
    }
    text.push_str(&format!("{rule}\n{}\n", set(&last, &widths)));
    text.push_str(&done(summary.days, failed, took, out));
    text
}

fn done(days: u64, failed: usize, took: Duration, out: &str) -> String {
    let days = count(days, "day");
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!(
        "{days} written{failed} in {:.1} s: {out}\n",
        took.as_secs_f64()
    )
}

fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

fn line(carrier: &str, name: &str, counts: &CarrierSummary) -> [String; HEADINGS.len()] {
    [
        carrier.to_owned(),
        name.to_owned(),
        grouped(counts.flights),
        grouped(counts.cancelled),
        ratio(100.0 * counts.cancelled as f64, counts.flights, " %"),
        ratio(counts.arr_delay_sum as f64, counts.arrivals, " min"),
        grouped(counts.distance),
    ]
}

fn ratio(sum: f64, count: u64, unit: &str) -> String {
    match count {
        0 => String::new(),
        // Adding zero takes the sign off a zero.
        count => format!(
            "{:.1}{unit}",
            (10.0 * sum / count as f64).round() / 10.0 + 0.0
        ),
    }
}

/// A number with its thousands apart, as 336,776.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn widths<'a>(
    lines: impl Iterator<Item = &'a [String; HEADINGS.len()]>,
) -> [usize; HEADINGS.len()] {
    lines.fold([0; HEADINGS.len()], |mut widths, cells| {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
        widths
    })
}

fn set(cells: &[String; HEADINGS.len()], widths: &[usize; HEADINGS.len()]) -> String {
    let cells: Vec<_> = cells
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, &width))| match column {
            text if text < TEXT_COLUMNS => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        })
        .collect();
    format!("{}\n", cells.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 336_776, 350_217_607].map(grouped),
            ["0", "999", "1,000", "336,776", "350,217,607"]
        );
    }

    #[test]
    fn the_busiest_carrier_comes_first_and_columns_are_even() {
        let counts = |flights, cancelled| CarrierSummary {
            flights,
            cancelled,
            distance: 1000 * flights,
            arr_delay_sum: -3,
            arrivals: flights - cancelled,
        };
        let (few, many) = (counts(2, 2), counts(1500, 30));
        let mut all = few;
        all += many;
        let summary = Summary {
            days: 1,
            all,
            carriers: BTreeMap::from([("AA".to_owned(), few), ("ZZ".to_owned(), many)]),
        };
        let took = Duration::from_millis(1234);
        let text = table(&summary, &Airlines::default(), 2, took, "out/x");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "    airline  flights  cancelled           mean delay      miles",
                "───────────────────────────────────────────────────────────────",
                "ZZ             1,500         30    2.0 %     0.0 min  1,500,000",
                "AA                 2          2  100.0 %                  2,000",
                "───────────────────────────────────────────────────────────────",
                "    all        1,502         32    2.1 %     0.0 min  1,502,000",
                "",
                "1 day written, 2 failed in 1.2 s: out/x",
            ]
        );
    }

    #[test]
    fn an_empty_run_is_a_table_too() {
        let text = table(
            &Summary::default(),
            &Airlines::default(),
            0,
            Duration::ZERO,
            "o",
        );
        assert!(text.ends_with("0 days written in 0.0 s: o\n"), "{text}");
    }
}
