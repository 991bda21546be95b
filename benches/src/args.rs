//! The command line of the scoreboard.

use anyhow::{Context, bail};

/// The help text.
pub const HELP: &str = "\
Prints a row for each local budget: measured, reference of the same run, ratio, budget, met.

  --only NAME    one row (repeatable)
  --quick        smaller sizes, fewer rounds; for a look, not for a verdict
  --json         one JSON document in place of the table
  --list         the names of the rows
  --references   the references alone
";

/// The command that the arguments choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Print the help.
    Help,
    /// Print the names of the rows.
    List,
    /// Measure and print rows.
    Board(Board),
    /// Run one case in this process and print its number: the scoreboard starts itself with this command.
    Case(OneCase),
}

/// How to measure and print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    /// Names of the rows; empty for all.
    pub only: Vec<String>,
    /// Smaller sizes, fewer rounds.
    pub quick: bool,
    /// JSON in place of the table.
    pub json: bool,
    /// The references alone.
    pub references: bool,
}

/// One case in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneCase {
    /// The case's name.
    pub name: String,
    /// The case's size.
    pub n: u64,
    /// Whether the process is pinned to one core.
    pub pin: bool,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// An unknown option, or an option without its value.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Ask> {
    let mut arguments = arguments.into_iter();
    let mut board = Board::default();
    let (mut case, mut n, mut pin) = (None, 0, false);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(Ask::Help),
            "--list" => return Ok(Ask::List),
            "--quick" => board.quick = true,
            "--json" => board.json = true,
            "--references" => board.references = true,
            "--only" => board.only.push(value()?),
            "--case" => case = Some(value()?),
            "--n" => n = value()?.parse().context("--n wants a whole number")?,
            "--pin" => pin = true,
            other => bail!("unknown option {other:?}; --help lists them"),
        }
    }
    Ok(match case {
        Some(name) => Ask::Case(OneCase { name, n, pin }),
        None => Ask::Board(board),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Ask> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_what_people_and_the_scoreboard_write() {
        let Ask::Board(board) = parsed("--only map --quick --json --only bytes").unwrap() else {
            panic!("not a board");
        };
        assert_eq!(board.only, ["map", "bytes"]);
        assert!(board.quick && board.json && !board.references);
        let case = OneCase {
            name: "bare-trip".into(),
            n: 7,
            pin: true,
        };
        assert_eq!(
            parsed("--case bare-trip --n 7 --pin").unwrap(),
            Ask::Case(case)
        );
        assert_eq!(parsed("--list").unwrap(), Ask::List);
        assert_eq!(parsed("-h").unwrap(), Ask::Help);
    }

    #[test]
    fn refuses_by_name() {
        for (line, named) in [
            ("--fast", "--fast"),
            ("--only", "--only"),
            ("--n x", "whole"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
