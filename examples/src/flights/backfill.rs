//! The work of one task: a day's totals, written and summed up.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use jiff::civil::Date;
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::fault::{Fault, Found};
use super::files::{Files, InputError};
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
    /// The input can't be read; no file was written. Where a store didn't give a file, it is worth another try.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The result could not be written; another try may succeed.
    #[error(transparent)]
    Out(#[from] OutError),
    /// The file could not be made; none was written.
    #[error("the day's file can't be made: {0}")]
    Csv(#[from] csv::Error),
    /// The thread that reads the input panicked; no file was written.
    #[error("the input can't be read: {0}")]
    Reader(#[from] JoinError),
}

impl BackfillError {
    /// Whether another try may end better: the input stays as it is, a store that fails may come back.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Out(OutError::Write { .. }) | Self::Input(InputError::Fetch { .. })
        )
    }
}

/// The values that a slot keeps from day to day: the input that was read, and the output that was opened.
#[derive(Debug, Default)]
pub struct Workshop {
    inputs: Kept<String, Result<Arc<Input>, Fault>>,
    outs: Kept<String, Out>,
}

impl Workshop {
    /// This process's.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Workshop> = LazyLock::new(Workshop::default);
        &SHARED
    }

    /// An input, read when it is asked for first. That it can't be read is kept too: otherwise every day of a broken
    /// input would read it again. That it can't be fetched is not.
    async fn input(&self, name: &str) -> Result<Arc<Input>, BackfillError> {
        let kept = self.inputs.get(name, read(name)).await?;
        kept.map_err(|fault| InputError::Fault(fault).into())
    }

    async fn out(&self, name: &str) -> Result<Out, OutError> {
        self.outs.get(name, async { Out::open(name) }).await
    }
}

async fn read(name: &str) -> Result<Result<Arc<Input>, Fault>, BackfillError> {
    let files = match Files::find(name).await {
        Ok(files) => files,
        Err(InputError::Fault(fault)) => return Ok(Err(fault)),
        Err(error) => return Err(error.into()),
    };
    // Reading takes a good part of a second, too long for a thread of the runtime, which would run nothing else.
    Ok(spawn_blocking(move || Input::load(&files).map(Arc::new)).await?)
}

/// Reads a day's rows, cleans and joins them, adds them up by carrier, and writes `OUT/2013-MM-DD.csv`.
///
/// A day without flights writes no file and returns `None`. Running it twice leaves the same file.
///
/// # Errors
/// The day's rows are bad, the input can't be read, or the file can't be written.
pub async fn backfill(
    workshop: &Workshop,
    day: Date,
    input: &str,
    out: &str,
) -> Result<Option<DaySummary>, BackfillError> {
    let input = workshop.input(input).await?;
    let Some(totals) = input.day(day).map_err(BackfillError::Day)? else {
        return Ok(None);
    };
    let file = totals.csv(input.airlines())?;
    let out = workshop.out(out).await?;
    out.put(&format!("{day}.csv"), file).await?;
    Ok(Some(totals.summary()))
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
    async fn get<Q, E>(&self, key: &Q, make: impl Future<Output = Result<V, E>>) -> Result<V, E>
    where
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        K: Borrow<Q>,
    {
        let mut kept = self.0.lock().await;
        if let Some(value) = kept.get(key) {
            return Ok(value.clone());
        }
        let value = make.await?;
        kept.insert(key.to_owned(), value.clone());
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_made_once_and_an_error_is_not_kept() {
        let kept = Kept::<u8, u8>::default();
        assert_eq!(kept.get(&1, async { Err("no") }).await, Err("no"));
        assert_eq!(kept.get(&1, async { Ok::<_, &str>(2) }).await, Ok(2));
        assert_eq!(kept.get(&1, async { Err("made again") }).await, Ok(2));
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_read_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().to_str().unwrap();
        let workshop = Workshop::default();
        let first = workshop.input(name).await.unwrap_err();
        assert!(!first.is_temporary());
        std::fs::write(dir.path().join("airlines.csv"), "carrier,name\n").unwrap();
        let second = workshop.input(name).await.unwrap_err();
        assert_eq!(second.to_string(), first.to_string());
    }

    #[test]
    fn a_failed_read_of_a_store_may_be_tried_again() {
        let fetch = InputError::Fetch {
            name: "s3://b/in".to_owned(),
            file: "flights.csv".to_owned(),
            error: object_store::Error::Generic {
                store: "S3",
                source: "503".into(),
            },
        };
        let error = BackfillError::from(fetch);
        assert!(error.is_temporary());
        assert_eq!(
            error.to_string(),
            "s3://b/in/flights.csv: the file can't be fetched: Generic S3 error: 503"
        );
    }
}
