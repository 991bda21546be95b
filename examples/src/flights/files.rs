//! The three files of an input: in a directory, or fetched from a bucket.
//!
//! A bucket's files stay in memory while they are read. Nothing of them goes to this machine's disk, so that a
//! process that is killed leaves nothing behind, and a pod needs no place to write.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::Error;

use super::fault::Fault;
use super::rows::Rows;
use super::store::{Location, Store, said};

/// Bytes in which a header, compressed or not, surely ends.
const HEADER: usize = 64 * 1024;

/// The files of an input.
#[derive(Debug)]
pub struct Files(Place);

#[derive(Debug)]
enum Place {
    Directory(PathBuf),
    Bucket([Fetched; 3]),
}

/// What a bucket has for a table: the file's name and its bytes, or that there is none.
#[derive(Debug)]
struct Fetched {
    table: &'static str,
    file: Result<(Arc<Path>, Bytes), Fault>,
}

/// An input that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The place can't be opened.
    #[error("{name}: the input can't be opened: {reason}")]
    Open {
        /// The place as it was given.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A store didn't give a file, which another time it may.
    #[error("{name}/{file}: the file can't be fetched: {}", said(.error))]
    Fetch {
        /// The place as it was given.
        name: String,
        /// The file in it.
        file: String,
        /// The store's error.
        error: Error,
    },
    /// A file is missing, or has other contents than expected.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Files {
    /// The files of a directory, or of a URL that object_store knows. A bucket's are fetched now.
    ///
    /// # Errors
    /// [`InputError::Open`], [`InputError::Fetch`], or the fault that there is no such directory. A missing file is
    /// found when it is read.
    pub async fn find(name: &str) -> Result<Self, InputError> {
        Self::find_enough(name, usize::MAX).await
    }

    /// Like [`Files::find`], but of a bucket's flights and weather only what holds their headers.
    ///
    /// # Errors
    /// As [`Files::find`].
    pub async fn find_headers(name: &str) -> Result<Self, InputError> {
        Self::find_enough(name, HEADER).await
    }

    async fn find_enough(name: &str, enough: usize) -> Result<Self, InputError> {
        match Location::of(name) {
            Ok(Location::Directory(dir)) => Ok(Self::of_directory(&dir)?),
            Ok(Location::Bucket(store)) => fetch_all(&store, name, enough).await,
            Err(reason) => Err(InputError::Open {
                name: name.to_owned(),
                reason,
            }),
        }
    }

    /// The files of a directory.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn of_directory(dir: &Path) -> Result<Self, Fault> {
        if !dir.is_dir() {
            return Err(Fault::of_file(dir, "no such directory"));
        }
        Ok(Self(Place::Directory(dir.to_owned())))
    }

    /// The rows of `flights`, `weather` or `airlines`.
    pub(crate) fn rows(&self, table: &str) -> Result<Rows, Fault> {
        let fetched = match &self.0 {
            Place::Directory(dir) => return Rows::open(dir, table),
            Place::Bucket(fetched) => fetched.iter().find(|fetched| fetched.table == table),
        };
        match fetched.map(|fetched| &fetched.file) {
            Some(Ok((file, bytes))) => Rows::read(Arc::clone(file), Cursor::new(bytes.clone())),
            Some(Err(fault)) => Err(fault.clone()),
            None => Err(Fault::missing(Path::new(table))),
        }
    }
}

async fn fetch_all(store: &Store, name: &str, enough: usize) -> Result<Files, InputError> {
    let name = name.trim_end_matches('/');
    let (flights, weather, airlines) = tokio::try_join!(
        fetch(store, name, "flights", enough),
        fetch(store, name, "weather", enough),
        fetch(store, name, "airlines", usize::MAX),
    )?;
    Ok(Files(Place::Bucket([flights, weather, airlines])))
}

/// Fetches the plain file, or the compressed one where there is no plain one.
///
/// Stores that don't let one list their files refuse a missing file instead of missing it. So a refusal is no reason
/// not to ask for the other.
async fn fetch(
    store: &Store,
    name: &str,
    table: &'static str,
    enough: usize,
) -> Result<Fetched, InputError> {
    let mut refusal = None;
    for file in [format!("{table}.csv"), format!("{table}.csv.gz")] {
        let failed = |error| InputError::Fetch {
            name: name.to_owned(),
            file: file.clone(),
            error,
        };
        match store.get(&file, enough).await {
            Ok(Some(bytes)) => {
                let path = Path::new(name).join(&file);
                let file = Ok((path.into(), bytes.into()));
                return Ok(Fetched { table, file });
            }
            Ok(None) => {}
            Err(error @ Error::PermissionDenied { .. }) => {
                refusal.get_or_insert(failed(error));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(Fetched {
            table,
            file: Err(Fault::missing(
                &Path::new(name).join(format!("{table}.csv")),
            )),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    async fn bucket(files: &[(&str, &str)]) -> Store {
        let store = Store::of(Arc::new(InMemory::new()), "in".into());
        for (file, text) in files {
            store.put(file, text.as_bytes().to_vec()).await.unwrap();
        }
        store
    }

    async fn fetched(store: &Store) -> Files {
        fetch_all(store, "s3://b/in/", usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn a_buckets_files_are_named_by_its_url() {
        let store = bucket(&[("flights.csv.gz", "a,b\n1,2\n")]).await;
        let mut rows = fetched(&store).await.rows("flights").unwrap();
        let row = rows.next().unwrap().unwrap();
        assert_eq!(
            row.fault("bad".to_owned()).to_string(),
            "s3://b/in/flights.csv.gz:2: bad"
        );
    }

    #[tokio::test]
    async fn a_plain_file_is_preferred() {
        let both = [("flights.csv", "plain\n"), ("flights.csv.gz", "other\n")];
        let rows = fetched(&bucket(&both).await).await.rows("flights").unwrap();
        assert!(rows.find_column("plain").is_some());
    }

    #[tokio::test]
    async fn a_missing_object_is_reported_when_it_is_read() {
        let files = fetched(&bucket(&[("flights.csv", "a\n")]).await).await;
        assert!(files.rows("flights").is_ok());
        assert_eq!(
            files.rows("weather").unwrap_err().to_string(),
            "s3://b/in/weather.csv: no such file, and no weather.csv.gz beside it"
        );
    }

    #[tokio::test]
    async fn an_input_that_cannot_be_opened_is_named_with_the_reason() {
        let error = Files::find("memory:///x").await.unwrap_err().to_string();
        assert_eq!(
            error,
            "memory:///x: the input can't be opened: slots share no memory; give a directory or a bucket"
        );
        let error = Files::find("/no/such/place").await.unwrap_err().to_string();
        assert_eq!(error, "/no/such/place: no such directory");
    }

    #[tokio::test]
    async fn a_file_url_is_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("airlines.csv"), "carrier,name\n").unwrap();
        let url = url::Url::from_directory_path(dir.path()).unwrap();
        let files = Files::find(url.as_str()).await.unwrap();
        assert!(files.rows("airlines").is_ok());
    }
}
