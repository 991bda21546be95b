//! What is read of ELF files, of files that are none, and of damaged ones.

use proptest::prelude::*;

use super::made::Made;
use super::*;

fn read(made: &Made) -> Elf {
    Elf::read(&*made.bytes()).unwrap()
}

#[test]
fn a_file_states_what_it_needs() {
    let made = Made {
        needed: vec!["libssl.so.3".to_owned(), "libc.so.6".to_owned()],
        rpath: Some("/opt/a:$ORIGIN/b".to_owned()),
        runpath: Some("$ORIGIN/../lib".to_owned()),
        needs: [
            "GLIBC_2.9",
            "GLIBC_2.34",
            "GLIBC_2.2.5",
            "GLIBC_PRIVATE",
            "GCC_3.0",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Made::program("2.34")
    };
    let elf = read(&made);
    assert_eq!(elf.architecture(), Some("amd64"));
    assert_eq!(elf.loader.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(elf.needed, made.needed);
    assert_eq!(elf.rpath, ["/opt/a", "$ORIGIN/b"]);
    assert_eq!(elf.runpath, ["$ORIGIN/../lib"]);
    assert_eq!(
        elf.needs_glibc.unwrap().to_string(),
        "2.34",
        "2.34 is newer than 2.9"
    );
    assert_eq!(elf.has_glibc, None);
    let relative = Made {
        needs: vec!["GLIBC_2.9".to_owned(), "GLIBC_ABI_DT_RELR".to_owned()],
        ..made
    };
    assert_eq!(read(&relative).needs_glibc.unwrap().to_string(), "2.36");
}

#[test]
fn a_libc_states_its_version() {
    let elf = read(&Made::libc("2.36"));
    assert_eq!(elf.has_glibc.unwrap().to_string(), "2.36");
    assert!(elf.has_glibc > Some(Glibc::ONE_LIBRARY));
    assert_eq!(Glibc(2, 2, 5).to_string(), "2.2.5");
}

#[test]
fn a_static_program_needs_nothing() {
    let elf = read(&Made::default());
    assert_eq!((elf.loader.as_deref(), elf.needs_glibc), (None, None));
    assert!(elf.needed.is_empty() && !elf.is_musl());
    let musl = Made {
        loader: Some("/lib/ld-musl-aarch64.so.1".to_owned()),
        machine: object::elf::EM_AARCH64,
        ..Made::default()
    };
    assert!(read(&musl).is_musl());
    assert_eq!(read(&musl).architecture(), Some("arm64"));
}

#[test]
fn programs_of_other_systems_are_told_apart() {
    let with = |at: usize, byte: u8| {
        let mut bytes = Made::default().bytes();
        bytes[at] = byte;
        bytes
    };
    for (bytes, word) in [
        (b"MZ\x90\0\x03\0\0\0".to_vec(), "Windows"),
        (vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1], "macOS"),
        (b"#!/bin/sh\n".to_vec(), "no executable"),
        (b"".to_vec(), "no executable"),
        (with(4, 1), "32 bits"),
        (with(7, 9), "another system"),
    ] {
        let reason = Elf::read(&*bytes).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(
        read(&Made {
            machine: 2,
            ..Made::default()
        })
        .architecture(),
        None
    );
}

/// This very program, and the libc that it runs on.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn this_program_is_read() {
    let elf = Elf::open(Path::new("/proc/self/exe")).unwrap();
    assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
    assert!(elf.needs_glibc > Some(Glibc(2, 2, 5)), "{elf:?}");
    assert!(Path::new(&elf.loader.unwrap()).exists());
}

proptest! {
    /// No damage is a panic, an endless loop, or a huge allocation.
    #[test]
    fn damaged_files_are_errors_or_read(at in 0_usize..700, byte: u8, cut in 0_usize..700) {
        let mut bytes = Made { ..Made::program("2.34") }.bytes();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(cut.max(1) % length + 1);
        drop(Elf::read(&*bytes));
        let mut libc = Made::libc("2.36").bytes();
        let length = libc.len();
        libc[at % length] = byte;
        drop(Elf::read(&*libc));
    }
}
