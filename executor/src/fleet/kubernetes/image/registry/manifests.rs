//! Manifests of a repository.

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::super::digest::Digest;
use super::super::error::ImageError;
use super::super::manifest::{ACCEPTED, MANIFEST};
use super::{Registry, body};

/// The most bytes of a manifest: what registries themselves accept.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests>
const LARGEST: usize = 4 << 20;
/// The header in which a registry states the digest of a manifest.
const DIGEST: &str = "docker-content-digest";

impl Registry {
    /// The digest of the manifest with this tag; none where there is none.
    pub(in super::super) async fn manifest_of_tag(
        &self,
        tag: &str,
    ) -> Result<Option<Digest>, ImageError> {
        let what = format!("look for the image {tag}");
        let url = self.url(&format!("manifests/{tag}"))?;
        let accepted = ACCEPTED.join(", ");
        let answer = self
            .send(&what, |http| {
                http.head(url.clone()).header(ACCEPT, &accepted)
            })
            .await?;
        let stated = answer.headers().get(DIGEST).map(HeaderValue::to_str);
        match (answer.status(), stated) {
            (StatusCode::NOT_FOUND, _) => return Ok(None),
            (StatusCode::OK, Some(Ok(text))) if Digest::parse(text).is_some() => {
                return Ok(Digest::parse(text));
            }
            // An answer to HEAD has no body, and so no reason, and some state no digest: the same by GET has both.
            _ => {}
        }
        let answer = self
            .send(&what, |http| {
                http.get(url.clone()).header(ACCEPT, &accepted)
            })
            .await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => self.digest_of(&what, answer).await.map(Some),
            _ => Err(self.refused(&what, answer).await),
        }
    }

    async fn digest_of(&self, what: &str, answer: reqwest::Response) -> Result<Digest, ImageError> {
        let bytes = body(answer, LARGEST, self.times.answer).await;
        Ok(Digest::of(
            &bytes.map_err(|error| self.failed(what, error))?,
        ))
    }

    /// The manifest of this digest.
    pub(in super::super) async fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let what = format!("read the image {digest}");
        let url = self.url(&format!("manifests/{digest}"))?;
        let accepted = ACCEPTED.join(", ");
        let answer = self
            .send(&what, |http| {
                http.get(url.clone()).header(ACCEPT, &accepted)
            })
            .await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refused(&what, answer).await);
        }
        let bytes = body(answer, LARGEST, self.times.answer).await;
        let bytes = bytes.map_err(|error| self.failed(&what, error))?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(self.failed(&what, "it sent another document")),
        }
    }

    /// Writes a manifest under a tag. The last of two that write the same tag counts.
    pub(in super::super) async fn put_manifest(
        &self,
        tag: &str,
        manifest: &[u8],
    ) -> Result<(), ImageError> {
        let what = format!("write the image {tag}");
        let url = self.url(&format!("manifests/{tag}"))?;
        let make = |http: &reqwest::Client| {
            let request = http.put(url.clone()).header(CONTENT_TYPE, MANIFEST);
            request.body(manifest.to_vec())
        };
        let answer = self.send(&what, make).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.refused(&what, answer).await),
        }
    }
}
