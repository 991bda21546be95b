//! Brings the image of a program to its registry, with as little as is missing there.

use std::path::PathBuf;

use tracing::info;

use super::base::{Base, Remembered};
use super::content::{self, Plan, Program};
use super::credentials::Logins;
use super::digest::Digest;
use super::error::{ImageError, because};
use super::layer;
use super::libraries::Search;
use super::manifest;
use super::reference::{BaseImage, Place};
use super::registry::{self, Access, Blob, Registry, Times};

/// What is pushed, from where and to where.
#[derive(Clone, Debug)]
pub(super) struct Push {
    pub(super) program: Program,
    pub(super) search: Search,
    /// The certificates of authorities that the image gets.
    pub(super) certificates: Option<PathBuf>,
    /// The registry, and the beginning of the repository's name.
    pub(super) registry: Place,
    pub(super) base: Option<BaseImage>,
    /// Registries that are spoken to by plain http.
    pub(super) plain: Vec<String>,
    pub(super) logins: Logins,
    pub(super) remembered: Remembered,
    pub(super) times: Times,
}

/// An image that is in its registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// By its digest, as nodes pull it.
    pub(super) image: String,
    /// The repository.
    pub(super) place: Place,
    /// Bytes that were uploaded; 0 where the image was there.
    pub(super) bytes: u64,
    /// Whether the registry's login ends within hours.
    pub(super) short_lived: bool,
}

impl Push {
    /// Makes the image and pushes it, unless the registry has it. Another master that does the same at a time uploads
    /// the same blobs and writes the same manifest, which harms neither.
    ///
    /// # Errors
    /// [`ImageError`]; no image was made then.
    pub(super) async fn run(self) -> Result<Pushed, ImageError> {
        let (push, plan) = on_a_thread(move || {
            let plan = content::plan(
                &self.program,
                self.base.as_ref(),
                &self.search,
                self.certificates.as_deref(),
            );
            plan.map(|plan| (self, plan))
        })
        .await?;
        let place = push.registry.of_program(&plan.name);
        let http = registry::http()?;
        let to = push.open(&http, &place, Access::Push).await?;
        let done = |digest: &Digest, bytes: u64, to: &Registry| Pushed {
            image: format!("{place}@{digest}"),
            place: place.clone(),
            bytes,
            short_lived: to.is_short_lived(),
        };
        if let Some(digest) = to.manifest_of_tag(&plan.tag).await? {
            info!(%place, tag = %plan.tag, %digest, "the registry has the image of this program");
            return Ok(done(&digest, 0, &to));
        }
        let Some(image) = push.base.clone() else {
            let (digest, bytes) = write(&plan, &to, None).await?;
            return Ok(done(&digest, bytes, &to));
        };
        let from = push.open(&http, &image.place, Access::Pull).await?;
        let to = to.reading(&image.place);
        let mut base = Base::read(&from, &image, &plan).await?;
        base.check(&from, &plan, &push.remembered).await?;
        let copied = base.copy(&from, &to).await?;
        let (digest, bytes) = write(&plan, &to, Some(&base)).await?;
        Ok(done(&digest, copied + bytes, &to))
    }

    async fn open(
        &self,
        http: &reqwest::Client,
        place: &Place,
        access: Access,
    ) -> Result<Registry, ImageError> {
        let login = self.logins.find(place).await?;
        let plain = self.plain.contains(&place.registry);
        Registry::open(http, place.clone(), (access, plain), login, &self.times)
    }
}

/// Uploads the layer and the documents; returns the manifest's digest and the bytes that were uploaded.
async fn write(
    plan: &Plan,
    to: &Registry,
    base: Option<&Base>,
) -> Result<(Digest, u64), ImageError> {
    let entries = plan.entries.clone();
    let layer = on_a_thread(move || layer::pack(&entries)).await?;
    let mut bytes = 0;
    if !to.has_blob(&layer.digest).await? {
        to.upload(&layer.digest, Blob::File(&layer.file, layer.size))
            .await?;
        bytes += layer.size;
    }
    let config = manifest::config(plan, &layer.diff_id, base.map(|base| &*base.config));
    let config = config.map_err(because(format!(
        "no image of {} can be made on its base",
        plan.name
    )))?;
    let named = Digest::of(&config);
    if !to.has_blob(&named).await? {
        to.upload(&named, Blob::Bytes(&config)).await?;
        bytes += config.len() as u64;
    }
    let layers = base.map_or(&[][..], Base::layers);
    let manifest = manifest::manifest(&config, layers, (&layer.digest, layer.size));
    to.put_manifest(&plan.tag, &manifest).await?;
    Ok((Digest::of(&manifest), bytes + manifest.len() as u64))
}

/// Does what takes seconds of a processor beside the executor's thread, whose runtime has no other thread.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(because("the thread that makes the image ended"))?
}

#[cfg(test)]
mod tests;
