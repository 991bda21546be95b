//! How files and volumes are written.

use serde_json::Value;

use super::fields::{Fields, name};
use super::{Parsed, Record, bytes, flag};
use crate::fleet::worker_spec::{Claim, ConfigMapFile, EphemeralVolume, KeyOf, SecretFile, Tmpfs};

/// `object/key`.
pub(in super::super) fn key_of(given: &Value) -> Parsed<KeyOf> {
    let parts = given.as_str().and_then(|text| text.split_once('/'));
    let (object, key) = parts.ok_or("use name/key")?;
    Ok(KeyOf {
        object: object.to_owned(),
        key: key.to_owned(),
    })
}

/// `object/key=/path`.
fn file(text: &str) -> Parsed<(String, String, String)> {
    let parts = text
        .split_once('=')
        .and_then(|(from, path)| Some((from.split_once('/')?, path)));
    let ((object, key), path) = parts.ok_or("use name/key=/path")?;
    Ok((object.to_owned(), key.to_owned(), path.to_owned()))
}

impl Record for SecretFile {
    fn of_text(text: &str) -> Parsed<Self> {
        let (secret, key, path) = file(text)?;
        Ok(Self { secret, key, path })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            secret: fields.must("secret", name)?,
            key: fields.must("key", name)?,
            path: fields.must("path", name)?,
        })
    }
}

impl Record for ConfigMapFile {
    fn of_text(text: &str) -> Parsed<Self> {
        let (config_map, key, path) = file(text)?;
        Ok(Self {
            config_map,
            key,
            path,
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            config_map: fields.must("config_map", name)?,
            key: fields.must("key", name)?,
            path: fields.must("path", name)?,
        })
    }
}

impl Record for Claim {
    fn of_text(text: &str) -> Parsed<Self> {
        let (claim, path) = text
            .split_once('=')
            .ok_or("use claim=/path or claim=/path:ro")?;
        let (path, read_only) = path
            .strip_suffix(":ro")
            .map_or((path, false), |path| (path, true));
        Ok(Self {
            claim: claim.to_owned(),
            path: path.to_owned(),
            read_only,
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            claim: fields.must("claim", name)?,
            path: fields.must("path", name)?,
            read_only: fields.may("read_only", flag)?.unwrap_or(false),
        })
    }
}

/// `/path=size`, and what follows a colon.
fn sized(text: &str) -> Parsed<(String, u64, Option<&str>)> {
    let (path, size) = text.split_once('=').ok_or("use /path=size")?;
    let (size, rest) = size
        .split_once(':')
        .map_or((size, None), |(size, rest)| (size, Some(rest)));
    Ok((path.to_owned(), bytes(&Value::from(size))?, rest))
}

impl Record for EphemeralVolume {
    fn of_text(text: &str) -> Parsed<Self> {
        let (path, bytes, class) = sized(text)?;
        let storage_class = class.map(str::to_owned);
        Ok(Self {
            path,
            bytes,
            storage_class,
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            path: fields.must("path", name)?,
            bytes: fields.must("size", bytes)?,
            storage_class: fields.may("storage_class", name)?,
        })
    }
}

impl Record for Tmpfs {
    fn of_text(text: &str) -> Parsed<Self> {
        let (path, bytes, rest) = sized(text)?;
        let temp_dir = match rest {
            None => false,
            Some("temp_dir") => true,
            Some(_) => return Err("use /path=size or /path=size:temp_dir".to_owned()),
        };
        Ok(Self {
            path,
            bytes,
            temp_dir,
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            path: fields.must("path", name)?,
            bytes: fields.must("size", bytes)?,
            temp_dir: fields.may("temp_dir", flag)?.unwrap_or(false),
        })
    }
}
