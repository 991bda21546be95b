//! Prints a row for each local budget of podpool.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use podpool_benches::args::{self, Ask, Board, OneCase};
use podpool_benches::board::{Row, table};
use podpool_benches::rows::{Bench, chosen, plans};
use podpool_benches::{bare, catalogue, pin};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // There is no other stream for the error where standard error is closed too.
            drop(writeln!(std::io::stderr(), "scoreboard: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    if bare::serve_if_child()? {
        return Ok(ExitCode::SUCCESS);
    }
    podpool::init();
    #[cfg(feature = "pubsub")]
    if podpool_benches::pubsub::workers::serve_if_worker()? {
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout();
    match args::parse(std::env::args().skip(1))? {
        Ask::Help => write!(out, "{}", args::HELP)?,
        Ask::List => {
            for plan in plans() {
                writeln!(out, "{}", plan.name)?;
            }
        }
        Ask::Case(asked) => writeln!(out, "{}", one_case(&asked)?)?,
        Ask::Board(asked) => return print(&mut out, &asked),
    }
    Ok(ExitCode::SUCCESS)
}

fn one_case(asked: &OneCase) -> anyhow::Result<f64> {
    if asked.pin {
        pin::to_one_core()?;
    }
    let case = catalogue::find(&asked.name)?;
    (case.run)(asked.n)
}

/// Fails when something could not be measured. A missed budget is a finding, not a failure, and so is a machine
/// without Python.
fn print(out: &mut impl Write, asked: &Board) -> anyhow::Result<ExitCode> {
    let rows = measured(asked)?;
    if asked.json {
        serde_json::to_writer_pretty(&mut *out, &rows).context("the rows cannot be written")?;
        writeln!(out)?;
    } else {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        write!(out, "{}", table(&rows))?;
        let size = if asked.quick { ", quick sizes" } else { "" };
        writeln!(
            out,
            "\n{cores} cores{size}; medians of interleaved rounds, each run in a process of its own"
        )?;
    }
    let had = |row: &Row| match asked.references {
        true => row.note.is_none(),
        false => row.measured.is_some(),
    };
    Ok(match rows.iter().all(had) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn measured(asked: &Board) -> anyhow::Result<Vec<Row>> {
    let mut bench = Bench::new(asked.quick)?;
    let mut rows = Vec::new();
    for plan in chosen(&asked.only)? {
        writeln!(std::io::stderr(), "measuring {}", plan.name)?;
        if asked.references {
            rows.extend(bench.reference(&plan));
        } else {
            rows.push(bench.row(&plan));
        }
    }
    Ok(rows)
}
