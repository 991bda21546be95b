//! Commits to stores in memory, and to one that fails.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    PutMultipartOptions, PutPayload, PutResult,
};

use super::*;

fn output_in(objects: Arc<dyn ObjectStore>, limit: u64) -> Output {
    Output {
        opened: Opened {
            objects,
            prefix: Path::from("out/a.csv"),
            name: "s3://bucket/out/a.csv".to_owned(),
            advice: "look at its rights",
        },
        limit: (limit, "S3"),
    }
}

async fn content(objects: &dyn ObjectStore) -> Bytes {
    let found = objects.get(&Path::from("out/a.csv")).await.unwrap();
    found.bytes().await.unwrap()
}

#[tokio::test]
async fn one_of_many_writes_and_the_others_find_it() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let output = output_in(objects.clone(), 100);
    assert_eq!(output.is_there().await, Ok(false));
    let puts = (0..8_u8).map(|writer| output.put_new(vec![writer; 50].into()));
    let ended: Vec<_> = join_all(puts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let written: Vec<_> = (0..8_u8)
        .zip(&ended)
        .filter(|(_, ended)| **ended == Committed::Written)
        .map(|(writer, _)| writer)
        .collect();
    assert_eq!(written.len(), 1, "{ended:?}");
    assert_eq!(content(&*objects).await, vec![written[0]; 50]);
    assert_eq!(output.is_there().await, Ok(true));
}

#[tokio::test]
async fn what_one_put_cannot_carry_is_refused_with_the_limit() {
    let output = output_in(Arc::new(InMemory::new()), 100);
    let error = output.put_new(vec![0; 101].into()).await.unwrap_err();
    assert!(matches!(error, CommitError::Refused { .. }));
    let said = error.to_string();
    assert!(
        said.contains("101") && said.contains("100 that S3"),
        "{said}"
    );
}

#[tokio::test]
async fn a_url_without_an_object_or_a_store_is_refused() {
    for (url, expected) in [
        ("s3://bucket", "no object"),
        ("gs://bucket/", "no object"),
        ("s3:///a", "no store has such a URL"),
    ] {
        let error = OUTPUTS
            .put_new(url, "x".into())
            .await
            .unwrap_err()
            .to_string();
        // Without the cloud's feature the URL is not read any further.
        assert!(
            error.contains(expected) || error.contains("features = ["),
            "{url}: {error}"
        );
        let error = OUTPUTS.exists(url).await.unwrap_err();
        assert!(
            error.contains(expected) || error.contains("features = ["),
            "{url}: {error}"
        );
    }
}

/// A store that reports a conflict before so many puts, and then refuses or puts.
#[derive(Debug)]
struct Moody {
    inner: InMemory,
    conflicts: AtomicUsize,
    breaks: bool,
}

impl fmt::Display for Moody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let left = |left: usize| left.checked_sub(1);
        let taken = self
            .conflicts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        if taken.is_ok() {
            return Err(Error::AlreadyExists {
                path: at.to_string(),
                source: "a conflicting operation".into(),
            });
        }
        if self.breaks {
            return Err(Error::Generic {
                store: "moody",
                source: "the connection broke".into(),
            });
        }
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn moody(conflicts: usize, breaks: bool) -> Output {
    let store = Moody {
        inner: InMemory::new(),
        conflicts: AtomicUsize::new(conflicts),
        breaks,
    };
    output_in(Arc::new(store), 100)
}

#[tokio::test]
async fn a_conflict_without_an_object_is_put_again_and_is_no_output() {
    let put = moody(2, false).put_new("x".into()).await;
    assert_eq!(put, Ok(Committed::Written));
    let put = moody(3, false).put_new("x".into()).await;
    assert!(matches!(put, Err(CommitError::Refused { .. })), "{put:?}");
}

#[tokio::test]
async fn a_put_that_broke_may_have_written() {
    let error = moody(0, true).put_new("x".into()).await.unwrap_err();
    assert!(matches!(error, CommitError::Unsure { .. }));
    let said = error.to_string();
    assert!(
        said.contains("may be committed or not") && said.contains("broke"),
        "{said}"
    );
}
