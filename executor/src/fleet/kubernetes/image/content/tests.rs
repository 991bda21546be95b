//! What an image holds, and that its tag names that content.

use super::super::elf::made::Made;
use super::super::libraries::tests::Folder;
use super::*;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn program(folder: &Folder, made: &Made) -> Program {
    Program {
        name: "Flights_2013".to_owned(),
        file: folder.write("bin/flights", &made.bytes()),
        directory: folder.path().join("bin"),
    }
}

/// A program with a loader and a libc in the folder, and where they are found.
fn linked(folder: &Folder) -> (Made, Search) {
    let loader = folder.write("lib64/ld-linux-x86-64.so.2", b"loader");
    folder.write("lib/libc.so.6", &Made::libc("2.36").bytes());
    let made = Made {
        loader: Some(loader.display().to_string()),
        ..Made::program("2.34")
    };
    let search = Search {
        library_path: vec![folder.path().join("lib")],
        ..Search::default()
    };
    (made, search)
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.entries.iter().map(|entry| &*entry.path).collect()
}

#[test]
fn a_static_program_has_what_a_system_has_and_no_library() {
    let folder = Folder::new();
    let program = program(&folder, &Made::default());
    let certificates = folder.write("ca.crt", b"certificates");
    let plan = plan(&program, None, &Search::default(), Some(&certificates)).unwrap();
    let expected = [
        "etc",
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl",
        "etc/ssl/certs",
        "etc/ssl/certs/ca-certificates.crt",
        "podpool",
        "podpool/bin",
        "podpool/bin/flights-2013",
        "tmp",
    ];
    assert_eq!(paths(&plan), expected);
    assert_eq!(plan.entrypoint, "/podpool/bin/flights-2013");
    assert_eq!(plan.env, ["PATH=/podpool/bin"]);
    let tmp = plan.entries.last().unwrap();
    assert_eq!(tmp.mode, 0o1777);
}

#[test]
fn a_linked_program_has_its_loader_and_libraries() {
    let folder = Folder::new();
    let (made, search) = linked(&folder);
    let plan = plan(&program(&folder, &made), None, &search, None).unwrap();
    let all = paths(&plan).join("\n");
    assert!(all.contains("lib64/ld-linux-x86-64.so.2"), "{all}");
    assert!(all.contains("podpool/lib/libc.so.6"), "{all}");
    assert_eq!(plan.env[1], "LD_LIBRARY_PATH=/podpool/lib");
    assert_eq!(plan.architecture, "amd64");
}

#[test]
fn on_a_base_there_is_the_program_alone() {
    let folder = Folder::new();
    let base = BaseImage::parse(&format!("debian@{DIGEST}")).unwrap();
    let program = program(&folder, &Made::program("2.34"));
    let plan = plan(&program, Some(&base), &Search::default(), None).unwrap();
    let expected = ["podpool", "podpool/bin", "podpool/bin/flights-2013"];
    assert_eq!(paths(&plan), expected);
    assert_eq!(plan.env, Vec::<String>::new());
}

#[test]
fn the_tag_changes_with_everything_and_with_nothing_else() {
    let folder = Folder::new();
    let (made, search) = linked(&folder);
    let certificates = folder.write("ca.crt", b"certificates");
    let tag = |made: &Made, base: Option<&BaseImage>, certificates: Option<&Path>| {
        plan(&program(&folder, made), base, &search, certificates)
            .unwrap()
            .tag
    };
    let first = tag(&made, None, Some(&certificates));
    assert_eq!(tag(&made, None, Some(&certificates)), first);
    assert_eq!(first.len(), "podpool-".len() + 40);
    let base = BaseImage::parse(&format!("debian@{DIGEST}")).unwrap();
    let changed = Made {
        code: b"other".to_vec(),
        ..made.clone()
    };
    let mut tags = vec![
        first.clone(),
        tag(&made, None, None),
        tag(&made, Some(&base), None),
        tag(&changed, None, Some(&certificates)),
    ];
    folder.write("lib/libc.so.6", &Made::libc("2.38").bytes());
    tags.push(tag(&made, None, Some(&certificates)));
    folder.write("ca.crt", b"more certificates");
    tags.push(tag(&made, None, Some(&certificates)));
    let distinct: BTreeSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len(), "{tags:?}");
}

#[test]
fn a_program_of_another_system_is_refused_with_the_way_to_compile() {
    let folder = Folder::new();
    let refused = |bytes: &[u8]| {
        let program = Program {
            name: "flights".to_owned(),
            file: folder.write("flights", bytes),
            directory: folder.path().to_owned(),
        };
        plan(&program, None, &Search::default(), None)
            .unwrap_err()
            .to_string()
    };
    let sparc = Made {
        machine: 43,
        ..Made::default()
    }
    .bytes();
    for (bytes, word) in [
        (&b"\xcf\xfa\xed\xfe\x07\0\0\x01"[..], "macOS"),
        (b"MZ\0\0\0\0\0\0", "Windows"),
        (&sparc, "ELF machine 43"),
    ] {
        let error = refused(bytes);
        assert!(error.contains(word) && error.contains("flights"), "{error}");
        assert!(
            error.contains("cargo build --release --target") && error.contains("PODPOOL_IMAGE"),
            "{error}"
        );
    }
}

#[test]
fn this_program_is_found() {
    let this = Program::this().unwrap();
    assert!(this.file.exists() && this.directory.is_dir(), "{this:?}");
    assert!(!this.name.is_empty());
}
