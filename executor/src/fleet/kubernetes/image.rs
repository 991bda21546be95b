//! An image of this very program for its workers, made and pushed without Docker.
//!
//! A master outside the cluster packs its executable, with the loader and the libraries that it links with or on top of
//! a base image, into one layer, and pushes that to a registry under a tag that names the content: an unchanged program
//! uploads nothing. A master in a pod uses the image of its pod. Pure: `elf`, `libraries`, `content`, `manifest`,
//! `reference`; `layer` packs, `registry` speaks to registries with the logins that `credentials` finds, `base` reads
//! base images, `push` is all of it in order.

mod base;
mod content;
mod credentials;
mod digest;
mod elf;
mod error;
mod layer;
mod libraries;
mod loader_cache;
mod manifest;
mod nodes;
mod own_pod;
mod push;
mod reference;
mod registry;

use podpool_core::notice;
use podpool_core::size::size;

use self::base::Remembered;
use self::content::Program;
use self::credentials::Logins;
use self::error::because;
use self::libraries::Search;
use self::push::{Push, Pushed};
use self::registry::Times;
use super::client::Cluster;
use super::spec::WorkerSpec;

pub(crate) use self::error::ImageError;
pub(crate) use self::reference::{BaseImage, Place, is_host};

/// Fills in the workers' image where none is named: that of this pod, or one that is pushed to the registry.
///
/// Nothing of the run is made yet. It belongs to the runtime in which it is called.
///
/// # Errors
/// [`ImageError`]: what failed, and what to do.
pub(crate) async fn provide(spec: &mut WorkerSpec, cluster: &Cluster) -> Result<(), ImageError> {
    if spec.worker_image().is_some() {
        return Ok(());
    }
    if let Some(home) = cluster.home() {
        let own = own_pod::image(cluster, home).await?;
        // A secret serves the pods of its own namespace.
        if spec.pull_secrets.is_empty() && cluster.namespace() == home {
            spec.pull_secrets = own.pull_secrets;
        }
        spec.image = Some(own.image);
        return Ok(());
    }
    let push = of_this_program(spec)?;
    let name = push.program.name.clone();
    if let Some(architecture) = content::architecture(&push.program) {
        nodes::check(cluster, &name, architecture).await?;
    }
    let pushed = push.run().await?;
    report(&pushed, spec);
    spec.image = Some(pushed.image);
    Ok(())
}

/// The push of this program, by the settings and this process's environment.
fn of_this_program(spec: &WorkerSpec) -> Result<Push, ImageError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Checked with the other settings; a text that is none is an error here too.
    let unusable = |name: &str| because(format!("KubernetesOptions::{name} cannot be used"));
    let registry = Place::registry(spec.registry.as_deref().unwrap_or_default())
        .map_err(unusable("registry"))?;
    let base = spec.base_image.as_deref().map(BaseImage::parse).transpose();
    let certificates = content::certificates(variable("SSL_CERT_FILE").as_deref());
    if certificates.is_none() {
        notice::trouble(
            "this machine has no file of certificates (SSL_CERT_FILE), so the image has none: workers trust no server by TLS; install ca-certificates",
        );
    }
    Ok(Push {
        program: Program::this()?,
        search: Search::of_this_machine(variable("LD_LIBRARY_PATH").as_deref()),
        certificates,
        registry,
        base: base.map_err(unusable("base_image"))?,
        plain: spec
            .registry_insecure
            .iter()
            .map(|host| reference::registry_name(host))
            .collect(),
        logins: Logins::of_environment(variable),
        remembered: Remembered::of_environment(variable),
        times: Times::default(),
    })
}

/// Says what was pushed; nothing where nothing was.
fn report(pushed: &Pushed, spec: &WorkerSpec) {
    if pushed.bytes == 0 {
        return;
    }
    notice::relief(format_args!(
        "pushed {} to {}",
        size(pushed.bytes),
        pushed.place
    ));
    if pushed.short_lived && !spec.pull_secrets.is_empty() {
        notice::trouble(format_args!(
            "the login for {} is a token of some hours: a pull secret that is made of it ends with it, and workers that start later get no image; give the nodes a right to pull of their own instead of {}",
            pushed.place.registry,
            spec.pull_secrets.join(", ")
        ));
    }
}
