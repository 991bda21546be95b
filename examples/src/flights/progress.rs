//! How far the run is: a bar on a terminal, a line at every tenth otherwise.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts days as they end, on standard error.
#[derive(Debug)]
pub struct Progress {
    total: u64,
    done: u64,
    failed: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with nothing done.
    #[must_use]
    pub fn new(total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(total));
        Self {
            total,
            done: 0,
            failed: 0,
            bar,
        }
    }

    /// One more day ended.
    pub fn day(&mut self, failed: bool) {
        if let Some(line) = self.step(failed) {
            // A progress bar that can't be drawn is no error: the work continues.
            drop(writeln!(io::stderr(), "{line}"));
        }
        let Some(bar) = &self.bar else { return };
        if failed {
            bar.set_message(format!("{} failed", self.failed));
        }
        bar.inc(1);
    }

    /// Removes the bar before other lines are printed.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Counts a day; the line to print, when there is no bar and another tenth is done.
    fn step(&mut self, failed: bool) -> Option<String> {
        let tenth = |done| done * 10 / self.total.max(1);
        let due = tenth(self.done + 1) > tenth(self.done);
        self.done += 1;
        self.failed += u64::from(failed);
        if self.bar.is_some() || !due {
            return None;
        }
        let mut line = format!("{} of {} days", self.done, self.total);
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        Some(line)
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} days  {per_sec}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(total: u64, failing: u64) -> Vec<String> {
        let mut progress = Progress {
            total,
            done: 0,
            failed: 0,
            bar: None,
        };
        (1..=total)
            .filter_map(|day| progress.step(day == failing))
            .collect()
    }

    #[test]
    fn a_year_has_ten_lines_and_the_last_is_complete() {
        let lines = lines(365, 100);
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "37 of 365 days");
        assert_eq!(lines[9], "365 of 365 days, 1 failed");
    }

    #[test]
    fn a_few_days_have_a_line_each() {
        assert_eq!(lines(1, 0), ["1 of 1 days"]);
        assert_eq!(lines(3, 0).len(), 3);
    }
}
