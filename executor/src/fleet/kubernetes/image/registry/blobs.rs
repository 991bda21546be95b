//! Blobs of a repository: whether one is there, uploads, downloads.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Response, StatusCode, Url};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::super::super::client::chain;
use super::super::digest::{Digest, Hasher};
use super::super::error::{ImageError, because};
use super::super::layer::temporary;
use super::super::reference::Place;
use super::{Registry, body, passes, refusal};

/// Bytes that are sent at a time.
const PIECE: usize = 256 << 10;

/// The bytes of a blob.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Blob<'a> {
    Bytes(&'a [u8]),
    /// A file of this size.
    File(&'a File, u64),
}

impl Blob<'_> {
    const fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }

    /// The body of a request, from the beginning, which counts what it has given.
    fn body(&self, given: Arc<AtomicU64>) -> io::Result<Body> {
        match self {
            Self::Bytes(bytes) => Ok(Body::from(bytes.to_vec())),
            Self::File(file, _) => {
                // The clones share their place in the file; one request is sent at a time.
                let mut file = file.try_clone()?;
                file.rewind()?;
                Ok(Body::wrap_stream(pieces(
                    tokio::fs::File::from_std(file),
                    given,
                )))
            }
        }
    }
}

fn pieces(
    file: tokio::fs::File,
    given: Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, given), |(mut file, given)| async move {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        given.fetch_add(read as u64, Ordering::Relaxed);
        Ok((read > 0).then(|| (piece.freeze(), (file, given))))
    })
}

/// How an upload began.
enum Begun {
    /// The registry has the blob in another repository.
    Mounted,
    At(Url),
}

impl Registry {
    /// Whether the repository has a blob.
    pub(in super::super) async fn has_blob(&self, digest: &Digest) -> Result<bool, ImageError> {
        let what = format!("look for the layer {digest}");
        let url = self.url(&format!("blobs/{digest}"))?;
        let answer = self.send(&what, |http| http.head(url.clone())).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refused(&what, answer).await),
        }
    }

    /// Makes a blob of another repository of this registry one of this repository; false where the registry does not
    /// do so.
    pub(in super::super) async fn mount(
        &self,
        digest: &Digest,
        from: &Place,
    ) -> Result<bool, ImageError> {
        if from.registry != self.place.registry {
            return Ok(false);
        }
        let what = format!("take over the layer {digest} of {from}");
        let begun = self.begin(&what, Some((digest, from))).await?;
        Ok(matches!(begun, Some(Begun::Mounted)))
    }

    /// Uploads a blob, in one request: registries differ in what else they take. It is begun again, with the pauses
    /// between, where the registry was busy or the connection broke.
    pub(in super::super) async fn upload(
        &self,
        digest: &Digest,
        blob: Blob<'_>,
    ) -> Result<(), ImageError> {
        let what = format!("upload the layer {digest}");
        let mut pauses = self.times.pauses.iter();
        let mut renewed = false;
        loop {
            let url = match self.begin(&what, None).await? {
                Some(Begun::At(url)) => url,
                Some(Begun::Mounted) => return Ok(()),
                None => return Err(self.failed(&what, "it began no upload")),
            };
            let failure = match self.put(url, digest, blob).await.map_err(because(&what))? {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                // A token may end during a long upload.
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    self.authorize(&what, &answer).await?;
                    continue;
                }
                // 404: the registry does not know the upload any more.
                Ok(answer)
                    if passes(answer.status()) || answer.status() == StatusCode::NOT_FOUND =>
                {
                    refusal::text(answer, self.times.answer).await
                }
                Ok(answer) => return Err(self.refused(&what, answer).await),
                Err(failure) => failure,
            };
            let Some(pause) = pauses.next() else {
                return Err(self.failed(&what, failure));
            };
            debug!(what, failure, place = %self.place, "uploading again");
            sleep(*pause).await;
        }
    }

    /// Begins an upload; none where a mount was asked for and refused.
    async fn begin(
        &self,
        what: &str,
        mount: Option<(&Digest, &Place)>,
    ) -> Result<Option<Begun>, ImageError> {
        let mut url = self.url("blobs/uploads/")?;
        if let Some((digest, from)) = mount {
            url.query_pairs_mut()
                .append_pair("mount", digest.as_str())
                .append_pair("from", &from.repository);
        }
        let answer = self
            .send(what, |http| {
                http.post(url.clone()).header(CONTENT_LENGTH, 0)
            })
            .await?;
        match answer.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Some(Begun::Mounted)),
            StatusCode::ACCEPTED => {
                let location = answer
                    .headers()
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok());
                // It may be relative to the address of the request.
                let location = location.and_then(|location| answer.url().join(location).ok());
                let location =
                    location.ok_or_else(|| self.failed(what, "it did not say where to upload"))?;
                Ok(Some(Begun::At(location)))
            }
            _ if mount.is_some() => Ok(None),
            _ => Err(self.refused(what, answer).await),
        }
    }

    /// Sends the bytes. The outer error is one of this machine, the inner one may pass.
    async fn put(
        &self,
        mut url: Url,
        digest: &Digest,
        blob: Blob<'_>,
    ) -> io::Result<Result<Response, String>> {
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let given = Arc::new(AtomicU64::new(0));
        let request = self
            .http
            .put(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size())
            .body(blob.body(given.clone())?);
        let request = match self.authorized(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(chain(&error.without_url()))),
        };
        let stall = self.times.stall;
        let answer = tokio::select! {
            answer = self.http.execute(request) => answer,
            () = stalled(&given, stall) => {
                let given = given.load(Ordering::Relaxed);
                return Ok(Err(format!("no progress within {stall:?}, after {given} of {} bytes", blob.size())));
            }
        };
        Ok(answer.map_err(|error| self.unreached(error)))
    }

    /// Downloads a blob of this size into a temporary file, and compares its digest.
    pub(in super::super) async fn download(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<File, ImageError> {
        let what = format!("download the layer {digest}");
        let mut pauses = self.times.pauses.iter();
        let mut file = temporary()?;
        loop {
            let url = self.url(&format!("blobs/{digest}"))?;
            let answer = self.send(&what, |http| http.get(url.clone())).await?;
            if answer.status() != StatusCode::OK {
                return Err(self.refused(&what, answer).await);
            }
            let failure = match receive(answer, size, &mut file, self.times.stall).await {
                Ok(received) if received == *digest => {
                    file.rewind().map_err(because(&what))?;
                    return Ok(file);
                }
                Ok(_) => return Err(self.failed(&what, "it sent other bytes")),
                Err(Broken::Here(error)) => {
                    let full = format!(
                        "{what} of {}: the directory of temporary files (TMPDIR)",
                        self.place
                    );
                    return Err(because(full)(error));
                }
                Err(Broken::There(failure)) => failure,
            };
            let Some(pause) = pauses.next() else {
                return Err(self.failed(&what, failure));
            };
            debug!(what, failure, place = %self.place, "downloading again");
            sleep(*pause).await;
        }
    }

    /// A small blob, such as a configuration.
    pub(in super::super) async fn small_blob(
        &self,
        digest: &Digest,
        most: usize,
    ) -> Result<Vec<u8>, ImageError> {
        let what = format!("read {digest}");
        let url = self.url(&format!("blobs/{digest}"))?;
        let answer = self.send(&what, |http| http.get(url.clone())).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(&what, answer).await);
        }
        let bytes = body(answer, most, self.times.stall).await;
        let bytes = bytes.map_err(|error| self.failed(&what, error))?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(self.failed(&what, "it sent other bytes")),
        }
    }
}

/// Where a download broke.
enum Broken {
    Here(io::Error),
    There(String),
}

async fn receive(
    mut answer: Response,
    size: u64,
    file: &mut File,
    stall: Duration,
) -> Result<Digest, Broken> {
    file.set_len(0)
        .and_then(|()| file.rewind())
        .map_err(Broken::Here)?;
    let mut hasher = Hasher::default();
    loop {
        let piece = timeout(stall, answer.chunk()).await;
        let piece = piece.map_err(|_| Broken::There(format!("no progress within {stall:?}")))?;
        let piece = piece.map_err(|error| Broken::There(chain(&error.without_url())))?;
        let Some(piece) = piece else {
            return match hasher.bytes() == size {
                true => Ok(hasher.finish()),
                false => Err(Broken::There(format!(
                    "it sent {} of {size} bytes",
                    hasher.bytes()
                ))),
            };
        };
        if hasher.bytes() + piece.len() as u64 > size {
            return Err(Broken::There(format!("it sent more than {size} bytes")));
        }
        hasher.update(&piece);
        file.write_all(&piece).map_err(Broken::Here)?;
    }
}

/// Returns when so much time has passed without progress.
async fn stalled(progress: &AtomicU64, stall: Duration) {
    let mut before = u64::MAX;
    loop {
        let now = progress.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(stall).await;
    }
}
