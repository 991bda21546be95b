//! A base image: its documents, its layers, and whether a program can run on it.

mod facts;
mod scan;
mod zstd;

use std::fs::File;

use tracing::debug;

use super::content::Plan;
use super::elf::Glibc;
use super::error::ImageError;
use super::manifest::{self, Descriptor, Document, Manifest};
use super::reference::BaseImage;
use super::registry::{Blob, Registry};

pub(super) use self::facts::{Facts, Remembered};

/// The most bytes of an image's configuration.
const LARGEST_CONFIG: usize = 8 << 20;

/// A base image, of which the documents are read.
pub(super) struct Base {
    image: BaseImage,
    manifest: Manifest,
    /// Its configuration.
    pub(super) config: Vec<u8>,
    /// Layers that were downloaded to be read, beside those of `manifest`.
    files: Vec<Option<File>>,
}

impl Base {
    /// Reads the documents of a base for a program.
    ///
    /// # Errors
    /// A registry that refuses, and a base that is none, or is for other machines.
    pub(super) async fn read(
        from: &Registry,
        image: &BaseImage,
        plan: &Plan,
    ) -> Result<Self, ImageError> {
        let unfit = |reason: String| {
            ImageError::new(format_args!(
                "the base image {image} cannot be used for {}: {reason} (KubernetesOptions::base_image, PODPOOL_BASE_IMAGE)",
                plan.name
            ))
        };
        let document = from.manifest(&image.digest).await?;
        let manifest = match manifest::read(&document).map_err(unfit)? {
            Document::Image(manifest) => manifest,
            Document::Index(all) => {
                let chosen = manifest::choose(&all, plan.architecture).map_err(unfit)?;
                let document = from.manifest(&chosen).await?;
                match manifest::read(&document).map_err(unfit)? {
                    Document::Image(manifest) => manifest,
                    Document::Index(_) => {
                        return Err(unfit("it is an index of indexes".to_owned()));
                    }
                }
            }
        };
        let config = from
            .small_blob(&manifest.config.digest, LARGEST_CONFIG)
            .await?;
        let files = manifest.layers.iter().map(|_| None).collect();
        Ok(Self {
            image: image.clone(),
            manifest,
            config,
            files,
        })
    }

    /// Its layers.
    pub(super) fn layers(&self) -> &[Descriptor] {
        &self.manifest.layers
    }

    /// Checks that a program finds its C library and its libraries in the base. The layers are read for it, once for
    /// each base: what was found is remembered.
    ///
    /// # Errors
    /// The two versions of glibc, or the missing library, and what to do.
    pub(super) async fn check(
        &mut self,
        from: &Registry,
        plan: &Plan,
        remembered: &Remembered,
    ) -> Result<(), ImageError> {
        if plan.elf.loader.is_none() {
            return Ok(());
        }
        let key = &self.manifest.config.digest;
        let facts = match remembered.get(key) {
            Some(facts) => facts,
            None => {
                let facts = self.look(from, plan).await?;
                remembered.put(&self.manifest.config.digest, &facts);
                facts
            }
        };
        let reason = judge(plan, &facts);
        reason.map_or(Ok(()), |reason| {
            Err(ImageError::new(format_args!(
                "{} cannot run on the base image {}: {reason}; nothing was pushed",
                plan.name, self.image
            )))
        })
    }

    async fn look(&mut self, from: &Registry, plan: &Plan) -> Result<Facts, ImageError> {
        let mut facts = Facts::default();
        for (layer, slot) in self.manifest.layers.iter().zip(&mut self.files) {
            let file = from.download(&layer.digest, layer.size).await?;
            // Decompressing takes seconds, and the executor's thread has a runtime of one thread.
            let (layer, machine) = (layer.clone(), plan.elf.machine);
            let image = self.image.to_string();
            let scanned = tokio::task::spawn_blocking(move || {
                let scanned = scan::read(&file, &layer, machine, &mut facts);
                scanned.map(|()| (facts, file)).map_err(|error| {
                    ImageError::new(format_args!(
                        "the layer {} of the base image {image} cannot be read: {error}",
                        layer.digest
                    ))
                })
            });
            let scanned = scanned.await;
            let (read, file) = scanned.map_err(|error| {
                ImageError::new(format_args!("a base image cannot be read: {error}"))
            })??;
            facts = read;
            *slot = Some(file);
        }
        Ok(facts)
    }

    /// Brings the layers to another repository; returns the bytes that were uploaded.
    pub(super) async fn copy(&mut self, from: &Registry, to: &Registry) -> Result<u64, ImageError> {
        let mut uploaded = 0;
        for (layer, slot) in self.manifest.layers.iter().zip(&mut self.files) {
            if to.has_blob(&layer.digest).await? || to.mount(&layer.digest, from.place()).await? {
                debug!(layer = %layer.digest, "a layer of the base is there");
                continue;
            }
            let file = match slot.take() {
                Some(file) => file,
                None => from.download(&layer.digest, layer.size).await?,
            };
            to.upload(&layer.digest, Blob::File(&file, layer.size))
                .await?;
            uploaded += layer.size;
        }
        Ok(uploaded)
    }
}

/// Why a program does not run on a base with these facts.
fn judge(plan: &Plan, facts: &Facts) -> Option<String> {
    let advice = "name a newer base image (KubernetesOptions::base_image, PODPOOL_BASE_IMAGE), leave the base out (then this machine's libraries are taken), or link the program statically (cargo build --target x86_64-unknown-linux-musl)";
    let elf = &plan.elf;
    // musl has no versions, and its libc is the loader.
    if !elf.is_musl() {
        let needed: Option<Glibc> = elf.needs_glibc;
        match (needed, facts.glibc) {
            (Some(needed), Some(there)) if there < needed => {
                return Some(format!(
                    "the program needs glibc {needed}, and the base has glibc {there}; {advice}"
                ));
            }
            (Some(needed), None) => {
                return Some(format!(
                    "the program needs glibc {needed}, and the base has no glibc; {advice}"
                ));
            }
            _ => {}
        }
    }
    let loader = elf
        .loader
        .iter()
        .filter_map(|loader| loader.rsplit('/').next());
    let musl = |name: &str| elf.is_musl() && (name == "libc.so" || name.starts_with("libc.musl-"));
    let libraries = elf
        .needed
        .iter()
        .map(String::as_str)
        .filter(|name| !musl(name));
    let missing = loader.chain(libraries).find(|name| !facts.has(name))?;
    Some(format!("the base has no {missing}; {advice}"))
}

#[cfg(test)]
pub(super) mod tests;
