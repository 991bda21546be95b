//! The settings of an image that is made of this program.

use super::WorkerSpec;
use super::row::{Check, Wrong};

impl WorkerSpec {
    /// Checks that an image can be made where none is named.
    pub(super) fn check_made_image(&self) -> Check {
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
        Err(Wrong::new("", reason))
    }

    /// Whether a setting is present that needs the feature `image`.
    #[cfg(not(feature = "image"))]
    pub(crate) fn asks_for_a_made_image(&self) -> bool {
        self.registry.is_some() || self.base_image.is_some() || !self.registry_insecure.is_empty()
    }
}

#[cfg(feature = "image")]
pub(super) fn check_registry(spec: &WorkerSpec) -> Check {
    use crate::fleet::kubernetes::image::Place;
    let read = |registry: &String| {
        Place::registry(registry)
            .map(drop)
            .map_err(|reason| Wrong::new(registry, reason))
    };
    spec.registry.as_ref().map_or(Ok(()), read)
}

#[cfg(feature = "image")]
pub(super) fn check_base_image(spec: &WorkerSpec) -> Check {
    use crate::fleet::kubernetes::image::BaseImage;
    let read = |base: &String| {
        BaseImage::parse(base)
            .map(drop)
            .map_err(|reason| Wrong::new(base, reason))
    };
    spec.base_image.as_ref().map_or(Ok(()), read)
}

#[cfg(feature = "image")]
pub(super) fn check_insecure(spec: &WorkerSpec) -> Check {
    use crate::fleet::kubernetes::image::is_host;
    let bad = spec.registry_insecure.iter().find(|host| !is_host(host));
    bad.map_or(Ok(()), |host| {
        let reason = "use hosts of registries, such as localhost:5000, without a path";
        Err(Wrong::new(host, reason))
    })
}

// `build()` refuses these settings by the name of the feature before.

#[cfg(not(feature = "image"))]
pub(super) const fn check_registry(_: &WorkerSpec) -> Check {
    Ok(())
}

#[cfg(not(feature = "image"))]
pub(super) const fn check_base_image(_: &WorkerSpec) -> Check {
    Ok(())
}

#[cfg(not(feature = "image"))]
pub(super) const fn check_insecure(_: &WorkerSpec) -> Check {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut WorkerSpec)) -> WorkerSpec {
        let mut spec = WorkerSpec::default();
        change(&mut spec);
        spec
    }

    /// The name of the setting that is refused, and why.
    #[cfg(feature = "image")]
    fn refused(spec: &WorkerSpec) -> (String, String) {
        let error = spec.check().expect_err("the setting should be refused");
        (error.setting, error.reason)
    }

    #[cfg(feature = "image")]
    #[test]
    fn a_registry_is_all_that_is_needed() {
        let registry = || Some("registry.example/team".to_owned());
        let base = format!("debian@sha256:{}", "a".repeat(64));
        let all = with(|spec| {
            spec.registry = registry();
            spec.base_image = Some(base.clone());
            spec.registry_insecure = vec!["localhost:5000".to_owned(), "10.0.0.1:81".to_owned()];
        });
        assert_eq!(all.check(), Ok(()));
        let (setting, reason) = refused(&with(|spec| spec.registry = Some("team".to_owned())));
        assert_eq!(setting, "registry");
        assert!(reason.contains("registry.example/team"), "{reason}");
        let (setting, reason) = refused(&with(|spec| {
            spec.registry = registry();
            spec.base_image = Some("debian:12".to_owned());
        }));
        assert_eq!(setting, "base_image");
        assert!(reason.contains("digest"), "{reason}");
        let (setting, _) = refused(&with(|spec| {
            spec.registry = registry();
            spec.registry_insecure
                .push("http://localhost:5000".to_owned());
        }));
        assert_eq!(setting, "registry_insecure");
        let (setting, reason) = refused(&WorkerSpec::default());
        assert_eq!(setting, "image");
        assert!(reason.contains("PODPOOL_REGISTRY"), "{reason}");
    }

    #[cfg(feature = "image")]
    #[test]
    fn a_base_alone_makes_no_image() {
        let base = || Some(format!("debian@sha256:{}", "a".repeat(64)));
        let named = with(|spec| {
            spec.base_image = base();
            spec.image = Some("backfill:1".to_owned());
        });
        assert_eq!(named.check(), Ok(()));
        let alone = with(|spec| spec.base_image = base());
        assert_eq!(refused(&alone).0, "image");
    }

    #[test]
    fn the_environment_sets_each() {
        let spec = WorkerSpec::default().or_environment(|name| {
            Some(
                match name {
                    "PODPOOL_REGISTRY" => "registry.example/team",
                    "PODPOOL_BASE_IMAGE" => "debian@sha256:1",
                    "PODPOOL_REGISTRY_INSECURE" => "one:1, two:2",
                    _ => return None,
                }
                .to_owned(),
            )
        });
        let spec = spec.unwrap();
        assert_eq!(spec.registry.as_deref(), Some("registry.example/team"));
        assert_eq!(spec.base_image.as_deref(), Some("debian@sha256:1"));
        assert_eq!(spec.registry_insecure, ["one:1", "two:2"]);
        #[cfg(not(feature = "image"))]
        {
            assert!(spec.asks_for_a_made_image());
            assert!(!with(|spec| spec.cpu = Some(1)).asks_for_a_made_image());
        }
    }
}
