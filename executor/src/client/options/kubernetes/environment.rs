//! Options of the workers' environment: variables, and files from secrets and config maps.

use super::KubernetesOptions;
use crate::fleet::worker_spec::{ConfigMapFile, KeyOf, SecretFile};

impl KubernetesOptions {
    /// A variable of the workers; or `PODPOOL_WORKER_ENV`, as `NAME=value,NAME=value`. The master's own environment
    /// does not go to them. A secret value is better in a secret: this one is a part of the pod, which others may read.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.env.push((name.into(), value.into()));
        self
    }

    /// A secret of the namespace whose every key becomes a variable of the workers; or `PODPOOL_ENV_FROM_SECRETS`, with
    /// commas.
    pub fn env_from_secret(mut self, name: impl Into<String>) -> Self {
        self.spec.env_from_secrets.push(name.into());
        self
    }

    /// A config map of the namespace whose every key becomes a variable of the workers; or
    /// `PODPOOL_ENV_FROM_CONFIG_MAPS`, with commas.
    pub fn env_from_config_map(mut self, name: impl Into<String>) -> Self {
        self.spec.env_from_config_maps.push(name.into());
        self
    }

    /// A variable of the workers with the value of one key of a secret; or `PODPOOL_SECRET_ENV`, as
    /// `NAME=secret/key,NAME=secret/key`.
    pub fn secret_env(
        mut self,
        name: impl Into<String>,
        secret: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        let (object, key) = (secret.into(), key.into());
        self.spec
            .secret_env
            .insert(name.into(), KeyOf { object, key });
        self
    }

    /// A variable of the workers with the value of one key of a config map; or `PODPOOL_CONFIG_MAP_ENV`, as
    /// `NAME=map/key,NAME=map/key`.
    pub fn config_map_env(
        mut self,
        name: impl Into<String>,
        config_map: impl Into<String>,
        key: impl Into<String>,
    ) -> Self {
        let (object, key) = (config_map.into(), key.into());
        self.spec
            .config_map_env
            .insert(name.into(), KeyOf { object, key });
        self
    }

    /// A key of a secret, as a file of the workers at this absolute path; or `PODPOOL_SECRET_FILES`, as
    /// `secret/key=/path,secret/key=/path`.
    pub fn secret_file(
        mut self,
        secret: impl Into<String>,
        key: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        self.spec.secret_files.push(SecretFile {
            secret: secret.into(),
            key: key.into(),
            path: path.into(),
        });
        self
    }

    /// A key of a config map, as a file of the workers at this absolute path; or `PODPOOL_CONFIG_MAP_FILES`, as
    /// `map/key=/path,map/key=/path`.
    pub fn config_map_file(
        mut self,
        config_map: impl Into<String>,
        key: impl Into<String>,
        path: impl Into<String>,
    ) -> Self {
        self.spec.config_map_files.push(ConfigMapFile {
            config_map: config_map.into(),
            key: key.into(),
            path: path.into(),
        });
        self
    }
}
