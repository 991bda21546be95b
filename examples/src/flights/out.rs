//! Where the files go: a directory, or a bucket by its URL.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;

use super::store::{Location, Store, said};

/// A place for files, each written atomically: a reader, or a second write, sees the old file or the new one.
#[derive(Clone, Debug)]
pub struct Out {
    name: Arc<str>,
    store: Store,
    /// Where the place is a directory.
    directory: Option<PathBuf>,
}

/// A place that can't be opened, or a file that wasn't written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutError {
    /// The place can't be opened; nothing was written.
    #[error("{name}: the output can't be opened: {reason}")]
    Open {
        /// The place as it was given.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The file wasn't written, or isn't known to be; writing it again does no harm.
    #[error("{name}/{file}: the file was not written: {}", said(.error))]
    Write {
        /// The place as it was given.
        name: String,
        /// The file in it.
        file: String,
        /// The store's error.
        error: object_store::Error,
    },
}

impl Out {
    /// Opens a place: a directory, which is made if need be, or a URL that object_store knows.
    ///
    /// # Errors
    /// [`OutError::Open`], which names the feature to build with where a URL's store isn't compiled in.
    pub fn open(name: &str) -> Result<Self, OutError> {
        let opened = match Location::of(name) {
            Ok(Location::Directory(dir)) => {
                Store::directory(dir.clone()).map(|store| (store, Some(dir)))
            }
            Ok(Location::Bucket(store)) => Ok((store, None)),
            Err(reason) => Err(reason),
        };
        let (store, directory) = opened.map_err(|reason| OutError::Open {
            name: name.to_owned(),
            reason,
        })?;
        Ok(Self {
            name: name.trim_end_matches('/').into(),
            store,
            directory,
        })
    }

    /// The place as it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes a file, in place of one of that name.
    ///
    /// # Errors
    /// [`OutError::Write`].
    pub async fn put(&self, file: &str, bytes: Vec<u8>) -> Result<(), OutError> {
        let written = self.store.put(file, bytes).await;
        written.map_err(|error| OutError::Write {
            name: self.name.to_string(),
            file: file.to_owned(),
            error,
        })
    }

    /// Removes the temporary files of days whose process was killed while it wrote them, and returns how many there were.
    /// A bucket has none. To be called when no task writes here: it would remove the temporary files of that task too.
    ///
    /// # Errors
    /// The directory cannot be listed, or a file not removed.
    pub fn remove_leftovers(&self) -> io::Result<usize> {
        let Some(directory) = &self.directory else {
            return Ok(0);
        };
        let mut removed = 0;
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_leftover) {
                std::fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Whether a file is the temporary one of a day: `object_store` writes `2013-05-01.csv` as `2013-05-01.csv#1`, or with
/// the next number that is free, and renames it.
fn is_leftover(name: &str) -> bool {
    let of_day = |file: &str| {
        let day = file.strip_suffix(".csv").map(str::parse::<Date>);
        day.is_some_and(|day| day.is_ok())
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let parts = name.rsplit_once('#');
    parts.is_some_and(|(file, number)| of_day(file) && is_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    fn refusal(name: &str) -> String {
        Out::open(name).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_file_written_twice_is_one_file_with_the_last_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a b/ü#1");
        let out = Out::open(place.to_str().unwrap()).unwrap();
        out.put("day.csv", b"a longer first text".to_vec())
            .await
            .unwrap();
        out.put("day.csv", b"second".to_vec()).await.unwrap();
        let names: Vec<_> = std::fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["day.csv"]);
        assert_eq!(std::fs::read(place.join("day.csv")).unwrap(), b"second");
    }

    #[tokio::test]
    async fn what_killed_writes_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let out = Out::open(dir.path().to_str().unwrap()).unwrap();
        out.put("2013-05-01.csv", b"1".to_vec()).await.unwrap();
        let stay = ["2013-05-01.csv#", "2013-05-01.csv#1a", "notes.csv#1", "x#1"];
        for name in stay
            .into_iter()
            .chain(["2013-05-01.csv#1", "2013-05-02.csv#12"])
        {
            std::fs::write(dir.path().join(name), "half of i").unwrap();
        }
        assert_eq!(out.remove_leftovers().unwrap(), 2);
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: std::collections::BTreeSet<_> = names.collect();
        let expected = stay.into_iter().chain(["2013-05-01.csv"]);
        assert_eq!(names, expected.map(str::to_owned).collect());
    }

    #[tokio::test]
    async fn a_file_url_is_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(dir.path().join("new dir")).unwrap();
        let out = Out::open(url.as_str()).unwrap();
        out.put("x", b"1".to_vec()).await.unwrap();
        assert_eq!(std::fs::read(dir.path().join("new dir/x")).unwrap(), b"1");
    }

    #[tokio::test]
    async fn a_write_that_fails_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let out = Out::open(dir.path().to_str().unwrap()).unwrap();
        std::fs::create_dir_all(dir.path().join("taken/inside")).unwrap();
        let error = out.put("taken", b"1".to_vec()).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("/taken: the file was not written: "),
            "{error}"
        );
    }

    #[test]
    fn places_that_cannot_be_opened_are_refused_with_the_reason() {
        assert!(refusal("memory:///x").contains("slots share no memory"));
        assert!(refusal("bad url://").contains("can't be opened"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("dir");
        assert!(refusal(below.to_str().unwrap()).contains("can't be opened"));
    }
}
