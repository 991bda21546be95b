//! The rows of commands: the one table that others than the master write.

use podpool_core::ledger::{Command, CommandId, CommandRecord};
use rusqlite::{Connection, Error, Row, params};

use super::value::{Bits, Time};

const WRITE: &str =
    "INSERT INTO commands (epoch, kind, argument, asker, at) VALUES (?, ?, ?, ?, ?)";

const ANSWER: &str =
    "UPDATE commands SET answer = ? WHERE number = ? AND epoch = ? AND answer IS NULL";

/// All commands, in the order of their numbers.
pub(super) const READ: &str =
    "SELECT number, epoch, kind, argument, asker, at, answer FROM commands ORDER BY number";

/// Those of one master that have no answer.
pub(super) const WAITING: &str = "SELECT number, epoch, kind, argument, asker, at, answer FROM commands \
                                  WHERE epoch = ? AND answer IS NULL ORDER BY number";

/// The word of a command, and what follows it.
// A file with another kind of command is of a later version.
fn written(command: &Command) -> rusqlite::Result<(&'static str, Option<String>)> {
    Ok(match command {
        Command::Stop => ("stop", None),
        Command::StopNow => ("stop now", None),
        Command::Scale(workers) => ("scale", Some(workers.to_string())),
        Command::Drain(worker) => ("drain", Some(worker.clone())),
        Command::RetryFailed => ("retry failed", None),
        Command::Retry(keys) => {
            let keys = serde_json::to_string(keys);
            let keys = keys.map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
            ("retry", Some(keys))
        }
        _ => {
            let unknown = "this version does not store commands of this kind";
            return Err(Error::ToSqlConversionFailure(unknown.into()));
        }
    })
}

fn command(kind: &str, argument: Option<String>) -> Option<Command> {
    Some(match (kind, argument) {
        ("stop", None) => Command::Stop,
        ("stop now", None) => Command::StopNow,
        ("scale", Some(workers)) => Command::Scale(workers.parse().ok()?),
        ("drain", Some(worker)) => Command::Drain(worker),
        ("retry failed", None) => Command::RetryFailed,
        ("retry", Some(keys)) => Command::Retry(serde_json::from_str(&keys).ok()?),
        _ => return None,
    })
}

/// Adds a command for the master of this epoch; returns its number.
pub(super) fn write(
    connection: &Connection,
    epoch: u64,
    asked: &Command,
    by: &str,
    at: Time,
) -> rusqlite::Result<CommandId> {
    let (kind, argument) = written(asked)?;
    let mut added = connection.prepare_cached(WRITE)?;
    let number = added.insert(params![Bits(epoch), kind, argument, by, at])?;
    Ok(CommandId(number.cast_unsigned()))
}

pub(super) fn answer(
    connection: &Connection,
    epoch: u64,
    command: CommandId,
    answer: &str,
) -> rusqlite::Result<()> {
    let mut answered = connection.prepare_cached(ANSWER)?;
    let answered = answered.execute(params![answer, Bits(command.0), Bits(epoch)]);
    answered.map(drop)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    let kind: String = row.get(2)?;
    let unknown = || {
        let text = format!("this version does not know the command {kind:?}");
        let text: Box<dyn std::error::Error + Send + Sync> = text.into();
        Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, text)
    };
    Ok(CommandRecord {
        id: CommandId(row.get::<_, Bits>(0)?.0),
        epoch: row.get::<_, Bits>(1)?.0,
        command: command(&kind, row.get(3)?).ok_or_else(unknown)?,
        by: row.get(4)?,
        at: row.get::<_, Time>(5)?.0,
        answer: row.get(6)?,
    })
}
