//! Where the files go: a directory, or a bucket by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, parse_url_opts};
use url::Url;

/// Variables of the environment that a cloud's store takes its settings from. Others are not passed on: a
/// stray `ENDPOINT` or `TOKEN` must not change where the files go.
const SETTINGS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// A place for files, each written atomically: a reader, or a second write, sees the old file or the new one.
#[derive(Clone, Debug)]
pub struct Out {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
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
    #[error("{name}/{file}: the file was not written: {source}")]
    Write {
        /// The place as it was given.
        name: String,
        /// The file in it.
        file: String,
        /// What the store said.
        source: object_store::Error,
    },
}

impl Out {
    /// Opens a place: a directory, which is made if need be, or a URL that object_store knows.
    ///
    /// # Errors
    /// [`OutError::Open`], which names the feature to build with where a URL's store isn't compiled in.
    pub fn open(name: &str) -> Result<Self, OutError> {
        let opened = match location(name) {
            Ok(Location::Directory(dir)) => open_directory(&dir),
            Ok(Location::Bucket(url)) => open_bucket(&url),
            Err(reason) => Err(reason),
        };
        let (store, prefix) = opened.map_err(|reason| OutError::Open {
            name: name.to_owned(),
            reason,
        })?;
        Ok(Self {
            name: name.trim_end_matches('/').into(),
            store,
            prefix,
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
        let path = self.prefix.clone().join(file);
        let written = self.store.put(&path, PutPayload::from(bytes)).await;
        written.map(drop).map_err(|source| OutError::Write {
            name: self.name.to_string(),
            file: file.to_owned(),
            source,
        })
    }
}

enum Location {
    Directory(PathBuf),
    Bucket(Url),
}

fn location(name: &str) -> Result<Location, String> {
    if !name.contains("://") {
        return Ok(Location::Directory(name.into()));
    }
    let url = Url::parse(name).map_err(|error| error.to_string())?;
    match url.scheme() {
        "file" => url.to_file_path().map(Location::Directory).map_err(|()| {
            "a file URL names a directory of this machine, as file:///dir".to_owned()
        }),
        // Every slot would write into a memory of its own, and take it along when it ends.
        "memory" => Err("slots share no memory; give a directory or a bucket".to_owned()),
        _ => Ok(Location::Bucket(url)),
    }
}

type Opened = Result<(Arc<dyn ObjectStore>, object_store::path::Path), String>;

fn open_directory(dir: &Path) -> Opened {
    std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    let store = LocalFileSystem::new_with_prefix(dir).map_err(|error| error.to_string())?;
    Ok((Arc::new(store), object_store::path::Path::default()))
}

fn open_bucket(url: &Url) -> Opened {
    let settings =
        std::env::vars().filter(|(name, _)| SETTINGS.iter().any(|known| name.starts_with(known)));
    match parse_url_opts(url, settings) {
        Ok((store, prefix)) => Ok((store.into(), prefix)),
        Err(error) => Err(match missing_feature(url.scheme()) {
            Some(feature) => format!("this program was built without it; add --features {feature}"),
            None => error.to_string(),
        }),
    }
}

/// The feature that a scheme's store is behind, if it isn't compiled in.
fn missing_feature(scheme: &str) -> Option<&'static str> {
    let (feature, built) = match scheme {
        "s3" | "s3a" => ("aws", cfg!(feature = "aws")),
        "gs" => ("gcp", cfg!(feature = "gcp")),
        "az" | "azure" | "adl" | "abfs" | "abfss" => ("azure", cfg!(feature = "azure")),
        _ => return None,
    };
    (!built).then_some(feature)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn places_that_cannot_be_opened_say_why() {
        assert!(refusal("memory:///x").contains("slots share no memory"));
        assert!(refusal("bad url://").contains("can't be opened"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("dir");
        assert!(refusal(below.to_str().unwrap()).contains("can't be opened"));
    }

    #[cfg(not(feature = "aws"))]
    #[test]
    fn a_store_that_is_not_compiled_in_names_its_feature() {
        let error = refusal("s3://bucket/prefix");
        assert!(error.ends_with("add --features aws"), "{error}");
    }
}
