//! Libraries in directories of the tests, found in the loader's order, and those that are missing.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::elf::made::Made;
use super::*;

/// A directory that is removed with it.
pub(in super::super) struct Folder(PathBuf);

impl Folder {
    pub(in super::super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("podpool-image-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the directories above it.
    pub(in super::super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A folder with a loader, and a program that needs these libraries.
fn program(needed: &[&str]) -> (Folder, Made) {
    let folder = Folder::new();
    let loader = folder.write("lib64/ld-linux-x86-64.so.2", b"loader");
    let made = Made {
        loader: Some(loader.display().to_string()),
        needed: needed.iter().map(|name| (*name).to_owned()).collect(),
        ..Made::default()
    };
    (folder, made)
}

fn library(needed: &[&str]) -> Made {
    Made {
        needed: needed.iter().map(|name| (*name).to_owned()).collect(),
        ..Made::default()
    }
}

fn found(folder: &Folder, made: &Made, search: &Search) -> Result<Vec<(String, String)>, String> {
    let elf = Elf::read(&*made.bytes()).unwrap();
    let directory = folder.path().join("bin");
    let libraries =
        of_program(&elf, ("flights", &directory), search).map_err(|error| error.to_string())?;
    let short = |path: String| path.replace(&folder.path().display().to_string(), "");
    Ok(libraries
        .into_iter()
        .map(|it| (short(it.target), short(it.source.display().to_string())))
        .collect())
}

fn pair(target: &str, source: &str) -> (String, String) {
    (target.to_owned(), source.to_owned())
}

#[test]
fn libraries_of_libraries_are_found_in_every_place() {
    let (folder, made) = program(&["libcached.so", "liborigin.so", "libc.so.6"]);
    let made = Made {
        runpath: Some("$ORIGIN/../own".to_owned()),
        ..made
    };
    folder.write("bin/flights", &made.bytes());
    let cached = folder.write("cached/libcached.so", &library(&["libdeep.so"]).bytes());
    folder.write(
        "own/liborigin.so",
        &library(&["libdeep.so", "libbeside.so"]).bytes(),
    );
    folder.write(
        "lib/libdeep.so",
        &library(&["libc.so.6", "ld-linux-x86-64.so.2"]).bytes(),
    );
    folder.write("path/libbeside.so", &library(&[]).bytes());
    folder.write("lib/libc.so.6", &Made::libc("2.36").bytes());
    let search = Search {
        library_path: vec![folder.path().join("path")],
        cache: HashMap::from([("libcached.so".to_owned(), vec![cached])]),
        defaults: vec![folder.path().join("lib")],
    };
    let expected = [
        pair("/lib/libc.so.6", "/lib/libc.so.6"),
        pair("/lib/libdeep.so", "/lib/libdeep.so"),
        pair("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2"),
        pair("/podpool/lib/libbeside.so", "/path/libbeside.so"),
        pair("/podpool/lib/libcached.so", "/cached/libcached.so"),
        pair("/podpool/lib/liborigin.so", "/bin/../own/liborigin.so"),
    ];
    let mut found = found(&folder, &made, &search).unwrap();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn the_first_place_in_the_loaders_order_counts() {
    let (folder, made) = program(&["liba.so"]);
    for place in ["rpath", "path", "runpath", "cache", "lib"] {
        folder.write(&format!("{place}/liba.so"), &library(&[]).bytes());
    }
    let at = |place: &str| folder.path().join(place);
    let text = |place: &str| Some(at(place).display().to_string());
    let all = Search {
        library_path: vec![at("path")],
        cache: HashMap::from([("liba.so".to_owned(), vec![at("cache/liba.so")])]),
        defaults: vec![at("lib")],
    };
    let source = |made: &Made, search: &Search| {
        let found = found(&folder, made, search).unwrap();
        found
            .into_iter()
            .find(|it| it.0.ends_with("liba.so"))
            .unwrap()
            .1
    };
    let old = Made {
        rpath: text("rpath"),
        ..made.clone()
    };
    assert_eq!(source(&old, &all), "/rpath/liba.so");
    let both = Made {
        runpath: text("runpath"),
        ..old
    };
    assert_eq!(source(&both, &all), "/path/liba.so");
    let without = Search {
        library_path: Vec::new(),
        ..all
    };
    assert_eq!(source(&both, &without), "/runpath/liba.so");
    assert_eq!(source(&made, &without), "/cache/liba.so");
    let without = Search {
        cache: HashMap::new(),
        ..without
    };
    assert_eq!(source(&made, &without), "/lib/liba.so");
}

#[test]
fn files_of_other_machines_are_passed_over() {
    let (folder, made) = program(&["liba.so"]);
    let other = Made {
        machine: object::elf::EM_AARCH64,
        ..library(&[])
    };
    folder.write("one/liba.so", &other.bytes());
    folder.write("two/liba.so", b"INPUT(-lgcc)");
    folder.write("three/liba.so", &library(&[]).bytes());
    let search = Search {
        library_path: ["one", "two", "three"]
            .map(|it| folder.path().join(it))
            .to_vec(),
        ..Search::default()
    };
    let found = found(&folder, &made, &search).unwrap();
    assert!(
        found.contains(&pair("/podpool/lib/liba.so", "/three/liba.so")),
        "{found:?}"
    );
}

#[test]
fn a_missing_library_and_a_missing_loader_are_named() {
    let (folder, made) = program(&["libpresent.so"]);
    folder.write("lib/libpresent.so", &library(&["libabsent.so.3"]).bytes());
    let search = Search {
        defaults: vec![folder.path().join("lib")],
        ..Search::default()
    };
    let error = found(&folder, &made, &search).unwrap_err();
    for word in [
        "libabsent.so.3",
        "libpresent.so",
        "PODPOOL_BASE_IMAGE",
        "musl",
    ] {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
    let lost = Made {
        loader: Some("/no/such/loader.so".to_owned()),
        ..made
    };
    let error = found(&folder, &lost, &search).unwrap_err();
    assert!(
        error.contains("/no/such/loader.so") && error.contains("flights"),
        "{error}"
    );
}

#[test]
fn a_static_program_needs_no_file() {
    let folder = Folder::new();
    assert_eq!(
        found(&folder, &Made::default(), &Search::default()),
        Ok(Vec::new())
    );
}

#[test]
fn an_old_glibc_brings_its_name_services() {
    let (folder, made) = program(&["libc.so.6"]);
    folder.write("lib/libnss_dns.so.2", &library(&["libresolv.so.2"]).bytes());
    folder.write("lib/libresolv.so.2", &library(&[]).bytes());
    let search = Search {
        defaults: vec![folder.path().join("lib")],
        ..Search::default()
    };
    let names = |version: &str| {
        folder.write("lib/libc.so.6", &Made::libc(version).bytes());
        let found = found(&folder, &made, &search).unwrap();
        found
            .into_iter()
            .filter(|it| it.0.starts_with("/lib/"))
            .count()
    };
    assert_eq!(names("2.31"), 3, "libc, DNS and the resolver");
    assert_eq!(names("2.34"), 1, "libc alone");
}

#[test]
fn musls_libc_is_its_loader() {
    let (folder, made) = program(&["libc.musl-x86_64.so.1", "libc.so"]);
    let loader = folder.write("lib/ld-musl-x86_64.so.1", b"loader");
    let made = Made {
        loader: Some(loader.display().to_string()),
        ..made
    };
    let found = found(&folder, &made, &Search::default()).unwrap();
    assert_eq!(
        found,
        [pair("/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-x86_64.so.1")]
    );
}

/// The libraries of this very program, which the loader has found.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn this_programs_libraries_are_those_that_are_loaded() {
    let elf = Elf::open(Path::new("/proc/self/exe")).unwrap();
    let program = std::env::current_exe().unwrap();
    let search = Search::of_this_machine(std::env::var("LD_LIBRARY_PATH").ok().as_deref());
    let libraries = of_program(&elf, ("tests", program.parent().unwrap()), &search).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let loaded: std::collections::BTreeSet<_> = maps
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5))
        .filter(|path| path.contains(".so"))
        .map(|path| fs::canonicalize(path).unwrap())
        .collect();
    let found: std::collections::BTreeSet<_> = libraries
        .iter()
        .map(|library| fs::canonicalize(&library.source).unwrap())
        .collect();
    assert_eq!(found, loaded);
}
