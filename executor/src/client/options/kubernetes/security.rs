//! Options of what the workers' processes may do. The defaults satisfy the restricted Pod Security Standard.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use super::KubernetesOptions;
use crate::fleet::worker_spec::Seccomp;

impl KubernetesOptions {
    /// The user that the pod's processes run as, by its number. Default: 65532; or `PODPOOL_RUN_AS_USER`. 0 is root,
    /// which a namespace with the restricted Pod Security Standard refuses.
    pub const fn run_as_user(mut self, user: u32) -> Self {
        self.spec.run_as_user = Some(user);
        self
    }

    /// Their group, by its number. Default: 65532; or `PODPOOL_RUN_AS_GROUP`.
    pub const fn run_as_group(mut self, group: u32) -> Self {
        self.spec.run_as_group = Some(group);
        self
    }

    /// The group that owns the files of volumes, so that workers can write to them. Default: none, except with an
    /// [`ephemeral_volume`](Self::ephemeral_volume); or `PODPOOL_FS_GROUP`.
    /// <https://kubernetes.io/docs/tasks/configure-pod-container/security-context/>
    pub const fn fs_group(mut self, group: u32) -> Self {
        self.spec.fs_group = Some(group);
        self
    }

    /// Whether the image's files are read-only for the worker; `/tmp` and volumes are not. Default: true; or
    /// `PODPOOL_READ_ONLY_ROOT`.
    pub const fn read_only_root(mut self, read_only: bool) -> Self {
        self.spec.read_only_root = Some(read_only);
        self
    }

    /// The profile of system calls of the pod. Default: [`Seccomp::RuntimeDefault`]; or `PODPOOL_SECCOMP`, as
    /// `RuntimeDefault`, `Unconfined` or `Localhost/path`.
    pub fn seccomp(mut self, profile: Seccomp) -> Self {
        self.spec.seccomp = Some(profile);
        self
    }

    /// Capabilities that the worker's processes lose. Default: `ALL`, which the restricted Pod Security Standard
    /// requires; or `PODPOOL_DROP_CAPABILITIES`, with commas.
    pub fn drop_capabilities<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.spec.drop_capabilities = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// A capability that the worker's processes keep or get, such as `SYS_PTRACE`; or `PODPOOL_ADD_CAPABILITIES`, with
    /// commas. The restricted Pod Security Standard allows `NET_BIND_SERVICE` alone.
    pub fn add_capability(mut self, name: impl Into<String>) -> Self {
        self.spec.add_capabilities.push(name.into());
        self
    }
}
