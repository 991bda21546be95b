//! The place of files, by the name that a user gives: a directory, or a bucket by its URL.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload, parse_url_opts};
use url::Url;

/// Variables of the environment that a cloud's store takes its settings from. Others are not passed on: a
/// stray `ENDPOINT` or `TOKEN` must not change where the files are.
const SETTINGS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Most characters of a store's words that an error shows.
const SHOWN: usize = 400;

/// The place that a name stands for.
#[derive(Debug)]
pub(crate) enum Location {
    /// A directory of this machine.
    Directory(PathBuf),
    /// Part of a bucket.
    Bucket(Store),
}

impl Location {
    /// A name without `://` is a directory, and so is a file URL. No network is used.
    ///
    /// # Errors
    /// Why it is neither, with the feature to build with where a URL's store isn't compiled in.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        if !name.contains("://") {
            return Ok(Self::Directory(name.into()));
        }
        let url = Url::parse(name).map_err(|error| error.to_string())?;
        match url.scheme() {
            "file" => url.to_file_path().map(Self::Directory).map_err(|()| {
                "a file URL names a directory of this machine, as file:///dir".to_owned()
            }),
            // Every slot is a process with a memory store of its own, which is lost when the slot ends.
            "memory" => Err("slots share no memory; give a directory or a bucket".to_owned()),
            _ => Store::bucket(&url).map(Self::Bucket),
        }
    }
}

/// Files by name, in a directory or below a bucket's prefix.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    store: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
}

impl Store {
    /// A directory, made if need be.
    pub(crate) fn directory(dir: PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let store = LocalFileSystem::new_with_prefix(dir).map_err(|error| said(&error))?;
        Ok(Self::of(
            Arc::new(store),
            object_store::path::Path::default(),
        ))
    }

    fn bucket(url: &Url) -> Result<Self, String> {
        // When the program has installed another provider, that one serves.
        #[cfg(feature = "buckets")]
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let settings = std::env::vars()
            .filter(|(name, _)| SETTINGS.iter().any(|known| name.starts_with(known)));
        match parse_url_opts(url, settings) {
            Ok((store, prefix)) => Ok(Self::of(store.into(), prefix)),
            Err(error) => Err(match missing_feature(url.scheme()) {
                Some(feature) => {
                    format!("this program was built without it; add --features {feature}")
                }
                None => said(&error),
            }),
        }
    }

    pub(crate) const fn of(store: Arc<dyn ObjectStore>, prefix: object_store::path::Path) -> Self {
        Self { store, prefix }
    }

    /// Writes a file, in place of one of that name: a reader sees the old one or the new one.
    pub(crate) async fn put(&self, file: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let path = self.prefix.clone().join(file);
        let written = self.store.put(&path, PutPayload::from(bytes)).await;
        written.map(drop)
    }

    /// The first bytes of a file, at least as many as asked for unless it has fewer; `None` when there is no such
    /// file.
    pub(crate) async fn get(&self, file: &str, enough: usize) -> Result<Option<Vec<u8>>, Error> {
        let path = self.prefix.clone().join(file);
        let mut pieces = match self.store.get(&path).await {
            Ok(found) => found.into_stream(),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        while bytes.len() < enough {
            let Some(piece) = pieces.next().await else {
                break;
            };
            bytes.extend_from_slice(&piece?);
        }
        Ok(Some(bytes))
    }
}

/// A store's words in one line, cut: some bring the whole page that a server answered with.
pub(crate) fn said(error: &Error) -> String {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
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
    use object_store::memory::InMemory;

    fn store() -> Store {
        Store::of(Arc::new(InMemory::new()), "in/2013".into())
    }

    #[tokio::test]
    async fn a_file_is_fetched_whole_or_its_beginning() {
        let store = store();
        store.put("x", vec![7; 100_000]).await.unwrap();
        let whole = store.get("x", usize::MAX).await.unwrap().unwrap();
        assert_eq!(whole, vec![7; 100_000]);
        let beginning = store.get("x", 10).await.unwrap().unwrap();
        assert!(beginning.len() >= 10, "{}", beginning.len());
        assert!(whole.starts_with(&beginning));
        store.put("empty", Vec::new()).await.unwrap();
        assert_eq!(store.get("empty", 10).await.unwrap(), Some(Vec::new()));
    }

    #[tokio::test]
    async fn a_missing_file_is_no_error() {
        assert_eq!(store().get("x", 10).await.unwrap(), None);
    }

    #[test]
    fn a_page_of_an_answer_is_one_line() {
        let error = Error::Generic {
            store: "S3",
            source: "500: <?xml?>\n  <Error>\n\tno</Error>\n".into(),
        };
        assert_eq!(
            said(&error),
            "Generic S3 error: 500: <?xml?> <Error> no</Error>"
        );
    }

    #[test]
    fn a_long_page_is_cut() {
        let error = Error::Generic {
            store: "S3",
            source: "ä".repeat(1000).into(),
        };
        let said = said(&error);
        assert_eq!(said.chars().count(), SHOWN + 1);
        assert!(said.ends_with("ä…"), "{said}");
    }

    #[test]
    fn names_that_are_neither_directory_nor_bucket_are_refused_with_the_reason() {
        let refusal = |name: &str| Location::of(name).unwrap_err();
        assert!(refusal("memory:///x").contains("slots share no memory"));
        assert!(refusal("file://elsewhere/x").contains("of this machine"));
        assert!(!refusal("bad url://").is_empty());
        assert!(!refusal("unknown://x/y").is_empty());
    }

    #[cfg(not(feature = "aws"))]
    #[test]
    fn a_store_that_is_not_compiled_in_names_its_feature() {
        let refusal = Location::of("s3://bucket/prefix").unwrap_err();
        assert!(refusal.ends_with("add --features aws"), "{refusal}");
    }
}
