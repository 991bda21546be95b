//! Options of the workers' volumes.

use super::KubernetesOptions;
use crate::fleet::worker_spec::{Claim, EphemeralVolume, Tmpfs};

impl KubernetesOptions {
    /// A persistent volume claim of the namespace, as a directory of every worker at this absolute path; may be called
    /// more than once. Or `PODPOOL_PVCS`, as `claim=/path,claim=/path:ro`. A claim that workers of several nodes write
    /// to needs the access mode `ReadWriteMany`; files of another user need [`fs_group`](Self::fs_group) too.
    pub fn pvc(mut self, claim: impl Into<String>, path: impl Into<String>) -> Self {
        self.spec.claims.push(Claim {
            claim: claim.into(),
            path: path.into(),
            read_only: false,
        });
        self
    }

    /// The same, where workers only read.
    pub fn pvc_read_only(mut self, claim: impl Into<String>, path: impl Into<String>) -> Self {
        self.spec.claims.push(Claim {
            claim: claim.into(),
            path: path.into(),
            read_only: true,
        });
        self
    }

    /// A volume that is made for each worker and removed with its pod; may be called more than once. Workers can write
    /// to it: without [`fs_group`](Self::fs_group) its files belong to the workers' group. Or
    /// `PODPOOL_EPHEMERAL_VOLUMES`, as `/path=100Gi,/path=100Gi:storage-class`.
    pub fn ephemeral_volume(mut self, volume: EphemeralVolume) -> Self {
        self.spec.ephemeral_volumes.push(volume);
        self
    }

    /// A directory in memory, which counts against the worker's memory; may be called more than once. Or
    /// `PODPOOL_TMPFS`, as `/path=2Gi,/path=2Gi:temp_dir`.
    pub fn tmpfs(mut self, directory: Tmpfs) -> Self {
        self.spec.tmpfs.push(directory);
        self
    }

    /// The size of `/dev/shm`, in bytes, which counts against the worker's memory. Default: 64 MiB, that of container
    /// runtimes; or `PODPOOL_SHM`.
    pub const fn shm(mut self, bytes: u64) -> Self {
        self.spec.shm = Some(bytes);
        self
    }
}
