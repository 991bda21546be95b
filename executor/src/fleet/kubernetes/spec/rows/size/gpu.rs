//! GPUs.

use super::super::super::given::{fill, number, one_of, word};
use super::super::super::names;
use super::super::super::row::{Check, Row, Wrong, one};
use super::limits;
use crate::fleet::worker_spec::{GpuVendor, WorkerSpec};
use k8s_openapi::api::core::v1::Toleration;

/// The label of GKE's nodes with GPUs.
/// <https://cloud.google.com/kubernetes-engine/docs/how-to/gpus>
const GKE_TYPE: &str = "cloud.google.com/gke-accelerator";
/// More GPUs than any node has.
const MOST: u32 = 64;
const VENDORS: [GpuVendor; 3] = [GpuVendor::Nvidia, GpuVendor::Amd, GpuVendor::Intel];

pub(super) const COUNT: Row = Row::new("gpu", "PODPOOL_GPU", "gpu", |spec, given| {
    fill(&mut spec.gpu, given, number)
})
.check(|spec| match spec.gpu {
    Some(gpus) if !(1..=MOST).contains(&gpus) => Err(Wrong::new(
        gpus,
        "use 1 to 64, or leave it out for workers without",
    )),
    _ => Ok(()),
})
.shown(|spec| one(spec.gpu.as_ref(), u32::to_string))
.write(|spec, draft| {
    let Some(gpus) = spec.gpu else { return };
    let resource = vendor(spec).resource();
    limits::whole(draft, resource, u64::from(gpus));
    // Clouds give their nodes with GPUs a taint of the resource's name.
    // <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration>
    draft
        .spec
        .tolerations
        .get_or_insert_default()
        .push(Toleration {
            key: Some(resource.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoSchedule".to_owned()),
            ..Toleration::default()
        });
});

pub(super) const VENDOR: Row = Row::new(
    "gpu_vendor",
    "PODPOOL_GPU_VENDOR",
    "gpu_vendor",
    |spec, given| {
        fill(&mut spec.gpu_vendor, given, |given| {
            one_of(given, &VENDORS, GpuVendor::as_str)
        })
    },
)
.check(|spec| of_gpus(spec, spec.gpu_vendor.map(GpuVendor::as_str)))
.shown(|spec| {
    one(spec.gpu_vendor.as_ref(), |vendor| {
        vendor.as_str().to_owned()
    })
});

pub(super) const TYPE: Row = Row::new("gpu_type", "PODPOOL_GPU_TYPE", "gpu_type", |spec, given| {
    fill(&mut spec.gpu_type, given, word)
})
.check(|spec| {
    let Some(name) = &spec.gpu_type else {
        return Ok(());
    };
    names::value(GKE_TYPE, name)?;
    of_gpus(spec, Some(name))
})
.shown(|spec| one(spec.gpu_type.as_ref(), Clone::clone))
.write(|spec, draft| {
    if let Some(name) = &spec.gpu_type {
        let labels = draft.spec.node_selector.get_or_insert_default();
        labels.insert(GKE_TYPE.to_owned(), name.clone());
    }
});

fn vendor(spec: &WorkerSpec) -> GpuVendor {
    spec.gpu_vendor.unwrap_or(GpuVendor::Nvidia)
}

/// A property of GPUs without GPUs has no effect, so the user forgot something.
fn of_gpus(spec: &WorkerSpec, value: Option<&str>) -> Check {
    match value {
        Some(value) if spec.gpu.is_none() => Err(Wrong::new(
            value,
            "no GPU is asked for; set gpu (PODPOOL_GPU) too",
        )),
        _ => Ok(()),
    }
}
