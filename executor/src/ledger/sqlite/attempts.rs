//! The rows of attempts that gave no result.

use podpool_core::error::AttemptReport;
use podpool_core::id::{Attempt, TaskId};
use podpool_core::ledger::AttemptRecord;
use podpool_core::outcome::{Exit, Failure};
use rusqlite::{Connection, Row, Statement, params};

use super::reader::execution;
use super::value::{Bits, OwnTexts, Span, Texts, Time, Worded};

/// Gives no row where the task has ended. A row with the number of another takes its place.
pub(super) const WRITE: &str = "\
INSERT OR REPLACE INTO attempts (task, epoch, stored, attempt, cause, retryable, place, pid, worker_id, execution, \
started, elapsed, cpu, exit_code, exit_signal, peak_rss, message, chain, output, queued, number) \
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21 \
WHERE NOT EXISTS (SELECT 1 FROM ends WHERE ends.task = ?1)";

/// The number of a task's last attempt with a number on a worker.
const LIKE: &str = "\
SELECT max(attempts.number) FROM attempts LEFT JOIN places ON places.number = place \
WHERE task = ? AND attempt = ? AND worker IS ?";

/// The attempts of one task, oldest first.
pub(super) const READ: &str = "\
SELECT task, attempt, cause, retryable, worker, node, pid, worker_id, execution, started, elapsed, cpu, exit_code, \
exit_signal, peak_rss, message, chain, output, queued \
FROM attempts LEFT JOIN places ON places.number = place WHERE task = ? ORDER BY attempts.number";

/// Stores an attempt; returns how many rows that made.
pub(super) fn write(
    statement: &mut Statement<'_>,
    task: i64,
    epoch: Bits,
    now: Time,
    report: &AttemptReport,
    place: Option<i64>,
    replaces: Option<i64>,
) -> rusqlite::Result<usize> {
    let execution = report.execution;
    let (code, signal) = match report.exit {
        Some(Exit::Code(code)) => (Some(code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    statement.execute(params![
        task,
        epoch,
        now,
        report.attempt.0,
        Worded(report.cause),
        report.retryable,
        place,
        report.pid,
        execution.map(|it| Bits(it.worker.0)),
        execution.map(|it| Bits(it.number)),
        report.started.map(Time),
        report.elapsed.map(Span),
        report.cpu.map(Span),
        code,
        signal,
        report.peak_rss.map(Bits),
        report.message,
        Texts(&report.chain),
        Texts(&report.output),
        report.queued.map(Span),
        replaces,
    ])
}

/// The row of a task's last attempt with this number on this worker.
pub(super) fn like(
    connection: &Connection,
    task: i64,
    report: &AttemptReport,
) -> rusqlite::Result<Option<i64>> {
    let mut like = connection.prepare_cached(LIKE)?;
    let values = params![task, report.attempt.0, report.worker];
    like.query_row(values, |row| row.get(0))
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    let span =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<Span>>(column)?.map(|it| it.0));
    let failure = Failure::new(row.get::<_, Worded<_>>(2)?.0, row.get::<_, String>(15)?);
    let mut report = AttemptReport::new(Attempt(row.get(1)?), failure);
    report.retryable = row.get(3)?;
    report.worker = row.get(4)?;
    report.node = row.get(5)?;
    report.pid = row.get(6)?;
    report.execution = execution(row, 7)?;
    report.started = row.get::<_, Option<Time>>(9)?.map(|started| started.0);
    report.elapsed = span(10)?;
    report.cpu = span(11)?;
    report.exit = match (row.get(12)?, row.get(13)?) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, Some(signal)) => Some(Exit::Signal(signal)),
        (None, None) => None,
    };
    report.peak_rss = row.get::<_, Option<Bits>>(14)?.map(|it| it.0);
    report.chain = row.get::<_, OwnTexts>(16)?.0;
    report.output = row.get::<_, OwnTexts>(17)?.0;
    report.queued = span(18)?;
    Ok(AttemptRecord {
        task: TaskId(row.get::<_, Bits>(0)?.0),
        report,
    })
}
