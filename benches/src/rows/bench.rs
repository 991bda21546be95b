//! Measures rows, each case in a process of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{Plan, Size, Source};
use crate::board::{Budget, Reference, Row, Unit};
use crate::case::{run_apart, time_apart};
use crate::heap;
use crate::measure::{Paired, median, pairs};
use crate::ppe::Ppe;

/// The programs of the sources: this program's path, and the other programs once a row has needed them.
#[derive(Debug)]
pub struct Bench {
    program: PathBuf,
    quick: bool,
    ppe: Option<Result<Ppe, String>>,
    heap: Option<PathBuf>,
}

impl Bench {
    /// For full sizes, or `quick` ones.
    ///
    /// # Errors
    /// The path of this program is unknown.
    pub fn new(quick: bool) -> anyhow::Result<Self> {
        Ok(Self {
            program: std::env::current_exe().context("the path of this program is unknown")?,
            quick,
            ppe: None,
            heap: None,
        })
    }

    /// Measures a row. A value whose measurement fails is absent, and the row's note gives the reason.
    pub fn row(&mut self, plan: &Plan) -> Row {
        let mut row = Row::new(plan.name, plan.what, plan.unit, plan.budget);
        row.rounds = self.rounds(plan);
        let outcome = match plan.reference {
            Some((name, source)) => {
                row.reference = Some(Reference { name, value: None });
                self.against(plan, source, &mut row)
            }
            None => self.alone(plan.measured, row.rounds),
        };
        match outcome {
            Ok(measured) => {
                row.measured = Some(measured);
                row.met = self.judged(plan, measured, row.ratio);
            }
            Err(error) => row.note = Some(format!("{error:#}")),
        }
        row
    }

    /// Measures against a reference, or alone, with a note, when this machine does not have it.
    fn against(&mut self, plan: &Plan, source: Source, row: &mut Row) -> anyhow::Result<f64> {
        if matches!(source, Source::Ppe(..))
            && let Err(error) = self.ppe()
        {
            row.note = Some(format!("{error:#}"));
            return self.alone(plan.measured, row.rounds);
        }
        let paired = self.paired(plan.measured, source, row.rounds)?;
        row.ratio = Some(paired.ratio);
        if let Some(reference) = &mut row.reference {
            reference.value = Some(paired.reference);
        }
        Ok(paired.measured)
    }

    /// Measures a row's reference alone; `None` when the row has none.
    pub fn reference(&mut self, plan: &Plan) -> Option<Row> {
        let (name, source) = plan.reference?;
        let mut row = Row::new(plan.name, plan.what, plan.unit, Budget::Information);
        row.rounds = self.rounds(plan);
        let value = self.alone(source, row.rounds);
        row.note = value.as_ref().err().map(|error| format!("{error:#}"));
        row.reference = Some(Reference {
            name,
            value: value.ok(),
        });
        Some(row)
    }

    fn paired(
        &mut self,
        measured: Source,
        reference: Source,
        rounds: usize,
    ) -> anyhow::Result<Paired> {
        pairs(
            rounds,
            self,
            |bench| bench.once(measured),
            |bench| bench.once(reference),
        )
    }

    fn alone(&mut self, source: Source, rounds: usize) -> anyhow::Result<f64> {
        let values = (0..rounds).map(|_| self.once(source));
        Ok(median(values.collect::<anyhow::Result<_>>()?))
    }

    /// A quick row's naps are too short for start-up to vanish in them, so it is not judged.
    fn judged(&self, plan: &Plan, measured: f64, ratio: Option<f64>) -> Option<bool> {
        if self.quick && plan.unit == Unit::Percent {
            return None;
        }
        plan.budget.met(measured, ratio)
    }

    fn once(&mut self, source: Source) -> anyhow::Result<f64> {
        match source {
            Source::Case(name, size) => run_case(&self.program, name, self.size(size), &[]),
            Source::Process(name, size) => {
                time_apart(&self.program, &arguments(name, self.size(size), &[]))
            }
            Source::Pinned(name, size) => {
                run_case(&self.program, name, self.size(size), &["--pin"])
            }
            Source::Heap(name, size) => {
                let n = self.size(size);
                run_case(self.heap()?, name, n, &[])
            }
            Source::Ppe(measure, size) => {
                let n = self.size(size);
                self.ppe()?.run(measure, n)
            }
        }
    }

    /// Starts Python on first use. A failure is kept, so that only one row waits for a start that fails.
    fn ppe(&mut self) -> anyhow::Result<&mut Ppe> {
        let start = || Ppe::start().map_err(|error| format!("{error:#}"));
        match self.ppe.get_or_insert_with(start) {
            Ok(ppe) => Ok(ppe),
            Err(reason) => Err(anyhow::Error::msg(reason.clone())),
        }
    }

    fn heap(&mut self) -> anyhow::Result<&Path> {
        if self.heap.is_none() {
            self.heap = Some(heap::program()?);
        }
        self.heap.as_deref().context("no program to count with")
    }

    fn rounds(&self, plan: &Plan) -> usize {
        usize::try_from(self.size(plan.rounds)).unwrap_or(usize::MAX)
    }

    const fn size(&self, size: Size) -> u64 {
        if self.quick { size.quick } else { size.full }
    }
}

fn run_case(program: &Path, name: &str, n: u64, more: &[&str]) -> anyhow::Result<f64> {
    run_apart(program, &arguments(name, n, more))
}

fn arguments(name: &str, n: u64, more: &[&str]) -> Vec<OsString> {
    let n = n.to_string();
    let arguments = ["--case", name, "--n", &n];
    arguments.iter().chain(more).map(OsString::from).collect()
}
