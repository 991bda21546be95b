//! The work of one task: a day's totals, written and summed up.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jiff::civil::Date;

use super::fault::{Fault, Found};
use super::input::Input;
use super::out::{Out, OutError};
use super::summary::DaySummary;

/// Why a day failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackfillError {
    /// The day has bad rows; no file was written.
    #[error(transparent)]
    Day(Found),
    /// The input can't be read; no file was written.
    #[error(transparent)]
    Input(Fault),
    /// The result could not be written; it is worth another try.
    #[error(transparent)]
    Out(#[from] OutError),
    /// The file could not be made; none was written.
    #[error("the day's file can't be made: {0}")]
    Csv(#[from] csv::Error),
    /// The thread that reads the input panicked; no file was written.
    #[error("the input can't be read: {0}")]
    Reader(#[from] tokio::task::JoinError),
}

impl BackfillError {
    /// Whether another try may end better: the input stays as it is, a store may come back.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Out(OutError::Write { .. }))
    }
}

/// What a process keeps from day to day: the input that it has read, and the output that it has opened.
#[derive(Debug, Default)]
pub struct Workshop {
    inputs: Kept<PathBuf, Result<Arc<Input>, Fault>>,
    outs: Kept<String, Out>,
}

impl Workshop {
    /// This process's.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Workshop> = LazyLock::new(Workshop::default);
        &SHARED
    }

    /// The input of a directory, read when it is asked for first. That it can't be read is kept too: otherwise
    /// every day of a broken input would read it again.
    fn input(&self, dir: &Path) -> Result<Arc<Input>, Fault> {
        let read = |dir: &PathBuf| Ok(Input::load(dir).map(Arc::new));
        self.inputs.get(dir.to_owned(), read).and_then(|kept| kept)
    }

    fn out(&self, name: &str) -> Result<Out, OutError> {
        self.outs.get(name.to_owned(), |name| Out::open(name))
    }
}

/// Reads a day's rows, cleans and joins them, adds them up by carrier, and writes `OUT/2013-MM-DD.csv`.
///
/// A day without flights writes no file and returns `None`. Running it twice leaves the same file.
///
/// # Errors
/// The day's rows are bad, the input can't be read, or the file can't be written.
pub async fn backfill(
    workshop: &'static Workshop,
    day: Date,
    input: PathBuf,
    out: &str,
) -> Result<Option<DaySummary>, BackfillError> {
    // Reading takes a good part of a second the first time, too long for a thread that serves others.
    let made = tokio::task::spawn_blocking(move || make(workshop, day, &input)).await??;
    let Some((file, summary)) = made else {
        return Ok(None);
    };
    workshop.out(out)?.put(&format!("{day}.csv"), file).await?;
    Ok(Some(summary))
}

fn make(
    workshop: &Workshop,
    day: Date,
    input: &Path,
) -> Result<Option<(Vec<u8>, DaySummary)>, BackfillError> {
    let input = workshop.input(input).map_err(BackfillError::Input)?;
    let Some(totals) = input.day(day).map_err(BackfillError::Day)? else {
        return Ok(None);
    };
    Ok(Some((totals.csv(input.airlines())?, totals.summary())))
}

/// Values made once by key.
#[derive(Debug)]
struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// The value of a key, made if need be. The lock is held meanwhile: a second asker waits and takes the
    /// first one's, instead of making its own.
    fn get<E>(&self, key: K, make: impl FnOnce(&K) -> Result<V, E>) -> Result<V, E> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = kept.get(&key) {
            return Ok(value.clone());
        }
        let value = make(&key)?;
        kept.insert(key, value.clone());
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_and_an_error_is_not_kept() {
        let kept = Kept::<u8, u8>::default();
        assert_eq!(kept.get(1, |_| Err("no")), Err("no"));
        assert_eq!(kept.get(1, |key| Ok::<_, &str>(key + 1)), Ok(2));
        assert_eq!(kept.get(1, |_| Err("made again")), Ok(2));
    }

    #[test]
    fn an_input_that_cannot_be_read_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = Workshop::default();
        let first = workshop.input(dir.path()).unwrap_err();
        std::fs::write(dir.path().join("airlines.csv"), "carrier,name\n").unwrap();
        assert_eq!(workshop.input(dir.path()).unwrap_err(), first);
    }
}
