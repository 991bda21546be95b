//! The flights backfill: `cargo run --release --example flights`, one task per day of 2013.
//!
//! Each task writes its day's file and returns a summary; this process folds the summaries as they come, in the order
//! of the days. Days that fail are listed at the end, the others continue. What a task does, and everything around the
//! pool, is in `src/flights.rs`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use jiff::civil::Date;
use podpool::prelude::*;
use podpool::{Backend, Builder};
use podpool_examples::flights::{
    Arguments, BackendName, BackfillError, DaySummary, Plan, Progress, Summary, Times, Workshop,
    backfill, table,
};

/// One day: nothing but a store that failed is worth another try, the input stays as it is.
#[podpool::task(retries = 2, retry_on = BackfillError::is_temporary)]
async fn backfill_day(
    day: Date,
    input: String,
    out: String,
) -> Result<Option<DaySummary>, BackfillError> {
    backfill(Workshop::shared(), day, &input, &out).await
}

#[podpool::main]
async fn main() -> ExitCode {
    let plan = match Arguments::parse().plan().await {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(error.exit_code());
        }
    };
    match run(&plan).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs every day, writes the summary, prints the report; false when a day failed.
async fn run(plan: &Plan) -> anyhow::Result<bool> {
    let started = Instant::now();
    let mut times = Times::begin();
    let pool = builder(plan).build().await?;
    times.built();
    let (summary, failed) = fold(&pool, plan, &mut times).await;
    pool.shutdown().await?;
    let stats = pool.stats();
    if stats.stored > 0 {
        complain(&format!(
            "{} of {} days were stored by earlier starts of the run",
            stats.stored, stats.submitted
        ));
    }
    times.shut_down();
    // Every slot has ended, those of an earlier start too: only a killed one leaves a temporary file.
    plan.out.remove_leftovers()?;
    plan.out.put("summary.json", summary.json()?).await?;
    let took = started.elapsed();
    let report = table(
        &summary,
        &plan.airlines,
        failed.len(),
        took,
        plan.out.name(),
    );
    io::stdout().write_all(report.as_bytes())?;
    complain(&times.to_string());
    for (day, reason) in &failed {
        complain(&format!("{day}: {reason}"));
    }
    Ok(failed.is_empty())
}

fn builder(plan: &Plan) -> Builder {
    let mut builder = PodPoolExecutor::builder().max_workers(plan.workers);
    if let Some(run) = &plan.run {
        builder = builder.run(run);
    }
    if let Some(ledger) = &plan.ledger {
        builder = builder.ledger(ledger);
    }
    match plan.backend {
        None => builder,
        Some(BackendName::Local) => builder.backend(Backend::Local),
        Some(BackendName::Kubernetes) => builder.backend(Backend::Kubernetes),
    }
}

/// Submits every day and folds what comes back; the failed days with their reasons, in order.
async fn fold(
    pool: &PodPoolExecutor,
    plan: &Plan,
    times: &mut Times,
) -> (Summary, Vec<(Date, String)>) {
    let call = |day: Date| {
        let call = backfill_day(day, plan.input.clone(), plan.out.name().to_owned());
        call.key(day.to_string())
    };
    let mut results = pool.map(plan.days.iter(), call).return_exceptions();
    let mut days = plan.days.iter();
    let mut progress = Progress::new(plan.days.count());
    let (mut summary, mut failed) = (Summary::default(), Vec::new());
    while let (Some(result), Some(day)) = (results.next().await, days.next()) {
        times.result();
        progress.day(result.is_err());
        match result {
            Ok(Some(done)) => summary.add(done),
            Ok(None) => {}
            Err(error) => failed.push((day, reason(&error))),
        }
    }
    progress.end();
    (summary, failed)
}

/// The task's own message if it failed; otherwise podpool's error, which is one line.
fn reason(error: &TaskError) -> String {
    match error.kind() {
        TaskErrorKind::Failed => error.message().to_owned(),
        _ => error.to_string(),
    }
}

/// One line on standard error. A line that can't be written is no reason to stop.
fn complain(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
