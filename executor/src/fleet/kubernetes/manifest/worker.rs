//! The pods that a master makes, without what belongs to one run.

use k8s_openapi::api::core::v1::{PodTemplate, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use podpool_core::broker::ClassId;
use podpool_core::id::RunId;

use super::super::job::{self, Cohort};
use super::super::spec::WorkerSpec;
use super::yaml::document;
use super::{Manifest, ManifestError};

/// The volume that holds the Secret of a run.
const RUN: &str = "run";

impl Manifest {
    /// The settings of the workers, completed by those of the manifest.
    pub(super) fn worker_spec(&self) -> WorkerSpec {
        let mut spec = self.workers.clone();
        spec.image.get_or_insert_with(|| self.image.clone());
        spec.namespace.get_or_insert_with(|| self.namespace.clone());
        spec.service_account.get_or_insert_with(|| self.worker());
        for (key, value) in &self.labels {
            let entry = spec.labels.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
        spec
    }
}

pub(super) fn text(manifest: &Manifest) -> Result<String, ManifestError> {
    let comments = [
        "The pods of workers, as a master makes them. A master does not read this: it adds the Secret of its run, mounted at",
        "/etc/podpool/run, and the labels and variables of the run and the cohort.",
    ];
    let template = PodTemplate {
        metadata: manifest.meta(&format!("{}-worker", manifest.name), "worker"),
        template: Some(template(manifest)?),
    };
    document(&comments, &template)
}

fn template(manifest: &Manifest) -> Result<PodTemplateSpec, ManifestError> {
    let spec = manifest.worker_spec();
    let run = RunId::new("run");
    let run = run.map_err(|error| ManifestError::new("a run", "run", error.to_string()))?;
    let cohort = Cohort {
        run: &run,
        number: 0,
        class: ClassId::DEFAULT,
        size: 1,
        lasts: spec.run_deadline(),
        deadline: 0,
        secret: "",
        owner: None,
        suspended: true,
    };
    let mut pod = job::job(&spec, &cohort)
        .spec
        .and_then(|spec| spec.template.spec)
        .unwrap_or_default();
    pod.volumes
        .iter_mut()
        .for_each(|volumes| volumes.retain(|volume| volume.name != RUN));
    for container in &mut pod.containers {
        let mounts = container.volume_mounts.iter_mut();
        mounts.for_each(|mounts| mounts.retain(|mount| mount.name != RUN));
        let of_run =
            |name: &str| matches!(name, "PODPOOL_RUN_DIR" | "PODPOOL_COHORT" | "PODPOOL_CLASS");
        let env = container.env.iter_mut();
        env.for_each(|env| env.retain(|it| !of_run(&it.name)));
    }
    Ok(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(manifest.labels("worker")),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    })
}
