//! What an executable or a library needs of the system that loads it, read from its ELF file as the loader reads it: by
//! its segments, so that files without sections are read too.
//!
//! <https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html>; versions of symbols:
//! <https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html>.

use std::fmt;
use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadRef, StringTable};

type Header = FileHeader64<Endianness>;
type Segment = elf::ProgramHeader64<Endianness>;

/// Most entries of a table that are read; a sound file has some hundreds.
const MOST: usize = 65_536;

/// A file of the ELF format, for Linux on 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// The machine: `EM_X86_64` and the like.
    pub(super) machine: u16,
    /// Whether its numbers begin with their lowest byte.
    pub(super) little_endian: bool,
    /// The loader, `PT_INTERP`; none in libraries and in static programs.
    pub(super) loader: Option<String>,
    /// The libraries that it links with, `DT_NEEDED`.
    pub(super) needed: Vec<String>,
    /// Where they are searched before the environment's paths, `DT_RPATH`; without effect beside `runpath`.
    pub(super) rpath: Vec<String>,
    /// Where they are searched after them, `DT_RUNPATH`.
    pub(super) runpath: Vec<String>,
    /// The oldest glibc that has all versions of symbols which the file needs.
    pub(super) needs_glibc: Option<Glibc>,
    /// The newest version of glibc's symbols that the file defines: that of the glibc itself, in `libc.so.6`.
    pub(super) has_glibc: Option<Glibc>,
}

/// A version of glibc, such as 2.36.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Glibc(u32, u32, u32);

impl Glibc {
    /// The version in which name service modules became part of `libc.so.6`.
    /// <https://sourceware.org/pipermail/libc-announce/2021/000032.html>
    pub(super) const ONE_LIBRARY: Self = Self(2, 34, 0);

    /// The version of a symbol: `GLIBC_2.34`. None for `GLIBC_PRIVATE` and for other libraries' versions.
    fn parse(name: &str) -> Option<Self> {
        // What a program with relative relocations needs, which 2.36 brought:
        // <https://sourceware.org/pipermail/libc-announce/2022/000033.html>
        if name == "GLIBC_ABI_DT_RELR" {
            return Some(Self(2, 36, 0));
        }
        let mut parts = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        let mut part = || parts.next().transpose().ok();
        let (major, minor, patch) = (part()??, part()??, part()?.unwrap_or(0));
        parts.next().is_none().then_some(Self(major, minor, patch))
    }
}

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor, patch) = self;
        match patch {
            0 => write!(f, "{major}.{minor}"),
            patch => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl Elf {
    /// Reads a file, of which only the parts that are needed come into memory.
    ///
    /// # Errors
    /// Why it cannot be a program of Linux nodes.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        Self::read(&ReadCache::new(file))
    }

    /// The same for a file of which the bytes are there.
    pub(super) fn read<'data, R: ReadRef<'data>>(data: R) -> Result<Self, String> {
        let magic = data
            .read_bytes_at(0, 8)
            .map_err(|()| "it is no executable".to_owned())?;
        check_format(magic)?;
        let header = Header::parse(data).map_err(|error| error.to_string())?;
        let endian = header.endian().map_err(|error| error.to_string())?;
        let segments = header
            .program_headers(endian, data)
            .map_err(|error| error.to_string())?;
        let image = Image {
            data,
            endian,
            segments,
        };
        let mut read = Self {
            machine: header.e_machine.get(endian),
            little_endian: endian == Endianness::Little,
            loader: image.loader()?,
            needed: Vec::new(),
            rpath: Vec::new(),
            runpath: Vec::new(),
            needs_glibc: None,
            has_glibc: None,
        };
        image.dynamic(&mut read).map_err(|()| damaged())?;
        Ok(read)
    }

    /// The architecture as images name it, such as `amd64`:
    /// <https://go.dev/doc/install/source#environment>, `GOARCH`.
    pub(super) fn architecture(&self) -> Option<&'static str> {
        Some(match self.machine {
            elf::EM_X86_64 => "amd64",
            elf::EM_AARCH64 => "arm64",
            elf::EM_RISCV => "riscv64",
            elf::EM_PPC64 if self.little_endian => "ppc64le",
            elf::EM_S390 => "s390x",
            elf::EM_LOONGARCH => "loong64",
            _ => return None,
        })
    }

    /// Whether the loader is musl's, which is its C library too.
    pub(super) fn is_musl(&self) -> bool {
        let loader = self.loader.as_deref().unwrap_or_default();
        loader
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("ld-musl-"))
    }
}

fn damaged() -> String {
    "its ELF headers contradict each other".to_owned()
}

/// Refuses files of other systems, by their first bytes.
fn check_format(magic: &[u8]) -> Result<(), String> {
    let is = |bytes: [u8; 4]| magic.starts_with(&bytes);
    if magic.starts_with(b"MZ") {
        return Err("it is a program for Windows (PE)".to_owned());
    }
    if is([0xcf, 0xfa, 0xed, 0xfe]) || is([0xce, 0xfa, 0xed, 0xfe]) || is([0xca, 0xfe, 0xba, 0xbe])
    {
        return Err("it is a program for macOS (Mach-O)".to_owned());
    }
    if !is(elf::ELFMAG) {
        return Err("it is no executable of the ELF format".to_owned());
    }
    if magic[4] != elf::ELFCLASS64 {
        return Err("it is a program for 32 bits".to_owned());
    }
    match magic[7] {
        elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU => Ok(()),
        other => Err(format!(
            "it is a program for another system than Linux (ELF OS/ABI {other})"
        )),
    }
}

/// A file as the loader sees it.
struct Image<'data, R> {
    data: R,
    endian: Endianness,
    segments: &'data [Segment],
}

impl<'data, R: ReadRef<'data>> Image<'data, R> {
    fn loader(&self) -> Result<Option<String>, String> {
        for segment in self.segments {
            let found = segment.interpreter(self.endian, self.data);
            if let Some(path) = found.map_err(|error| error.to_string())? {
                return Ok(Some(String::from_utf8_lossy(path).into_owned()));
            }
        }
        Ok(None)
    }

    /// Where an address is in the file.
    fn offset(&self, address: u64) -> Option<u64> {
        let endian = self.endian;
        let loaded = self
            .segments
            .iter()
            .filter(|it| it.p_type(endian) == elf::PT_LOAD);
        loaded
            .filter_map(|it| {
                let within = address.checked_sub(it.p_vaddr(endian))?;
                (within < it.p_filesz(endian)).then(|| it.p_offset(endian).checked_add(within))?
            })
            .next()
    }

    fn dynamic(&self, read: &mut Elf) -> Result<(), ()> {
        let mut table = None;
        for segment in self.segments {
            let found = segment.dynamic(self.endian, self.data);
            table = found.map_err(drop)?.or(table);
        }
        // A static program may have none.
        let Some(table) = table else { return Ok(()) };
        let entries: Vec<(i64, u64)> = table
            .iter()
            .map(|entry| (entry.tag(self.endian), entry.val(self.endian)))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .take(MOST)
            .collect();
        let value = |wanted: i64| {
            let mut entries = entries.iter();
            entries
                .find(|(tag, _)| *tag == wanted)
                .map(|(_, value)| *value)
        };
        let Some(address) = value(elf::DT_STRTAB) else {
            return Ok(());
        };
        let start = self.offset(address).ok_or(())?;
        let size = value(elf::DT_STRSZ).ok_or(())?;
        let strings = StringTable::new(self.data, start, start.checked_add(size).ok_or(())?);
        let text = |at: u64| {
            let found = u32::try_from(at)
                .map_err(drop)
                .and_then(|at| strings.get(at))?;
            Ok::<_, ()>(String::from_utf8_lossy(found).into_owned())
        };
        for (tag, value) in &entries {
            match *tag {
                elf::DT_NEEDED => read.needed.push(text(*value)?),
                elf::DT_RPATH => read.rpath.extend(directories(&text(*value)?)),
                elf::DT_RUNPATH => read.runpath.extend(directories(&text(*value)?)),
                _ => {}
            }
        }
        if let Some(address) = value(elf::DT_VERNEED) {
            read.needs_glibc = self.needed_versions(address, text)?;
        }
        if let Some(address) = value(elf::DT_VERDEF) {
            read.has_glibc = self.defined_versions(address, text)?;
        }
        Ok(())
    }

    fn needed_versions(
        &self,
        address: u64,
        text: impl Fn(u64) -> Result<String, ()>,
    ) -> Result<Option<Glibc>, ()> {
        let endian = self.endian;
        let (mut newest, mut at) = (None, self.offset(address).ok_or(())?);
        for _ in 0..MOST {
            let need: &elf::Verneed<Endianness> = self.data.read_at(at)?;
            let mut version_at = at.checked_add(need.vn_aux.get(endian).into()).ok_or(())?;
            for _ in 0..need.vn_cnt.get(endian) {
                let version: &elf::Vernaux<Endianness> = self.data.read_at(version_at)?;
                let name = text(version.vna_name.get(endian).into())?;
                newest = newest.max(Glibc::parse(&name));
                version_at = version_at
                    .checked_add(version.vna_next.get(endian).into())
                    .ok_or(())?;
            }
            match need.vn_next.get(endian) {
                0 => return Ok(newest),
                next => at = at.checked_add(next.into()).ok_or(())?,
            }
        }
        Err(())
    }

    fn defined_versions(
        &self,
        address: u64,
        text: impl Fn(u64) -> Result<String, ()>,
    ) -> Result<Option<Glibc>, ()> {
        let endian = self.endian;
        let (mut newest, mut at) = (None, self.offset(address).ok_or(())?);
        for _ in 0..MOST {
            let defined: &elf::Verdef<Endianness> = self.data.read_at(at)?;
            // The first name is the version's own, the others are those that it extends.
            let name_at = at
                .checked_add(defined.vd_aux.get(endian).into())
                .ok_or(())?;
            let name: &elf::Verdaux<Endianness> = self.data.read_at(name_at)?;
            newest = newest.max(Glibc::parse(&text(name.vda_name.get(endian).into())?));
            match defined.vd_next.get(endian) {
                0 => return Ok(newest),
                next => at = at.checked_add(next.into()).ok_or(())?,
            }
        }
        Err(())
    }
}

/// The directories of a search path.
fn directories(path: &str) -> impl Iterator<Item = String> + use<> {
    let parts: Vec<_> = path
        .split(':')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    parts.into_iter()
}

#[cfg(test)]
pub(super) mod made;
#[cfg(test)]
mod tests;
