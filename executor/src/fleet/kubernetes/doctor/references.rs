//! Every object that a pod names: read from the pod itself, so that no setting is left out.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec, Volume};

/// The kind of an object that a pod names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ServiceAccount,
    Secret,
    ConfigMap,
    Claim,
    PriorityClass,
}

impl Kind {
    /// As kubectl names it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccount",
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
            Self::Claim => "persistentvolumeclaim",
            Self::PriorityClass => "priorityclass",
        }
    }
}

/// An object, and the keys of it that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) keys: BTreeSet<String>,
}

/// The objects in the order of their kinds and names, each once. `own` is the run's Secret, which the run makes.
pub(super) fn of(pod: &PodSpec, own: &str) -> Vec<Reference> {
    let mut found = Found(Vec::new());
    if let Some(name) = &pod.service_account_name {
        found.add(Kind::ServiceAccount, name, None, None);
    }
    if let Some(name) = &pod.priority_class_name {
        found.add(Kind::PriorityClass, name, None, None);
    }
    for secret in pod.image_pull_secrets.iter().flatten() {
        found.add(Kind::Secret, &secret.name, None, None);
    }
    let init = pod.init_containers.iter().flatten();
    init.chain(&pod.containers)
        .for_each(|it| found.container(it));
    pod.volumes.iter().flatten().for_each(|it| found.volume(it));
    let mut found = found.0;
    found.retain(|it| it.kind != Kind::Secret || it.name != own);
    found.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    found
}

struct Found(Vec<Reference>);

impl Found {
    /// One that is optional need not exist.
    fn add(&mut self, kind: Kind, name: &str, key: Option<&str>, optional: Option<bool>) {
        if optional == Some(true) {
            return;
        }
        let known = |it: &&mut Reference| it.kind == kind && it.name == name;
        let key = key.map(str::to_owned);
        match self.0.iter_mut().find(known) {
            Some(known) => known.keys.extend(key),
            None => self.0.push(Reference {
                kind,
                name: name.to_owned(),
                keys: key.into_iter().collect(),
            }),
        }
    }

    fn items(
        &mut self,
        kind: Kind,
        name: &str,
        items: Option<&Vec<KeyToPath>>,
        optional: Option<bool>,
    ) {
        self.add(kind, name, None, optional);
        for item in items.into_iter().flatten() {
            self.add(kind, name, Some(&item.key), optional);
        }
    }

    fn container(&mut self, container: &Container) {
        for from in container.env_from.iter().flatten() {
            if let Some(secret) = &from.secret_ref {
                self.add(Kind::Secret, &secret.name, None, secret.optional);
            }
            if let Some(map) = &from.config_map_ref {
                self.add(Kind::ConfigMap, &map.name, None, map.optional);
            }
        }
        let sources = container.env.iter().flatten();
        for from in sources.filter_map(|it| it.value_from.as_ref()) {
            if let Some(it) = &from.secret_key_ref {
                self.add(Kind::Secret, &it.name, Some(&it.key), it.optional);
            }
            if let Some(it) = &from.config_map_key_ref {
                self.add(Kind::ConfigMap, &it.name, Some(&it.key), it.optional);
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        if let Some(it) = &volume.secret {
            let name = it.secret_name.as_deref().unwrap_or_default();
            self.items(Kind::Secret, name, it.items.as_ref(), it.optional);
        }
        if let Some(it) = &volume.config_map {
            self.items(Kind::ConfigMap, &it.name, it.items.as_ref(), it.optional);
        }
        if let Some(it) = &volume.persistent_volume_claim {
            self.add(Kind::Claim, &it.claim_name, None, None);
        }
        let projected = volume.projected.iter().flat_map(|it| &it.sources).flatten();
        for source in projected {
            if let Some(it) = &source.secret {
                self.items(Kind::Secret, &it.name, it.items.as_ref(), it.optional);
            }
            if let Some(it) = &source.config_map {
                self.items(Kind::ConfigMap, &it.name, it.items.as_ref(), it.optional);
            }
        }
    }
}
