//! Reads a layer for what programs need: libraries, and the version of the C library among them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::Archive;

use super::super::elf::{Elf, Glibc};
use super::super::manifest::{Compressed, Descriptor};
use super::facts::Facts;
use super::zstd::Frames;

/// The most bytes of a C library that are read.
const LARGEST: u64 = 64 << 20;
/// The most libraries of a base; a desktop's have some thousands.
const MOST: usize = 200_000;
/// What a deleted file is called: <https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts>.
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Adds a layer on top of what the layers below it have.
///
/// # Errors
/// A layer that cannot be read.
pub(super) fn read(
    file: &File,
    layer: &Descriptor,
    machine: u16,
    facts: &mut Facts,
) -> io::Result<()> {
    let file = BufReader::with_capacity(256 << 10, file);
    match layer.compressed() {
        Some(Compressed::No) => entries(file, machine, facts),
        Some(Compressed::Gzip) => entries(MultiGzDecoder::new(file), machine, facts),
        Some(Compressed::Zstd) => entries(Frames::new(file), machine, facts),
        None => Err(io::Error::other(format!(
            "{:?} is no layer",
            layer.media_type
        ))),
    }
}

fn entries(archive: impl Read, machine: u16, facts: &mut Facts) -> io::Result<()> {
    let mut archive = Archive::new(archive);
    // A deletion concerns the layers below alone, wherever it stands in its own.
    let (mut added, mut removed) = (BTreeMap::new(), Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = path
            .trim_start_matches("./")
            .trim_start_matches('/')
            .to_owned();
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == OPAQUE {
            removed.push(format!("{directory}/"));
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            let gone = format!("{directory}/{name}");
            removed.push(gone.trim_start_matches('/').to_owned());
        } else if is_library(name) {
            let regular = entry.header().entry_type().is_file();
            let version = match regular && is_libc(name) {
                true => version(&mut entry, machine)?,
                false => None,
            };
            added.insert(path, version);
        }
        if added.len() + facts.libraries.len() > MOST {
            return Err(io::Error::other(format!(
                "it has more than {MOST} libraries"
            )));
        }
    }
    facts
        .libraries
        .retain(|path| !removed.iter().any(|gone| is_below(path, gone)));
    if !facts.libraries.iter().any(|path| is_libc_path(path)) {
        facts.glibc = None;
    }
    // The newest where a layer has several, such as one for each of two directories.
    if let Some(version) = added.values().flatten().max() {
        facts.glibc = Some(*version);
    }
    facts.libraries.extend(added.into_keys());
    Ok(())
}

/// Whether a path is the removed one, or in the removed directory.
fn is_below(path: &str, gone: &str) -> bool {
    match path.strip_prefix(gone) {
        Some(rest) => gone.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

fn is_library(name: &str) -> bool {
    name.ends_with(".so") || name.contains(".so.")
}

fn is_libc_path(path: &str) -> bool {
    is_libc(path.rsplit('/').next().unwrap_or(path))
}

/// `libc.so.6`, or what older systems link that name to: `libc-2.31.so`.
fn is_libc(name: &str) -> bool {
    let numbered = name
        .strip_prefix("libc-")
        .and_then(|rest| rest.strip_suffix(".so"));
    let digits = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    name == "libc.so.6" || numbered.is_some_and(digits)
}

/// The version of a C library, if it is for this machine.
fn version(entry: &mut impl Read, machine: u16) -> io::Result<Option<Glibc>> {
    let mut bytes = Vec::new();
    entry.take(LARGEST).read_to_end(&mut bytes)?;
    // That of another architecture, or a file that is none, says nothing.
    let elf = Elf::read(&*bytes).ok();
    Ok(elf
        .filter(|elf| elf.machine == machine)
        .and_then(|elf| elf.has_glibc))
}
