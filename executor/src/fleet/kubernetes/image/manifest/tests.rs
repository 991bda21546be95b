//! Documents of images: read from bases of both forms, and written.

use super::super::content::{Program, plan};
use super::super::elf::made::Made;
use super::super::libraries::Search;
use super::super::libraries::tests::Folder;
use super::*;

fn planned(folder: &Folder) -> Plan {
    let program = Program {
        name: "flights".to_owned(),
        file: folder.write("flights", &Made::default().bytes()),
        directory: folder.path().to_owned(),
    };
    plan(&program, None, &Search::default(), None).unwrap()
}

fn digest(n: u8) -> Digest {
    Digest::of(&[n])
}

#[test]
fn an_image_without_a_base_has_all_that_a_node_needs() {
    let folder = Folder::new();
    let plan = planned(&folder);
    let bytes = config(&plan, &digest(1), None).unwrap();
    assert_eq!(
        config(&plan, &digest(1), None).unwrap(),
        bytes,
        "the same each time"
    );
    let config: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (&config["os"], &config["architecture"]),
        (&json!("linux"), &json!("amd64"))
    );
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(
        config["config"]["Entrypoint"],
        json!(["/podpool/bin/flights"])
    );
    assert_eq!(
        config["config"]["Labels"]["dev.podpool.content"],
        json!(plan.tag)
    );
    assert_eq!(
        config["rootfs"],
        json!({"type": "layers", "diff_ids": [digest(1).as_str()]})
    );
    let written = manifest(&bytes, &[], (&digest(2), 7));
    let Document::Image(read) = read(&written).unwrap() else {
        panic!("an index")
    };
    assert_eq!(read.config.digest, Digest::of(&bytes));
    assert_eq!(read.config.size, bytes.len() as u64);
    assert_eq!(
        (&read.layers[0].digest, read.layers[0].size),
        (&digest(2), 7)
    );
    assert_eq!(read.layers[0].compressed(), Some(Compressed::Gzip));
}

#[test]
fn a_base_keeps_what_is_its_own() {
    let folder = Folder::new();
    let mut plan = planned(&folder);
    plan.env.clear();
    let base = json!({
        "os": "linux", "architecture": "amd64", "author": "Ada",
        "config": {"Env": ["PATH=/usr/bin"], "Cmd": ["bash"], "WorkingDir": "/w", "Labels": null, "User": "0"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:base"]},
        "history": [{"created_by": "debian"}],
    });
    let bytes = config(&plan, &digest(1), Some(base.to_string().as_bytes())).unwrap();
    let config: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(config["author"], "Ada");
    assert_eq!(config["config"]["Env"], json!(["PATH=/usr/bin"]));
    assert_eq!(config["config"]["WorkingDir"], "/w");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"].get("Cmd"), None);
    assert_eq!(
        config["rootfs"]["diff_ids"],
        json!(["sha256:base", digest(1).as_str()])
    );
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
}

#[test]
fn a_base_of_another_machine_is_refused() {
    let folder = Folder::new();
    let base = json!({"os": "linux", "architecture": "arm64"}).to_string();
    let error = config(&planned(&folder), &digest(1), Some(base.as_bytes())).unwrap_err();
    assert!(
        error.contains("arm64") && error.contains("amd64"),
        "{error}"
    );
    let error = config(&planned(&folder), &digest(1), Some(b"[]")).unwrap_err();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn layers_of_dockers_form_are_listed_in_ours() {
    let docker = json!({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(1).as_str(), "size": 3},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": digest(2).as_str(), "size": 4}],
    });
    let Document::Image(base) = read(docker.to_string().as_bytes()).unwrap() else {
        panic!("an index")
    };
    let written: Value =
        serde_json::from_slice(&manifest(b"{}", &base.layers, (&digest(3), 5))).unwrap();
    for layer in written["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], LAYER);
        assert_eq!(layer.as_object().unwrap().len(), 3);
    }
    assert_eq!(written["layers"][0]["digest"], digest(2).as_str());
}

#[test]
fn an_index_is_searched_by_platform() {
    let entry = |n: u8, os: &str, machine: &str| json!({"mediaType": MANIFEST, "digest": digest(n).as_str(), "size": 1, "platform": {"os": os, "architecture": machine}});
    let index = json!({
        "schemaVersion": 2,
        "manifests": [entry(1, "unknown", "unknown"), entry(2, "linux", "arm64"), entry(3, "linux", "amd64")],
    });
    let Document::Index(all) = read(index.to_string().as_bytes()).unwrap() else {
        panic!("an image")
    };
    assert_eq!(choose(&all, "amd64"), Ok(digest(3)));
    let error = choose(&all, "s390x").unwrap_err();
    assert!(
        error.contains("linux/s390x") && error.contains("linux/arm64, linux/amd64"),
        "{error}"
    );
}

#[test]
fn what_is_no_image_is_refused() {
    for (document, word) in [
        (json!([]), "cannot be read"),
        (json!({"schemaVersion": 1}), "cannot be read"),
        (
            json!({"mediaType": "application/vnd.oci.artifact.manifest.v1+json"}),
            "no image",
        ),
        (
            json!({
                "config": {"mediaType": CONFIG, "digest": digest(1).as_str(), "size": 3},
                "layers": [{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": digest(2).as_str(), "size": 4}],
            }),
            "cannot be copied",
        ),
        (
            json!({
                "config": {"mediaType": CONFIG, "digest": digest(1).as_str(), "size": 3},
                "layers": [{"mediaType": LAYER, "digest": digest(2).as_str(), "size": u64::MAX}],
            }),
            "claims",
        ),
        (
            json!({"config": {"mediaType": CONFIG, "digest": "sha256:../../x", "size": 3}, "layers": []}),
            "no sha256 digest",
        ),
    ] {
        let error = read(document.to_string().as_bytes()).unwrap_err();
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
}
