//! A pod that is being written: the user's template first, then each row of the table, then the fleet's own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Container, EmptyDirVolumeSource, EnvVar, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, Pod, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::template::Template;
use crate::fleet::kubernetes::job::CONTAINER;

/// The directory of workers for temporary files.
const TEMPORARY: &str = "/tmp";

/// A Job's pod, with the worker's container apart.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The run's id.
    pub(crate) run: String,
    /// Labels of the Job and its pods.
    pub(crate) labels: BTreeMap<String, String>,
    /// Annotations of the Job and its pods.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Labels of the Job alone.
    pub(crate) job_labels: BTreeMap<String, String>,
    /// The pod's metadata by the template.
    pub(crate) metadata: ObjectMeta,
    /// The pod, without the worker's container.
    pub(crate) spec: PodSpec,
    /// The worker's container.
    pub(crate) worker: Container,
    /// How long an ended Job is kept, in seconds.
    pub(crate) ttl: i32,
    /// The volume at `/tmp`, if it is the fleet's.
    temporary: Option<String>,
}

impl Draft {
    /// The template, or nothing.
    pub(crate) fn begin(template: Option<&Template>, run: String, ttl: i32) -> Self {
        let template = template.map(|template| template.pod.clone());
        let PodTemplateSpec { metadata, spec } = template.unwrap_or_default();
        let mut spec = spec.unwrap_or_default();
        let at = spec.containers.iter().position(|one| one.name == CONTAINER);
        let worker = at.map(|at| spec.containers.remove(at)).unwrap_or_default();
        Self {
            run,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            job_labels: BTreeMap::new(),
            metadata: metadata.unwrap_or_default(),
            spec,
            worker: Container {
                name: CONTAINER.to_owned(),
                ..worker
            },
            ttl,
            temporary: None,
        }
    }

    /// The pod, with the worker's container first.
    pub(crate) fn finish(self) -> Pod {
        let mut spec = self.spec;
        spec.containers.insert(0, self.worker);
        Pod {
            metadata: self.metadata,
            spec: Some(spec),
            status: None,
        }
    }

    /// A variable of the worker, in place of one of the same name.
    pub(crate) fn env(&mut self, variable: EnvVar) {
        let all = self.worker.env.get_or_insert_default();
        all.retain(|other| other.name != variable.name);
        all.push(variable);
    }

    /// A volume, and where the worker finds it.
    pub(crate) fn volume(&mut self, volume: Volume, mount: VolumeMount) {
        self.spec.volumes.get_or_insert_default().push(volume);
        self.worker
            .volume_mounts
            .get_or_insert_default()
            .push(mount);
    }

    /// A directory of the worker. At `/tmp` it takes the place of the fleet's.
    pub(crate) fn directory(&mut self, mut volume: Volume, path: &str, read_only: bool) {
        if path == TEMPORARY
            && let Some(name) = self.temporary.take()
        {
            volume.name.clone_from(&name);
            let all = self.spec.volumes.get_or_insert_default();
            if let Some(old) = all.iter_mut().find(|old| old.name == name) {
                *old = volume;
            }
            return;
        }
        let mount = mount(&volume.name, path, read_only);
        self.volume(volume, mount);
    }

    /// The fleet's own directory for temporary files, unless the template has one.
    pub(crate) fn temporary(&mut self) {
        let mounts = self.worker.volume_mounts.as_deref().unwrap_or_default();
        if mounts.iter().any(|mount| mount.mount_path == TEMPORARY) {
            return;
        }
        let name = self.free_name("tmp");
        let volume = Volume {
            name: name.clone(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        };
        self.volume(volume, mount(&name, TEMPORARY, false));
        self.temporary = Some(name);
    }

    /// Bounds the fleet's own directory for temporary files.
    pub(crate) fn bound_temporary(&mut self, bytes: Quantity) {
        let all = self.spec.volumes.get_or_insert_default();
        let own = all
            .iter_mut()
            .find(|volume| Some(&volume.name) == self.temporary.as_ref());
        if let Some(directory) = own.and_then(|volume| volume.empty_dir.as_mut()) {
            directory.size_limit = Some(bytes);
        }
    }

    /// This name, or the first of `name-2`, `name-3`… that no volume has.
    pub(crate) fn free_name(&self, name: &str) -> String {
        let all = self.spec.volumes.as_deref().unwrap_or_default();
        let taken = |name: &str| all.iter().any(|volume| volume.name == name);
        if !taken(name) {
            return name.to_owned();
        }
        let others = (2..=all.len() + 2).map(|number| format!("{name}-{number}"));
        // One of them is free: they are more than there are volumes.
        others
            .into_iter()
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    fn resources(&mut self) -> &mut ResourceRequirements {
        self.worker.resources.get_or_insert_default()
    }

    /// What the worker requests of a resource.
    pub(crate) fn request(&mut self, resource: &str, amount: Quantity) {
        let all = self.resources().requests.get_or_insert_default();
        all.insert(resource.to_owned(), amount);
    }

    /// The worker's limit of a resource.
    pub(crate) fn limit(&mut self, resource: &str, amount: Quantity) {
        let all = self.resources().limits.get_or_insert_default();
        all.insert(resource.to_owned(), amount);
    }

    /// Whether the template has a request or a limit of a resource.
    pub(crate) fn asks_for(&self, resource: &str) -> bool {
        let resources = self.worker.resources.as_ref();
        let has = |all: Option<&BTreeMap<String, Quantity>>| {
            all.is_some_and(|all| all.contains_key(resource))
        };
        resources.is_some_and(|it| has(it.requests.as_ref()) || has(it.limits.as_ref()))
    }

    /// What the worker's processes may do.
    pub(crate) fn worker_security(&mut self) -> &mut SecurityContext {
        self.worker.security_context.get_or_insert_default()
    }

    /// What the pod's processes may do.
    pub(crate) fn pod_security(&mut self) -> &mut PodSecurityContext {
        self.spec.security_context.get_or_insert_default()
    }

    /// Where the pod may be.
    pub(crate) fn affinity(&mut self) -> &mut Affinity {
        self.spec.affinity.get_or_insert_default()
    }

    /// A node must satisfy one of these lists of requirements, beside what it must satisfy already.
    // A node must satisfy one of the terms, and all expressions in it: so each old term is combined with each new one.
    pub(crate) fn need(&mut self, alternatives: &[Vec<NodeSelectorRequirement>]) {
        if alternatives.is_empty() {
            return;
        }
        let nodes = self.affinity().node_affinity.get_or_insert_default();
        let before = nodes
            .required_during_scheduling_ignored_during_execution
            .take()
            .map(|selector| selector.node_selector_terms)
            .filter(|terms| !terms.is_empty())
            .unwrap_or_else(|| vec![NodeSelectorTerm::default()]);
        let both = |(term, more): (&NodeSelectorTerm, &Vec<NodeSelectorRequirement>)| {
            let mut term = term.clone();
            let all = term.match_expressions.get_or_insert_default();
            all.extend(more.iter().cloned());
            term
        };
        let terms = before
            .iter()
            .flat_map(|term| alternatives.iter().map(move |more| (term, more)))
            .map(both)
            .collect();
        nodes.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
            node_selector_terms: terms,
        });
    }
}

/// Where a container finds a volume.
pub(crate) fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

/// A variable with this value.
pub(crate) fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

/// Bytes as Kubernetes has them. Whole mebibytes are written as such, so that users recognise their own setting.
pub(crate) fn bytes(bytes: u64) -> Quantity {
    Quantity(super::units::show_bytes(bytes))
}

/// Thousandths of a core, as Kubernetes has them.
pub(crate) fn millicores(millicores: u64) -> Quantity {
    Quantity(format!("{millicores}m"))
}
