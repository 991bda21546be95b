//! The documents of an image: manifest, index, configuration.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/manifest.md> and `config.md` beside it. Docker's older
//! forms, which many bases have, differ in their names alone.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::content::{Plan, USER};
use super::digest::Digest;

/// The media type of manifests that are written.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker's older form of a manifest.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// What is accepted where a manifest is read.
pub(super) const ACCEPTED: [&str; 4] = [MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_INDEX];
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of the layer that is made.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The largest layer that is believed: what a registry states is a number of another machine.
const LARGEST: u64 = 64 << 30;

/// What a manifest lists: a blob, or another manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default, skip_serializing)]
    platform: Option<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compressed {
    No,
    Gzip,
    Zstd,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
        }
    }

    /// How a layer is compressed; none where it is no layer that can be copied, as those of Windows.
    pub(super) fn compressed(&self) -> Option<Compressed> {
        Some(match &*self.media_type {
            "application/vnd.oci.image.layer.v1.tar" => Compressed::No,
            LAYER | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Compressed::Gzip,
            "application/vnd.oci.image.layer.v1.tar+zstd" => Compressed::Zstd,
            _ => return None,
        })
    }

    /// The same under the name that a manifest of this form has for it.
    fn of_our_form(&self) -> Self {
        let media_type = match self.compressed() {
            Some(Compressed::Gzip) => LAYER,
            _ => &self.media_type,
        };
        Self::new(media_type, self.digest.clone(), self.size)
    }
}

/// A manifest of one image, or an index of images for several machines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

/// The manifest of an image.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// Reads a manifest or an index.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Document, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        media_type: String,
        manifests: Option<Vec<Descriptor>>,
    }
    let unread = |error: serde_json::Error| format!("its manifest cannot be read: {error}");
    let kind: Kind = serde_json::from_slice(bytes).map_err(unread)?;
    // The form of OCI may leave its own name out.
    if let Some(manifests) = kind.manifests {
        return Ok(Document::Index(manifests));
    }
    if !["", MANIFEST, DOCKER_MANIFEST].contains(&&*kind.media_type) {
        return Err(format!(
            "its manifest is {:?}, which is no image",
            kind.media_type
        ));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(unread)?;
    for layer in &manifest.layers {
        if layer.compressed().is_none() {
            return Err(format!(
                "its layer {} is {:?}, which cannot be copied",
                layer.digest, layer.media_type
            ));
        }
        if layer.size > LARGEST {
            return Err(format!(
                "its layer {} claims {} bytes",
                layer.digest, layer.size
            ));
        }
    }
    Ok(Document::Image(manifest))
}

/// The manifest of an index for Linux on this architecture.
///
/// # Errors
/// The platforms that there are.
pub(super) fn choose(manifests: &[Descriptor], architecture: &str) -> Result<Digest, String> {
    let of = |descriptor: &Descriptor| {
        let platform = descriptor.platform.as_ref()?;
        Some((platform.os.clone(), platform.architecture.clone()))
    };
    let fits = |descriptor: &&Descriptor| {
        of(descriptor).is_some_and(|(os, machine)| os == "linux" && machine == architecture)
    };
    if let Some(found) = manifests.iter().find(fits) {
        return Ok(found.digest.clone());
    }
    let all: Vec<_> = manifests
        .iter()
        .filter_map(of)
        // Attestations are listed as images of an unknown system.
        .filter(|(os, _)| os != "unknown")
        .map(|(os, machine)| format!("{os}/{machine}"))
        .collect();
    Err(format!(
        "it has no image for linux/{architecture}, but for {}; name another base, or compile the program for one of them",
        all.join(", ")
    ))
}

/// The configuration of an image: that of its base, with the program as what runs.
///
/// # Errors
/// A base's configuration that is none, or that is of another machine.
pub(super) fn config(
    plan: &Plan,
    diff_id: &Digest,
    base: Option<&[u8]>,
) -> Result<Vec<u8>, String> {
    let mut config = match base {
        None => Map::new(),
        Some(bytes) => {
            let read = serde_json::from_slice(bytes);
            read.map_err(|error| format!("its configuration cannot be read: {error}"))?
        }
    };
    let is = |key: &str, ours: &str| match config.get(key).and_then(Value::as_str) {
        Some(theirs) if theirs != ours => {
            Err(format!("it is for {theirs}, and {} for {ours}", plan.name))
        }
        _ => Ok(()),
    };
    is("os", "linux")?;
    is("architecture", plan.architecture)?;
    config.insert("os".to_owned(), json!("linux"));
    config.insert("architecture".to_owned(), json!(plan.architecture));
    // A fixed time, so that the same content is the same image.
    config.insert("created".to_owned(), json!("1970-01-01T00:00:00Z"));
    let mut run = taken(&mut config, "config");
    run.insert("User".to_owned(), json!(USER));
    run.insert("Entrypoint".to_owned(), json!([plan.entrypoint]));
    run.remove("Cmd");
    if !plan.env.is_empty() {
        run.insert("Env".to_owned(), json!(plan.env));
    }
    let mut labels = taken(&mut run, "Labels");
    labels.insert(
        "org.opencontainers.image.title".to_owned(),
        json!(plan.name),
    );
    labels.insert("dev.podpool.content".to_owned(), json!(plan.tag));
    labels.insert(
        "dev.podpool.version".to_owned(),
        json!(env!("CARGO_PKG_VERSION")),
    );
    run.insert("Labels".to_owned(), Value::Object(labels));
    config.insert("config".to_owned(), Value::Object(run));
    let mut rootfs = taken(&mut config, "rootfs");
    let mut layers = match rootfs.remove("diff_ids") {
        Some(Value::Array(layers)) => layers,
        _ => Vec::new(),
    };
    layers.push(json!(diff_id.as_str()));
    rootfs.insert("type".to_owned(), json!("layers"));
    rootfs.insert("diff_ids".to_owned(), Value::Array(layers));
    config.insert("rootfs".to_owned(), Value::Object(rootfs));
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        history.push(json!({"created_by": "podpool"}));
    }
    serde_json::to_vec(&config).map_err(|error| error.to_string())
}

/// The object of this key, taken out; an empty one where there is none, or `null`, as some tools write what is empty.
fn taken(parent: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// The manifest of an image with this configuration, the base's layers, and its own one on top.
pub(super) fn manifest(config: &[u8], base: &[Descriptor], layer: (&Digest, u64)) -> Vec<u8> {
    let config = Descriptor::new(CONFIG, Digest::of(config), config.len() as u64);
    let mut layers: Vec<_> = base.iter().map(Descriptor::of_our_form).collect();
    layers.push(Descriptor::new(LAYER, layer.0.clone(), layer.1));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
