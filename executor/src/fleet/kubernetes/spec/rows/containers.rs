//! Containers beside the worker's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvFromSource, ResourceRequirements, SecretEnvSource, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::draft::{Draft, bytes, millicores, plain};
use super::super::given::{fill_list, records};
use super::super::names;
use super::super::row::{Check, Row, Wrong, list};
use crate::fleet::kubernetes::job::CONTAINER;
use crate::fleet::worker_spec::{PodContainer, Qos, WorkerSpec};

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "init_container",
        "PODPOOL_INIT_CONTAINERS",
        "init_containers",
        |spec, given| fill_list(&mut spec.init_containers, given, records),
    )
    .hidden()
    .check(|spec| check(&spec.init_containers, &[]))
    .shown(|spec| list(&spec.init_containers, text))
    .write(|spec, draft| add(spec, draft, &spec.init_containers, None)),
    Row::new("sidecar", "PODPOOL_SIDECARS", "sidecars", |spec, given| {
        fill_list(&mut spec.sidecars, given, records)
    })
    .hidden()
    .check(|spec| check(&spec.sidecars, &spec.init_containers))
    .shown(|spec| list(&spec.sidecars, text))
    .write(|spec, draft| add(spec, draft, &spec.sidecars, Some("Always"))),
];

/// Its variables may be secret.
fn text(container: &PodContainer) -> String {
    format!("{} of {}", container.name, container.image)
}

fn check(all: &[PodContainer], before: &[PodContainer]) -> Check {
    for (number, container) in all.iter().enumerate() {
        names::object(&container.name, 63)?;
        names::image(&container.image)?;
        let mut others = before.iter().chain(&all[..number]);
        let taken = others.any(|other| other.name == container.name);
        if container.name == CONTAINER || taken {
            let reason = "another container of the pod has this name";
            return Err(Wrong::new(&container.name, reason));
        }
        if container.cpu == Some(0) || container.memory == Some(0) {
            let reason = "zero is no request; leave it out";
            return Err(Wrong::new(&container.name, reason));
        }
        for (name, value) in &container.env {
            names::variable(name, value)?;
        }
        names::objects(&container.env_from_secrets)?;
    }
    Ok(())
}

/// Sidecars come before init containers in the list, so that these can use them.
// A container of `initContainers` with the restart policy Always is a sidecar: it does not keep a Job from its end.
// <https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#jobs-with-sidecar-containers>
fn add(spec: &WorkerSpec, draft: &mut Draft, all: &[PodContainer], restart: Option<&str>) {
    if all.is_empty() {
        return;
    }
    let made: Vec<_> = all
        .iter()
        .map(|one| container(one, spec.qos, restart))
        .collect();
    let list = draft.spec.init_containers.get_or_insert_default();
    let own = spec.init_containers.first().map(|one| &one.name);
    let at = match restart {
        Some(_) => list.iter().position(|one| Some(&one.name) == own),
        None => None,
    };
    let at = at.unwrap_or(list.len());
    list.splice(at..at, made);
}

fn container(one: &PodContainer, qos: Option<Qos>, restart: Option<&str>) -> Container {
    let some = |words: &[String]| Some(words.to_vec()).filter(|words| !words.is_empty());
    let env: Vec<_> = one
        .env
        .iter()
        .map(|(name, value)| plain(name, value))
        .collect();
    let secrets = one.env_from_secrets.iter().cloned();
    let env_from: Vec<_> = secrets
        .map(|name| EnvFromSource {
            secret_ref: Some(SecretEnvSource {
                name,
                optional: Some(false),
            }),
            ..EnvFromSource::default()
        })
        .collect();
    Container {
        name: one.name.clone(),
        image: Some(one.image.clone()),
        command: some(&one.command),
        args: some(&one.args),
        env: Some(env).filter(|env| !env.is_empty()),
        env_from: Some(env_from).filter(|from| !from.is_empty()),
        resources: resources(one, qos),
        restart_policy: restart.map(str::to_owned),
        // What the restricted Pod Security Standard requires of every container.
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn resources(one: &PodContainer, qos: Option<Qos>) -> Option<ResourceRequirements> {
    let mut requests: BTreeMap<String, Quantity> = BTreeMap::new();
    let mut limits = BTreeMap::new();
    if let Some(cpu) = one.cpu {
        requests.insert("cpu".to_owned(), millicores(cpu));
        if qos == Some(Qos::Guaranteed) {
            limits.insert("cpu".to_owned(), millicores(cpu));
        }
    }
    if let Some(memory) = one.memory {
        requests.insert("memory".to_owned(), bytes(memory));
        limits.insert("memory".to_owned(), bytes(memory));
    }
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    (!requests.is_empty()).then_some(ResourceRequirements {
        requests: Some(requests),
        limits,
        claims: None,
    })
}
