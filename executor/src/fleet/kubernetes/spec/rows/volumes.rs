//! Directories of workers: persistent, of each worker, in memory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EphemeralVolumeSource, PersistentVolumeClaimSpec,
    PersistentVolumeClaimTemplate, PersistentVolumeClaimVolumeSource, Volume,
    VolumeResourceRequirements,
};

use super::super::draft::{self, plain};
use super::super::given::{bytes, fill, fill_list, records};
use super::super::names;
use super::super::row::{Check, Row, Wrong, list, one};
use super::super::units::show_bytes;
use super::files::numbered;
use crate::fleet::worker_spec::{Claim, EphemeralVolume, WorkerSpec};

/// Where programs expect shared memory.
const SHM: &str = "/dev/shm";
/// Smaller volumes help nobody: the unit is a byte.
const LEAST: u64 = 1 << 20;

pub(super) const ROWS: [Row; 4] = [
    Row::new("pvc", "PODPOOL_PVCS", "pvcs", |spec, given| {
        fill_list(&mut spec.claims, given, records)
    })
    .check(|spec| {
        spec.claims.iter().try_for_each(|claim| {
            names::object(&claim.claim, 253)?;
            names::directory(&claim.path)
        })
    })
    .shown(|spec| {
        list(
            &spec.claims,
            |Claim {
                 claim,
                 path,
                 read_only,
             }| {
                let ro = if *read_only { ":ro" } else { "" };
                format!("{claim}={path}{ro}")
            },
        )
    })
    .write(|spec, draft| {
        for claim in &spec.claims {
            let source = PersistentVolumeClaimVolumeSource {
                claim_name: claim.claim.clone(),
                read_only: Some(claim.read_only),
            };
            let volume = Volume {
                name: numbered(draft, "pvc"),
                persistent_volume_claim: Some(source),
                ..Volume::default()
            };
            draft.directory(volume, &claim.path, claim.read_only);
        }
    }),
    Row::new(
        "ephemeral_volume",
        "PODPOOL_EPHEMERAL_VOLUMES",
        "ephemeral_volumes",
        |spec, given| fill_list(&mut spec.ephemeral_volumes, given, records),
    )
    .check(|spec| {
        spec.ephemeral_volumes.iter().try_for_each(|volume| {
            names::directory(&volume.path)?;
            names::objects(&volume.storage_class)?;
            size(volume.bytes)
        })
    })
    .shown(|spec| {
        list(&spec.ephemeral_volumes, |volume| {
            let class = volume.storage_class.as_ref();
            let class = class.map_or_else(String::new, |class| format!(":{class}"));
            format!("{}={}{class}", volume.path, show_bytes(volume.bytes))
        })
    })
    .write(|spec, draft| {
        for volume in &spec.ephemeral_volumes {
            let source = ephemeral(volume);
            let made = Volume {
                name: numbered(draft, "ephemeral"),
                ephemeral: Some(source),
                ..Volume::default()
            };
            draft.directory(made, &volume.path, false);
        }
    }),
    Row::new("tmpfs", "PODPOOL_TMPFS", "tmpfs", |spec, given| {
        fill_list(&mut spec.tmpfs, given, records)
    })
    .check(check_tmpfs)
    .shown(|spec| {
        list(&spec.tmpfs, |tmpfs| {
            let rest = if tmpfs.temp_dir { ":temp_dir" } else { "" };
            format!("{}={}{rest}", tmpfs.path, show_bytes(tmpfs.bytes))
        })
    })
    .write(|spec, draft| {
        for tmpfs in &spec.tmpfs {
            let volume = memory(numbered(draft, "tmpfs"), tmpfs.bytes);
            draft.directory(volume, &tmpfs.path, false);
            if tmpfs.temp_dir {
                draft.env(plain("TMPDIR", &tmpfs.path));
            }
        }
    }),
    Row::new("shm", "PODPOOL_SHM", "shm", |spec, given| {
        fill(&mut spec.shm, given, bytes)
    })
    .check(|spec| match spec.shm {
        Some(bytes) => in_memory(spec, bytes),
        None => Ok(()),
    })
    .shown(|spec| one(spec.shm.as_ref(), |bytes| show_bytes(*bytes)))
    .write(|spec, draft| {
        if let Some(bytes) = spec.shm {
            let name = draft.free_name("shm");
            draft.directory(memory(name, bytes), SHM, false);
        }
    }),
];

fn size(bytes: u64) -> Check {
    // The API has sizes in 63 bits.
    if (LEAST..=1 << 62).contains(&bytes) {
        return Ok(());
    }
    let reason = "use 1Mi or more; the unit is a byte";
    Err(Wrong::new(bytes, reason))
}

/// What lies in memory counts against the worker's limit: more than that can never be stored.
fn in_memory(spec: &WorkerSpec, bytes: u64) -> Check {
    size(bytes)?;
    let limit = spec.memory_limit_bytes();
    if bytes <= limit {
        return Ok(());
    }
    let reason = format!(
        "it is in memory, and is more than the worker's memory, {}; raise memory (PODPOOL_MEMORY) too",
        show_bytes(limit)
    );
    Err(Wrong::new(show_bytes(bytes), reason))
}

fn check_tmpfs(spec: &WorkerSpec) -> Check {
    for tmpfs in &spec.tmpfs {
        names::directory(&tmpfs.path)?;
        in_memory(spec, tmpfs.bytes)?;
    }
    let mut temporary = spec.tmpfs.iter().filter(|tmpfs| tmpfs.temp_dir);
    if temporary.next().is_none() {
        return Ok(());
    }
    if let Some(second) = temporary.next() {
        let reason = "only one directory can be TMPDIR";
        return Err(Wrong::new(&second.path, reason));
    }
    if spec.env.iter().any(|(name, _)| name == "TMPDIR") {
        return Err(Wrong::new(
            "temp_dir",
            "env sets TMPDIR too; leave one of them out",
        ));
    }
    Ok(())
}

fn memory(name: String, bytes: u64) -> Volume {
    Volume {
        name,
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(draft::bytes(bytes)),
        }),
        ..Volume::default()
    }
}

fn ephemeral(volume: &EphemeralVolume) -> EphemeralVolumeSource {
    let requests = BTreeMap::from([("storage".to_owned(), draft::bytes(volume.bytes))]);
    EphemeralVolumeSource {
        volume_claim_template: Some(PersistentVolumeClaimTemplate {
            metadata: None,
            spec: PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                storage_class_name: volume.storage_class.clone(),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(requests),
                    limits: None,
                }),
                ..PersistentVolumeClaimSpec::default()
            },
        }),
    }
}
