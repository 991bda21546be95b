//! Images from the program's file to the registry, and what is uploaded when it is there already.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::base::tests::{archive, gzip};
use super::super::elf::made::Made;
use super::super::libraries::tests::Folder;
use super::super::registry::fake::{Does, FakeRegistry, Gate, USER, times};
use super::*;

/// A program in a folder, with a registry.
struct Scene {
    folder: Folder,
    fake: FakeRegistry,
}

impl Scene {
    async fn new() -> Self {
        Self {
            folder: Folder::new(),
            fake: FakeRegistry::start(Gate::Open).await,
        }
    }

    /// The push of this program to `team/`.
    fn push(&self, made: &Made) -> Push {
        Push {
            program: Program {
                name: "flights".to_owned(),
                file: self.folder.write("bin/flights", &made.bytes()),
                directory: self.folder.path().join("bin"),
            },
            search: Search {
                library_path: vec![self.folder.path().join("lib")],
                cache: HashMap::new(),
                defaults: Vec::new(),
            },
            certificates: Some(self.folder.write("ca.crt", b"certificates")),
            registry: self.fake.place("team"),
            base: None,
            plain: vec![self.fake.host.clone()],
            logins: Logins {
                file: Some(self.folder.path().join("config.json")),
                patience: Duration::from_secs(5),
            },
            remembered: Remembered {
                directory: Some(self.folder.path().join("cache")),
            },
            times: times(),
        }
    }

    /// A program that links with a libc of this folder.
    fn linked(&self, version: &str) -> Made {
        let loader = self.folder.write("lib64/ld-linux-x86-64.so.2", b"loader");
        self.folder
            .write("lib/libc.so.6", &Made::libc("2.36").bytes());
        Made {
            loader: Some(loader.display().to_string()),
            ..Made::program(version)
        }
    }

    /// A base in the registry's repository `base`, of these files in one layer.
    fn base(&self, files: &[(&str, &[u8])]) -> BaseImage {
        let tar = archive(files);
        let layer = gzip(&tar);
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar).as_str()]},
        });
        let config = config.to_string();
        let blob = |bytes: &[u8], media_type: &str| {
            let digest = self.fake.put_blob("base", bytes);
            json!({"mediaType": media_type, "digest": digest.as_str(), "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "config": blob(config.as_bytes(), "application/vnd.docker.container.image.v1+json"),
            "layers": [blob(&layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
        });
        let image = self
            .fake
            .put_manifest("base", manifest.to_string().as_bytes());
        let entry = json!({
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": image.as_str(), "size": 1,
            "platform": {"os": "linux", "architecture": "amd64"},
        });
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
        BaseImage {
            place: self.fake.place("base"),
            digest: self.fake.put_manifest("base", index.as_bytes()),
        }
    }

    /// The documents and the layers of an image that was pushed.
    fn image(&self, pushed: &Pushed) -> (Value, Value, Vec<Vec<u8>>) {
        let held = self.fake.held();
        let repository = pushed.place.repository.clone();
        let (_, digest) = pushed.image.split_once('@').unwrap();
        let manifest: Value =
            serde_json::from_slice(&held.manifests[&(repository.clone(), digest.to_owned())])
                .unwrap();
        let blob = |descriptor: &Value| {
            let bytes = held.blobs[&(
                repository.clone(),
                descriptor["digest"].as_str().unwrap().to_owned(),
            )]
                .clone();
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let config = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        let layers = manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(blob)
            .collect();
        (manifest, config, layers)
    }
}

async fn refused(push: Push) -> String {
    push.run().await.unwrap_err().to_string()
}

#[track_caller]
fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}

/// The files of a layer, by path.
fn files(layer: &[u8]) -> HashMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

#[tokio::test]
async fn the_first_push_brings_all_and_the_second_nothing() {
    let scene = Scene::new().await;
    let made = scene.linked("2.34");
    let first = scene.push(&made).run().await.unwrap();
    assert!(first.bytes > 0);
    assert!(
        first
            .image
            .starts_with(&format!("{}/team/flights@sha256:", scene.fake.host)),
        "{first:?}"
    );
    assert_eq!(scene.fake.uploads(), 2, "layer and configuration");
    let (_, config, layers) = scene.image(&first);
    let files = files(&layers[0]);
    assert_eq!(files["podpool/bin/flights"], made.bytes());
    assert_eq!(files["podpool/lib/libc.so.6"], Made::libc("2.36").bytes());
    assert_eq!(files["etc/ssl/certs/ca-certificates.crt"], b"certificates");
    assert_eq!(
        config["config"]["Env"],
        json!(["PATH=/podpool/bin", "LD_LIBRARY_PATH=/podpool/lib"])
    );
    let mut archive = Vec::new();
    flate2::read::GzDecoder::new(&*layers[0])
        .read_to_end(&mut archive)
        .unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"],
        json!([Digest::of(&archive).as_str()])
    );

    let second = scene.push(&made).run().await.unwrap();
    assert_eq!(second, Pushed { bytes: 0, ..first });
    assert_eq!(scene.fake.log().len(), 1, "the question for the tag alone");
}

#[tokio::test]
async fn a_static_program_is_alone_in_its_image() {
    let scene = Scene::new().await;
    let pushed = scene.push(&Made::default()).run().await.unwrap();
    let (_, config, layers) = scene.image(&pushed);
    let mut paths: Vec<_> = files(&layers[0])
        .into_keys()
        .filter(|path| !path.ends_with('/'))
        .collect();
    paths.sort();
    let expected = [
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "podpool/bin/flights",
    ];
    assert_eq!(paths, expected);
    assert_eq!(
        config["config"]["Entrypoint"],
        json!(["/podpool/bin/flights"])
    );
}

#[tokio::test]
async fn a_changed_program_on_a_base_uploads_its_layer_alone() {
    let scene = Scene::new().await;
    let libc = Made::libc("2.36").bytes();
    let base = scene.base(&[
        ("lib/libc.so.6", &libc),
        ("lib64/ld-linux-x86-64.so.2", b"loader"),
    ]);
    let made = Made::program("2.34");
    let push = |made: &Made| Push {
        base: Some(base.clone()),
        ..scene.push(made)
    };
    let first = push(&made).run().await.unwrap();
    let (manifest, config, layers) = scene.image(&first);
    assert_eq!(layers.len(), 2);
    assert_eq!(
        files(&layers[1]).len(),
        3,
        "two directories and the program"
    );
    assert_eq!(config["config"]["Env"], json!(["PATH=/usr/bin"]));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    let log = scene.fake.log();
    let count = |log: &[String], beginning: &str| {
        log.iter()
            .filter(|line| line.starts_with(beginning))
            .count()
    };
    assert_eq!(
        count(&log, "PUT /upload"),
        2,
        "the base's layer is mounted: {log:?}"
    );
    assert_eq!(
        count(&log, "GET /v2/base/blobs/"),
        2,
        "the configuration and the layer, to read it: {log:?}"
    );

    let changed = Made {
        code: b"changed".to_vec(),
        ..made
    };
    let second = push(&changed).run().await.unwrap();
    assert_ne!(second.image, first.image);
    let log = scene.fake.log();
    assert_eq!(
        count(&log, "PUT /upload"),
        2,
        "the program's layer and the configuration: {log:?}"
    );
    assert_eq!(
        count(&log, "GET /v2/base/blobs/"),
        1,
        "what the base has is remembered: {log:?}"
    );
    let (_, _, layers_now) = scene.image(&second);
    assert_eq!(layers_now[0], layers[0]);
}

#[tokio::test]
async fn a_base_of_another_registry_is_copied() {
    let scene = Scene::new().await;
    let elsewhere = Scene::new().await;
    let libc = Made::libc("2.36").bytes();
    let base = elsewhere.base(&[
        ("lib/libc.so.6", &libc),
        ("lib64/ld-linux-x86-64.so.2", b"loader"),
    ]);
    for made in [Made::program("2.34"), Made::default()] {
        let mut push = Push {
            base: Some(base.clone()),
            ..scene.push(&made)
        };
        push.plain.push(elsewhere.fake.host.clone());
        let pushed = push.run().await.unwrap();
        let (_, _, layers) = scene.image(&pushed);
        assert_eq!(files(&layers[0])["lib/libc.so.6"], libc);
    }
    assert_eq!(elsewhere.fake.uploads(), 0);
}

#[tokio::test]
async fn a_base_with_an_older_glibc_is_refused_before_anything_is_uploaded() {
    let scene = Scene::new().await;
    let libc = Made::libc("2.31").bytes();
    let base = scene.base(&[
        ("lib/libc.so.6", &libc),
        ("lib64/ld-linux-x86-64.so.2", b"loader"),
    ]);
    for _ in 0..2 {
        let push = Push {
            base: Some(base.clone()),
            ..scene.push(&Made::program("2.34"))
        };
        let error = refused(push).await;
        says(
            &error,
            &[
                "flights",
                "glibc 2.34",
                "glibc 2.31",
                &base.to_string(),
                "nothing was pushed",
            ],
        );
        assert_eq!(scene.fake.uploads(), 0);
    }
    // A static program needs none.
    let push = Push {
        base: Some(base),
        ..scene.push(&Made::default())
    };
    push.run().await.unwrap();
}

#[tokio::test]
async fn a_base_that_is_none_is_named() {
    let scene = Scene::new().await;
    let absent = BaseImage {
        place: scene.fake.place("base"),
        digest: Digest::of(b"absent"),
    };
    let error = refused(Push {
        base: Some(absent),
        ..scene.push(&Made::default())
    })
    .await;
    says(&error, &["404", "/base"]);
    let other = BaseImage {
        place: scene.fake.place("base"),
        digest: scene.fake.put_manifest("base", b"{}"),
    };
    let error = refused(Push {
        base: Some(other),
        ..scene.push(&Made::default())
    })
    .await;
    says(&error, &["PODPOOL_BASE_IMAGE", "flights"]);
    let arm = Made {
        machine: object::elf::EM_AARCH64,
        ..Made::default()
    };
    let error = refused(Push {
        base: Some(scene.base(&[])),
        ..scene.push(&arm)
    })
    .await;
    says(&error, &["linux/arm64", "linux/amd64"]);
}

#[tokio::test]
async fn missing_files_are_named_before_the_registry_is_asked() {
    let scene = Scene::new().await;
    let made = Made {
        needed: vec!["libabsent.so".to_owned()],
        ..scene.linked("2.34")
    };
    says(
        &refused(scene.push(&made)).await,
        &["libabsent.so", "flights"],
    );
    let made = Made {
        loader: Some("/no/loader".to_owned()),
        ..made
    };
    says(
        &refused(scene.push(&made)).await,
        &["/no/loader", "flights"],
    );
    let mut push = scene.push(&Made::default());
    fs::write(&push.program.file, b"\xcf\xfa\xed\xfe\x07\0\0\x01").unwrap();
    says(&refused(push.clone()).await, &["macOS", "cargo build"]);
    push.program.file = "/no/such/file".into();
    says(&refused(push).await, &["flights"]);
    assert_eq!(scene.fake.log(), Vec::<String>::new());
}

#[tokio::test]
async fn the_login_is_that_of_the_configuration_file() {
    let scene = Scene::new().await;
    scene.fake.held().gate = Gate::Bearer;
    let error = refused(scene.push(&Made::default())).await;
    says(&error, &["config.json", "docker login"]);
    let write = |user: &str, password: &str| {
        let auth = json!({"username": user, "password": password});
        let host = scene.fake.host.clone();
        scene.folder.write(
            "config.json",
            json!({"auths": {host: auth}}).to_string().as_bytes(),
        );
    };
    write(USER.0, "wrong");
    let error = refused(scene.push(&Made::default())).await;
    says(
        &error,
        &["does not accept the login", "config.json", "team/flights"],
    );
    write(USER.0, USER.1);
    let pushed = scene.push(&Made::default()).run().await.unwrap();
    assert!(!pushed.short_lived);
}

#[tokio::test]
async fn a_registry_that_fails_for_a_while_gets_the_image() {
    let scene = Scene::new().await;
    for (request, does) in [
        ("HEAD /v2/team/flights/manifests", Does::Status(503, None)),
        ("POST", Does::Status(429, None)),
        ("PUT /upload", Does::Close),
        ("PUT /v2", Does::Status(500, None)),
    ] {
        scene.fake.fault(request, does);
    }
    let pushed = scene.push(&Made::default()).run().await.unwrap();
    assert!(scene.fake.held().faults.is_empty());
    scene.image(&pushed);
}

#[tokio::test]
async fn masters_that_push_the_same_at_a_time_have_one_image() {
    let scene = Scene::new().await;
    let made = scene.linked("2.34");
    let push = scene.push(&made);
    let (one, other) = tokio::join!(push.clone().run(), push.run());
    assert_eq!(one.unwrap().image, other.unwrap().image);
}
