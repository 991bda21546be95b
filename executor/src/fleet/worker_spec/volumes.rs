//! What workers find in their file system beside the image.

/// One key of a secret, as a file.
///
/// As a variable or in `podpool.toml`: `secret/key=/path`; in the file also a table `{ secret, key, path }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The secret, in the workers' namespace.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// Where workers find it: an absolute path.
    pub path: String,
}

/// One key of a config map, as a file.
///
/// As a variable or in `podpool.toml`: `map/key=/path`; in the file also a table `{ config_map, key, path }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapFile {
    /// The config map, in the workers' namespace.
    pub config_map: String,
    /// The key in it.
    pub key: String,
    /// Where workers find it: an absolute path.
    pub path: String,
}

/// One key of a secret or a config map, whose value becomes a variable.
///
/// As a variable or in `podpool.toml`: `object/key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOf {
    /// The secret or the config map, in the workers' namespace.
    pub object: String,
    /// The key in it.
    pub key: String,
}

/// A persistent volume claim that exists, as a directory of every worker.
///
/// As a variable or in `podpool.toml`: `claim=/path` or `claim=/path:ro`; in the file also a table
/// `{ claim, path, read_only }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub(crate) claim: String,
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

/// A volume that is made for each worker, and removed with its pod.
/// <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes>
///
/// As a variable or in `podpool.toml`: `/path=100Gi` or `/path=100Gi:storage-class`; in the file also a table
/// `{ path, size, storage_class }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EphemeralVolume {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) storage_class: Option<String>,
}

impl EphemeralVolume {
    /// A volume of so many bytes at this absolute path, of the cluster's default storage class. At `/tmp` it takes the
    /// place of the directory that every worker has there.
    pub fn new(path: impl Into<String>, bytes: u64) -> Self {
        Self {
            path: path.into(),
            bytes,
            storage_class: None,
        }
    }

    /// The storage class. Default: the cluster's.
    #[must_use]
    pub fn storage_class(mut self, name: impl Into<String>) -> Self {
        self.storage_class = Some(name.into());
        self
    }
}

/// A directory in memory. What is stored there counts against the worker's memory limit.
/// <https://kubernetes.io/docs/concepts/storage/volumes/#emptydir>
///
/// As a variable or in `podpool.toml`: `/path=2Gi`, or `/path=2Gi:temp_dir`; in the file also a table
/// `{ path, size, temp_dir }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) temp_dir: bool,
}

impl Tmpfs {
    /// A directory of at most so many bytes at this absolute path. At `/tmp` it takes the place of the directory on
    /// disk that every worker has there.
    pub fn new(path: impl Into<String>, bytes: u64) -> Self {
        Self {
            path: path.into(),
            bytes,
            temp_dir: false,
        }
    }

    /// Tasks find it as `TMPDIR`, so that libraries put temporary files there.
    #[must_use]
    pub const fn temp_dir(mut self) -> Self {
        self.temp_dir = true;
        self
    }
}
