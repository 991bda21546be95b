//! The settings of an image that is made of this program.

use super::{SpecError, WorkerSpec};

impl WorkerSpec {
    /// Checks that an image can be made where none is named.
    pub(super) fn check_made_image(&self) -> Result<(), SpecError> {
        let inside = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
            && std::env::var_os("KUBECONFIG").is_none_or(|path| path.is_empty());
        // A master in a pod has an image: that of its pod.
        if cfg!(feature = "image") && (self.registry.is_some() || inside) {
            return Ok(());
        }
        let reason = match cfg!(feature = "image") {
            true => {
                "workers need an image that holds this program: set it, or PODPOOL_IMAGE, or name a registry to which it is pushed, KubernetesOptions::registry or PODPOOL_REGISTRY"
            }
            false => {
                "workers need an image that holds this program: set it, or PODPOOL_IMAGE; with the feature `image` podpool makes one, for the registry of PODPOOL_REGISTRY"
            }
        };
        Err(SpecError::new("image", "", reason))
    }

    /// Checks the registry and the base image.
    #[cfg(feature = "image")]
    pub(super) fn check_registry(&self) -> Result<(), SpecError> {
        use crate::fleet::kubernetes::image::{BaseImage, Place, is_host};
        if let Some(registry) = &self.registry {
            let read = Place::registry(registry);
            read.map_err(|reason| SpecError::new("registry", registry, reason))?;
        }
        if let Some(base) = &self.base_image {
            let read = BaseImage::parse(base);
            read.map_err(|reason| SpecError::new("base_image", base, reason))?;
            if self.registry.is_none() && self.image.is_none() {
                let reason = "no image is pushed without a registry: name one, KubernetesOptions::registry or PODPOOL_REGISTRY, or leave the base out";
                return Err(SpecError::new("base_image", base, reason));
            }
        }
        let bad = self.registry_insecure.iter().find(|host| !is_host(host));
        bad.map_or(Ok(()), |host| {
            let reason = "use hosts of registries, such as localhost:5000, without a path";
            Err(SpecError::new("registry_insecure", host, reason))
        })
    }

    /// `build()` refuses these settings by the name of the feature before.
    #[cfg(not(feature = "image"))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "with the feature there is something to check"
    )]
    pub(super) const fn check_registry(&self) -> Result<(), SpecError> {
        Ok(())
    }

    /// Whether a setting is present that needs the feature `image`.
    #[cfg(not(feature = "image"))]
    pub(crate) fn asks_for_a_made_image(&self) -> bool {
        self.registry.is_some() || self.base_image.is_some() || !self.registry_insecure.is_empty()
    }
}
