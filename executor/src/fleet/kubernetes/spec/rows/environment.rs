//! The workers' variables.

use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, ConfigMapKeySelector, EnvFromSource, EnvVar, EnvVarSource, SecretEnvSource,
    SecretKeySelector,
};

use super::super::draft::{Draft, plain};
use super::super::given::{fill_list, fill_map, key_of, variables, words};
use super::super::names;
use super::super::row::{Check, HIDDEN, Row, list, map};
use crate::fleet::worker_spec::{KeyOf, WorkerSpec};

// Variables from elsewhere come first, so that `$(NAME)` in a value of `env` finds them.
// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
pub(super) const ROWS: [Row; 5] = [
    Row::new(
        "env_from_secret",
        "PODPOOL_ENV_FROM_SECRETS",
        "env_from_secrets",
        |spec, given| fill_list(&mut spec.env_from_secrets, given, words),
    )
    .check(|spec| names::objects(&spec.env_from_secrets))
    .shown(|spec| list(&spec.env_from_secrets, Clone::clone))
    .write(|spec, draft| {
        let sources = spec.env_from_secrets.iter().cloned();
        from(
            draft,
            sources.map(|name| EnvFromSource {
                secret_ref: Some(SecretEnvSource {
                    name,
                    optional: Some(false),
                }),
                ..EnvFromSource::default()
            }),
        );
    }),
    Row::new(
        "env_from_config_map",
        "PODPOOL_ENV_FROM_CONFIG_MAPS",
        "env_from_config_maps",
        |spec, given| fill_list(&mut spec.env_from_config_maps, given, words),
    )
    .check(|spec| names::objects(&spec.env_from_config_maps))
    .shown(|spec| list(&spec.env_from_config_maps, Clone::clone))
    .write(|spec, draft| {
        let sources = spec.env_from_config_maps.iter().cloned();
        from(
            draft,
            sources.map(|name| EnvFromSource {
                config_map_ref: Some(ConfigMapEnvSource {
                    name,
                    optional: Some(false),
                }),
                ..EnvFromSource::default()
            }),
        );
    }),
    Row::new(
        "secret_env",
        "PODPOOL_SECRET_ENV",
        "secret_env",
        |spec, given| fill_map(&mut spec.secret_env, given, key_of),
    )
    .check(|spec| spec.secret_env.iter().try_for_each(check_key))
    .shown(|spec| map(&spec.secret_env, key_text))
    .write(|spec, draft| {
        for (name, KeyOf { object, key }) in &spec.secret_env {
            let source = EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: object.clone(),
                    key: key.clone(),
                    optional: Some(false),
                }),
                ..EnvVarSource::default()
            };
            draft.env(value_from(name, source));
        }
    }),
    Row::new(
        "config_map_env",
        "PODPOOL_CONFIG_MAP_ENV",
        "config_map_env",
        |spec, given| fill_map(&mut spec.config_map_env, given, key_of),
    )
    .check(|spec| spec.config_map_env.iter().try_for_each(check_key))
    .shown(|spec| map(&spec.config_map_env, key_text))
    .write(|spec, draft| {
        for (name, KeyOf { object, key }) in &spec.config_map_env {
            let source = EnvVarSource {
                config_map_key_ref: Some(ConfigMapKeySelector {
                    name: object.clone(),
                    key: key.clone(),
                    optional: Some(false),
                }),
                ..EnvVarSource::default()
            };
            draft.env(value_from(name, source));
        }
    }),
    Row::new("env", "PODPOOL_WORKER_ENV", "env", |spec, given| {
        let mut filled = Vec::new();
        for (name, value) in variables(given)? {
            if !spec.env.iter().any(|(set, _)| *set == name) {
                filled.push(name.clone());
                spec.env.push((name, value));
            }
        }
        Ok(filled)
    })
    .hidden()
    .check(check_env)
    .shown(|spec| {
        let all = spec.env.iter();
        all.map(|(name, _)| (name.clone(), HIDDEN.to_owned()))
            .collect()
    })
    .write(|spec, draft| {
        for (name, value) in &spec.env {
            draft.env(plain(name, value));
        }
    }),
];

fn check_env(spec: &WorkerSpec) -> Check {
    let mut all = spec.env.iter();
    all.try_for_each(|(name, value)| names::variable(name, value))
}

fn check_key((name, KeyOf { object, key }): (&String, &KeyOf)) -> Check {
    names::variable(name, "")?;
    names::object(object, 253)?;
    names::data_key(key)
}

fn key_text(KeyOf { object, key }: &KeyOf) -> String {
    format!("{object}/{key}")
}

fn value_from(name: &str, source: EnvVarSource) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(source),
    }
}

fn from(draft: &mut Draft, sources: impl ExactSizeIterator<Item = EnvFromSource>) {
    if sources.len() > 0 {
        let all = draft.worker.env_from.get_or_insert_default();
        all.extend(sources);
    }
}
