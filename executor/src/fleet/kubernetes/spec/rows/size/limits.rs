//! The bounds of a worker's resources, and what they become in its container.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::super::draft::{Draft, bytes};
use super::super::super::row::{Check, Wrong};
use super::super::super::units::{MOST_MILLICORES, show_bytes};
use crate::fleet::worker_spec::{Qos, WorkerSpec};

/// More memory or disk than any node has, in bytes.
const MOST_BYTES: u64 = 1 << 50;
/// Less memory than any worker needs, in bytes.
const LEAST_MEMORY: u64 = 16 << 20;
/// Less disk than any worker needs, in bytes.
const LEAST_DISK: u64 = 1 << 20;

pub(super) fn cores(cpu: Option<u64>) -> Check {
    match cpu {
        Some(0) => Err(Wrong::new(0, "use 1m or more")),
        Some(cpu) if cpu >= MOST_MILLICORES => {
            let reason = "no node has a thousand cores; the unit is a thousandth of a core";
            Err(Wrong::new(cpu, reason))
        }
        _ => Ok(()),
    }
}

pub(super) fn memory(memory: Option<u64>) -> Check {
    match memory {
        Some(memory) if memory > MOST_BYTES => {
            let reason = "no node has more than 1 PiB; the unit is a byte";
            Err(Wrong::new(memory, reason))
        }
        Some(memory) if memory < LEAST_MEMORY => {
            let reason = "use 16Mi or more, in bytes or with a unit";
            Err(Wrong::new(memory, reason))
        }
        _ => Ok(()),
    }
}

pub(super) fn disk(disk: Option<u64>) -> Check {
    match disk {
        Some(disk) if !(LEAST_DISK..=MOST_BYTES).contains(&disk) => {
            Err(Wrong::new(disk, "use 1Mi to 1 PiB; the unit is a byte"))
        }
        _ => Ok(()),
    }
}

pub(super) fn cpu(spec: &WorkerSpec) -> Check {
    cores(spec.cpu_limit)?;
    let request = spec.cpu_millicores();
    match spec.cpu_limit {
        Some(limit) if limit < request => {
            let reason = format!("it is below the request, cpu, which is {request}m");
            Err(Wrong::new(format!("{limit}m"), reason))
        }
        _ => Ok(()),
    }
}

pub(super) fn memory_limit(spec: &WorkerSpec) -> Check {
    memory(spec.memory_limit)?;
    below(spec.memory_limit, spec.memory_bytes(), "memory")
}

pub(super) fn scratch_limit(spec: &WorkerSpec) -> Check {
    disk(spec.scratch_limit)?;
    below(
        spec.scratch_limit,
        spec.scratch.unwrap_or_default(),
        "scratch",
    )
}

fn below(limit: Option<u64>, request: u64, option: &str) -> Check {
    match limit {
        Some(limit) if limit < request => {
            let request = show_bytes(request);
            let reason = format!("it is below the request, {option}, which is {request}");
            Err(Wrong::new(show_bytes(limit), reason))
        }
        _ => Ok(()),
    }
}

/// The memory limit is the request, unless another is set: a worker that uses more than its request is killed alone,
/// before its node runs out of memory. There is no CPU limit: idle cores may be used.
/// <https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/>
pub(super) fn write_memory(spec: &WorkerSpec, draft: &mut Draft) {
    if spec.memory.is_none() && draft.asks_for("memory") {
        return;
    }
    let memory = bytes(spec.memory_bytes());
    draft.request("memory", memory.clone());
    draft.limit("memory", memory);
}

/// Request and limit of the disk, and the bound of `/tmp`, where most of it is used.
pub(super) fn write_scratch(spec: &WorkerSpec, draft: &mut Draft) {
    if let Some(disk) = spec.scratch {
        draft.request("ephemeral-storage", bytes(disk));
        draft.limit("ephemeral-storage", bytes(disk));
        draft.bound_temporary(bytes(disk));
    }
}

/// A resource that is not shared: its request and its limit must be equal.
pub(super) fn whole(draft: &mut Draft, name: &str, count: u64) {
    draft.request(name, Quantity(count.to_string()));
    draft.limit(name, Quantity(count.to_string()));
}

pub(super) fn qos(spec: &WorkerSpec) -> Check {
    if spec.qos != Some(Qos::Guaranteed) {
        return Ok(());
    }
    let differ = |limit: Option<u64>, request: u64| limit.is_some_and(|limit| limit != request);
    let wrong = if differ(spec.cpu_limit, spec.cpu_millicores()) {
        "cpu_limit is not cpu"
    } else if differ(spec.memory_limit, spec.memory_bytes()) {
        "memory_limit is not memory"
    } else {
        return Ok(());
    };
    let reason = format!("limits equal requests in this class, and {wrong}; leave the limit out");
    Err(Wrong::new("Guaranteed", reason))
}

pub(super) fn write_qos(spec: &WorkerSpec, draft: &mut Draft) {
    if spec.qos != Some(Qos::Guaranteed) {
        return;
    }
    let requests = draft.worker.resources.as_ref();
    let requests = requests.and_then(|all| all.requests.clone());
    for resource in ["cpu", "memory"] {
        let request = requests.as_ref().and_then(|all| all.get(resource));
        if let Some(request) = request {
            draft.limit(resource, request.clone());
        }
    }
}
