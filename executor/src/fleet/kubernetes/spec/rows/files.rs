//! Keys of secrets and config maps that workers see as files.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};

use super::super::draft::{Draft, mount};
use super::super::given::{fill_list, records};
use super::super::names;
use super::super::row::{Check, Row, list};
use crate::fleet::worker_spec::{ConfigMapFile, SecretFile};

/// The worker is not root, and the files of these volumes belong to root.
const READABLE: i32 = 0o444;

pub(super) const ROWS: [Row; 2] = [
    Row::new(
        "secret_file",
        "PODPOOL_SECRET_FILES",
        "secret_files",
        |spec, given| fill_list(&mut spec.secret_files, given, records),
    )
    .check(|spec| {
        let mut files = spec.secret_files.iter();
        files.try_for_each(|file| check(&file.secret, &file.key, &file.path))
    })
    .shown(|spec| {
        list(&spec.secret_files, |SecretFile { secret, key, path }| {
            format!("{secret}/{key}={path}")
        })
    })
    .write(|spec, draft| {
        for file in &spec.secret_files {
            let source = SecretVolumeSource {
                secret_name: Some(file.secret.clone()),
                items: Some(vec![item(&file.key)]),
                optional: Some(false),
                default_mode: Some(READABLE),
            };
            let volume = Volume {
                secret: Some(source),
                ..Volume::default()
            };
            add(draft, volume, &file.key, &file.path);
        }
    }),
    Row::new(
        "config_map_file",
        "PODPOOL_CONFIG_MAP_FILES",
        "config_map_files",
        |spec, given| fill_list(&mut spec.config_map_files, given, records),
    )
    .check(|spec| {
        let mut files = spec.config_map_files.iter();
        files.try_for_each(|file| check(&file.config_map, &file.key, &file.path))
    })
    .shown(|spec| {
        list(&spec.config_map_files, |file| {
            let ConfigMapFile {
                config_map,
                key,
                path,
            } = file;
            format!("{config_map}/{key}={path}")
        })
    })
    .write(|spec, draft| {
        for file in &spec.config_map_files {
            let source = ConfigMapVolumeSource {
                name: file.config_map.clone(),
                items: Some(vec![item(&file.key)]),
                optional: Some(false),
                default_mode: Some(READABLE),
            };
            let volume = Volume {
                config_map: Some(source),
                ..Volume::default()
            };
            add(draft, volume, &file.key, &file.path);
        }
    }),
];

fn check(object: &str, key: &str, path: &str) -> Check {
    names::object(object, 253)?;
    names::data_key(key)?;
    names::file(path)
}

fn item(key: &str) -> KeyToPath {
    KeyToPath {
        key: key.to_owned(),
        path: key.to_owned(),
        mode: None,
    }
}

/// A file, not a directory that would hide what the image has beside it. Such a mount does not receive later changes.
/// <https://kubernetes.io/docs/concepts/storage/volumes/#using-subpath>
fn add(draft: &mut Draft, volume: Volume, key: &str, path: &str) {
    let name = numbered(draft, "file");
    let mount = VolumeMount {
        sub_path: Some(key.to_owned()),
        ..mount(&name, path, true)
    };
    draft.volume(Volume { name, ..volume }, mount);
}

/// `file-0`, `file-1` and so on: the first that no volume has.
pub(super) fn numbered(draft: &Draft, kind: &str) -> String {
    let all = draft.spec.volumes.as_deref().unwrap_or_default();
    let mut names = (0..=all.len()).map(|number| format!("{kind}-{number}"));
    let free = |name: &String| all.iter().all(|volume| volume.name != *name);
    // One of them is free: they are more than there are volumes.
    names.find(free).unwrap_or_default()
}
