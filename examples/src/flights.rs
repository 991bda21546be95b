//! The flights backfill: one task per day of 2013, from real flight and weather records to one CSV per day.
//!
//! [`backfill`] is the whole work of one task. What is around it: [`Arguments`] become a [`Plan`] before
//! anything starts, the master folds each day's [`DaySummary`] into a [`Summary`], [`Progress`] shows how far
//! it is, and [`table`] is what a person reads at the end. The program itself is `examples/flights.rs`.
//!
//! # What the input means
//! - `NA` is a missing value. The date, the carrier and the distance of a flight can't be missing.
//! - Every column that the data set gives as a number must be one, the unused ones too.
//! - A line is a row: quoted fields may hold commas and quotes but no line end. Empty lines at the end of a
//!   file are ignored; elsewhere an empty line is a row with too few fields.
//! - A row, of flights or of weather, belongs to the day of its `year`, `month` and `day`. A row without a
//!   readable date belongs to the day of the row before it in the file; before the first such row, to that
//!   row's day; in a file without any readable date, to every day.
//! - A bad row of weather fails its own day. `time_hour` is in UTC while the days are New York's, but both
//!   files name the local day beside it, and flights only ever meet weather of their own day.
//! - A carrier that `airlines.csv` doesn't name gets an empty name; an hour without weather, no wind.
//! - A plain `flights.csv` is read before a `flights.csv.gz`; whether it is compressed is decided by its first bytes.
//! - The input of a run stays as it is: every process reads it once, whether from a directory or from a bucket.

mod airlines;
mod arguments;
mod backfill;
mod column;
mod day;
mod days;
mod fault;
mod files;
mod input;
mod out;
mod progress;
mod report;
mod rows;
mod store;
mod summary;
mod times;
mod totals;
mod weather;

pub use airlines::Airlines;
pub use arguments::{Arguments, BackendName, Plan, StartError};
pub use backfill::{BackfillError, Workshop, backfill};
pub use day::Day;
pub use days::{BadRange, Days};
pub use fault::{Fault, Found};
pub use files::{Files, InputError};
pub use input::Input;
pub use out::{Out, OutError};
pub use progress::Progress;
pub use report::table;
pub use summary::{CarrierSummary, DaySummary, Summary};
pub use times::Times;
pub use totals::{Mean, Totals};
pub use weather::Weather;
