//! Bases in every compression, with deleted files, too old, and without what a program needs.

use std::collections::BTreeSet;
use std::io::{Seek, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::super::content::{Program, plan};
use super::super::digest::Digest;
use super::super::elf::made::Made;
use super::super::layer::temporary;
use super::super::libraries::Search;
use super::super::libraries::tests::Folder;
use super::*;

/// An archive of these files; those that begin with `-> ` are links.
pub(in super::super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if let Some(target) = content.strip_prefix(b"-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive
                .append_link(&mut header, path, std::str::from_utf8(target).unwrap())
                .unwrap();
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, *content).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

pub(in super::super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Adds a layer of these bytes.
fn scan(media_type: &str, bytes: &[u8], facts: &mut Facts) -> Result<(), String> {
    let mut file = temporary().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let layer = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
    scan::read(&file, &layer, object::elf::EM_X86_64, facts).map_err(|error| error.to_string())
}

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn layers(layers: &[&[(&str, &[u8])]]) -> Facts {
    let mut facts = Facts::default();
    for files in layers {
        scan(GZIP, &gzip(&archive(files)), &mut facts).unwrap();
    }
    facts
}

fn glibc(facts: &Facts) -> Option<String> {
    facts.glibc.map(|version| version.to_string())
}

#[test]
fn a_layer_is_read_in_each_compression() {
    let libc = Made::libc("2.36").bytes();
    let tar = archive(&[
        ("./lib/x86_64-linux-gnu/libc.so.6", &libc),
        ("usr/lib/libz.so.1", b"-> libz.so.1.3"),
        ("usr/lib/libz.so.1.3", b"library"),
        ("etc/passwd", b"root"),
    ]);
    let expected: BTreeSet<_> = [
        "lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/libz.so.1",
        "usr/lib/libz.so.1.3",
    ]
    .map(str::to_owned)
    .into();
    let zstd = compress_to_vec(&*tar, CompressionLevel::Fastest);
    for (media_type, bytes) in [
        ("application/vnd.oci.image.layer.v1.tar", tar.clone()),
        (GZIP, gzip(&tar)),
        (
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            gzip(&tar),
        ),
        ("application/vnd.oci.image.layer.v1.tar+zstd", zstd),
    ] {
        let mut facts = Facts::default();
        scan(media_type, &bytes, &mut facts).unwrap();
        assert_eq!(glibc(&facts).as_deref(), Some("2.36"), "{media_type}");
        assert_eq!(facts.libraries, expected, "{media_type}");
    }
}

#[test]
fn later_layers_replace_and_delete() {
    let old = Made::libc("2.28").bytes();
    let new = Made::libc("2.38").bytes();
    let below: &[(&str, &[u8])] = &[
        ("lib/libc.so.6", &old),
        ("lib/a/liba.so", b"a"),
        ("lib/ab.so", b"b"),
    ];
    let facts = layers(&[below, &[("lib/libc.so.6", &new), ("lib/.wh.a", b"")]]);
    assert_eq!(glibc(&facts).as_deref(), Some("2.38"));
    assert!(!facts.has("liba.so") && facts.has("ab.so"));
    let facts = layers(&[below, &[("lib/.wh..wh..opq", b""), ("lib/new.so", b"n")]]);
    assert_eq!(
        (glibc(&facts), facts.libraries),
        (None, BTreeSet::from(["lib/new.so".to_owned()]))
    );
    let facts = layers(&[below, &[("lib/.wh.libc.so.6", b"")]]);
    assert_eq!(glibc(&facts), None);
    assert!(facts.has("liba.so"));
}

#[test]
fn an_older_system_names_its_libc_by_its_version() {
    let libc = Made::libc("2.31").bytes();
    let arm = Made {
        machine: object::elf::EM_AARCH64,
        ..Made::libc("2.39")
    }
    .bytes();
    let facts = layers(&[&[
        ("lib/libc.so.6", b"-> libc-2.31.so"),
        ("lib/libc-2.31.so", &libc),
        ("arm/libc.so.6", &arm),
    ]]);
    assert_eq!(glibc(&facts).as_deref(), Some("2.31"));
    assert!(facts.has("/lib64/libc.so.6"));
}

#[test]
fn a_damaged_layer_is_an_error() {
    let mut facts = Facts::default();
    for media_type in [
        GZIP,
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/x",
    ] {
        assert!(
            scan(media_type, b"no layer at all", &mut facts).is_err(),
            "{media_type}"
        );
    }
    let whole = gzip(&archive(&[("lib/libc.so.6", &Made::libc("2.36").bytes())]));
    assert!(scan(GZIP, &whole[..whole.len() / 2], &mut facts).is_err());
    // A library that is none says nothing of its version.
    let facts = layers(&[&[("lib/libc.so.6", b"INPUT(x)")]]);
    assert_eq!(glibc(&facts), None);
}

fn planned(made: &Made) -> Plan {
    let folder = Folder::new();
    let program = Program {
        name: "flights".to_owned(),
        file: folder.write("flights", &made.bytes()),
        directory: folder.path().to_owned(),
    };
    let digest = format!("debian@{}", Digest::of(b""));
    let base = BaseImage::parse(&digest).unwrap();
    plan(&program, Some(&base), &Search::default(), None).unwrap()
}

#[test]
fn a_base_must_have_what_the_program_needs() {
    let made = Made {
        needed: vec!["libc.so.6".to_owned(), "libssl.so.3".to_owned()],
        ..Made::program("2.34")
    };
    let plan = planned(&made);
    let facts = |version: &str, names: &[&str]| {
        let libc = Made::libc(version).bytes();
        let mut files: Vec<(String, &[u8])> = vec![("lib/libc.so.6".to_owned(), &libc)];
        files.extend(
            names
                .iter()
                .map(|name| (format!("lib/{name}"), &b"library"[..])),
        );
        let files: Vec<_> = files
            .iter()
            .map(|(path, bytes)| (&**path, *bytes))
            .collect();
        layers(&[&files])
    };
    let (loader, ssl) = ("ld-linux-x86-64.so.2", "libssl.so.3");
    assert_eq!(judge(&plan, &facts("2.34", &[loader, ssl])), None);
    assert_eq!(judge(&plan, &facts("2.38", &[loader, ssl])), None);
    let says = |facts: &Facts, words: &[&str]| {
        let reason = judge(&plan, facts).unwrap();
        for word in words {
            assert!(reason.contains(word), "{word:?} is not in {reason:?}");
        }
    };
    says(
        &facts("2.31", &[loader, ssl]),
        &["glibc 2.34", "glibc 2.31", "PODPOOL_BASE_IMAGE", "musl"],
    );
    says(&Facts::default(), &["glibc 2.34", "no glibc"]);
    says(&facts("2.36", &[loader]), &["no libssl.so.3"]);
    says(&facts("2.36", &[ssl]), &["no ld-linux-x86-64.so.2"]);
}

#[test]
fn a_program_of_musl_needs_its_loader_alone() {
    let made = Made {
        loader: Some("/lib/ld-musl-x86_64.so.1".to_owned()),
        needed: vec!["libc.musl-x86_64.so.1".to_owned()],
        ..Made::default()
    };
    let plan = planned(&made);
    assert_eq!(
        judge(&plan, &layers(&[&[("lib/ld-musl-x86_64.so.1", b"x")]])),
        None
    );
    assert!(
        judge(&plan, &layers(&[&[("lib/libc.so.6", b"x")]]))
            .unwrap()
            .contains("ld-musl")
    );
}

#[test]
fn what_a_base_has_is_remembered() {
    let folder = Folder::new();
    let remembered = Remembered {
        directory: Some(folder.path().join("a/b")),
    };
    let base = Digest::of(b"base");
    assert_eq!(remembered.get(&base), None);
    let facts = layers(&[&[("lib/libc.so.6", &Made::libc("2.36").bytes())]]);
    remembered.put(&base, &facts);
    assert_eq!(remembered.get(&base), Some(facts.clone()));
    let files: Vec<_> = std::fs::read_dir(folder.path().join("a/b"))
        .unwrap()
        .collect();
    assert_eq!(files.len(), 1, "no half is left");
    std::fs::write(files[0].as_ref().unwrap().path(), "{").unwrap();
    assert_eq!(remembered.get(&base), None);
    // Where nothing can be written nothing is remembered.
    let nowhere = Remembered {
        directory: Some("/proc/no/such".into()),
    };
    nowhere.put(&base, &facts);
    assert_eq!(nowhere.get(&base), None);
    let at = |set: &[(&str, &str)]| {
        Remembered::of_environment(|name| {
            set.iter().find(|it| it.0 == name).map(|it| it.1.to_owned())
        })
        .directory
    };
    assert_eq!(
        at(&[("HOME", "/home/ada")]),
        Some("/home/ada/.cache/podpool/base-images".into())
    );
    assert_eq!(
        at(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]),
        Some("/c/podpool/base-images".into())
    );
    assert_eq!(at(&[("XDG_CACHE_HOME", "relative")]), None);
}
