//! The libraries that a program links with, found as the loader finds them.
//!
//! The order is that of ld.so (<https://man7.org/linux/man-pages/man8/ld.so.8.html>): `DT_RPATH` where there is no
//! `DT_RUNPATH`, `LD_LIBRARY_PATH`, `DT_RUNPATH`, the loader's cache, the default directories. A library that the
//! program opens at run time (`dlopen`) is named nowhere, and so not found.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::elf::{Elf, Glibc};
use super::error::ImageError;
use super::loader_cache;

/// Where the image has libraries that lie in no default directory here.
pub(super) const OWN_DIRECTORY: &str = "/podpool/lib";
/// Default directories of loaders, on the systems that have them: Debian's are named for the machine, Fedora's for its
/// bits, Alpine's has /usr/local.
const DEFAULTS: [&str; 6] = [
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
];
/// The modules of name services that programs may need without linking with them: DNS, before glibc 2.34.
const NAME_SERVICES: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
/// More libraries than any program has.
const MOST: usize = 4_096;

/// Where libraries are searched on a machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// `LD_LIBRARY_PATH`.
    pub(super) library_path: Vec<PathBuf>,
    /// The loader's cache.
    pub(super) cache: HashMap<String, Vec<PathBuf>>,
    /// The default directories.
    pub(super) defaults: Vec<PathBuf>,
}

/// A file of this machine that the program needs at run time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Library {
    /// The absolute path in the image.
    pub(super) target: String,
    /// The file here.
    pub(super) source: PathBuf,
}

impl Search {
    /// Where this machine's loader searches for programs of an architecture.
    pub(super) fn of_this_machine(library_path: Option<&str>) -> Self {
        let paths = library_path.into_iter().flat_map(|path| path.split(':'));
        let named = std::env::consts::ARCH;
        let by_machine =
            ["/lib", "/usr/lib"].map(|root| format!("{root}/{named}-linux-gnu").into());
        Self {
            library_path: paths
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .collect(),
            cache: fs::read("/etc/ld.so.cache")
                .map_or_else(|_| HashMap::new(), |file| loader_cache::parse(&file)),
            defaults: by_machine
                .into_iter()
                .chain(DEFAULTS.map(PathBuf::from))
                .collect(),
        }
    }

    /// The directories of a path of the file itself, in which `$ORIGIN` is the file's own directory. Other variables
    /// are not known here; the loader's other ways find what they lead to.
    fn expand<'a>(path: &'a [String], origin: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        let expanded = path.iter().map(move |directory| {
            let origin = origin.to_string_lossy();
            directory
                .replace("${ORIGIN}", &origin)
                .replace("$ORIGIN", &origin)
        });
        expanded
            .filter(|directory| !directory.contains('$'))
            .map(PathBuf::from)
    }

    /// Where a library may be that this file needs, in the loader's order.
    fn candidates(&self, name: &str, by: &Loaded, program: &Loaded) -> Vec<PathBuf> {
        if name.contains('/') {
            return vec![PathBuf::from(name)];
        }
        let mut directories = Vec::new();
        if by.elf.runpath.is_empty() {
            directories.extend(Self::expand(&by.elf.rpath, &by.origin));
            if program.elf.runpath.is_empty() {
                directories.extend(Self::expand(&program.elf.rpath, &program.origin));
            }
        }
        directories.extend(self.library_path.iter().cloned());
        directories.extend(Self::expand(&by.elf.runpath, &by.origin));
        let mut found: Vec<_> = directories.iter().map(|it| it.join(name)).collect();
        found.extend(self.cache.get(name).into_iter().flatten().cloned());
        found.extend(self.defaults.iter().map(|it| it.join(name)));
        found
    }

    /// Where the image has a library that was found here.
    fn target(&self, name: &str, found: &Path) -> String {
        let own = name.contains('/')
            || found
                .parent()
                .is_some_and(|at| self.defaults.iter().any(|it| it == at));
        match own {
            true => found.display().to_string(),
            false => format!("{OWN_DIRECTORY}/{name}"),
        }
    }
}

/// A file with its directory, for `$ORIGIN`.
struct Loaded {
    elf: Elf,
    name: String,
    origin: PathBuf,
}

/// The loader of a program and all libraries that it links with, directly or not; nothing for a static program.
///
/// `directory` is that of the program's file, and `name` names it in errors.
///
/// # Errors
/// The loader or a library that is not on this machine, and what to do.
pub(super) fn of_program(
    program: &Elf,
    (name, directory): (&str, &Path),
    search: &Search,
) -> Result<Vec<Library>, ImageError> {
    let Some(loader) = &program.loader else {
        return Ok(Vec::new());
    };
    if !Path::new(loader).is_file() {
        return Err(ImageError::new(format_args!(
            "the loader {loader} of {name} is not on this machine; {REMEDY}"
        )));
    }
    let loader_name = loader.rsplit('/').next().unwrap_or(loader);
    let mut libraries = vec![Library {
        target: loader.clone(),
        source: loader.into(),
    }];
    let program = Loaded {
        elf: program.clone(),
        name: name.to_owned(),
        origin: directory.to_owned(),
    };
    // The loader takes the first library of each name, in this order, for all that need it.
    let mut seen: Vec<String> = Vec::new();
    let mut open: VecDeque<Loaded> = VecDeque::new();
    let mut next = Some(&program);
    let mut current;
    while let Some(by) = next {
        for wanted in &by.elf.needed {
            let is_loader =
                wanted == loader_name || (program.elf.is_musl() && is_musl_libc(wanted));
            if is_loader || seen.contains(wanted) {
                continue;
            }
            if seen.len() == MOST {
                return Err(ImageError::new(format_args!(
                    "{name} needs more than {MOST} libraries"
                )));
            }
            let (library, loaded) = find(wanted, by, &program, search)?;
            libraries.push(library);
            seen.push(wanted.clone());
            open.push_back(loaded);
        }
        add_name_services(by, &mut libraries, &mut seen, (&program, search));
        current = open.pop_front();
        next = current.as_ref();
    }
    libraries.sort();
    libraries.dedup_by(|one, other| one.target == other.target);
    Ok(libraries)
}

const REMEDY: &str = "link the program statically (cargo build --target x86_64-unknown-linux-musl), or name an image that was made another way (KubernetesOptions::image, PODPOOL_IMAGE)";

fn find(
    wanted: &str,
    by: &Loaded,
    program: &Loaded,
    search: &Search,
) -> Result<(Library, Loaded), ImageError> {
    for path in search.candidates(wanted, by, program) {
        // The loader passes over files of other machines too. Others of the name may be scripts of a linker.
        let Ok(elf) = Elf::open(&path) else { continue };
        if elf.machine != program.elf.machine {
            continue;
        }
        let library = Library {
            target: search.target(wanted, &path),
            source: path.clone(),
        };
        // `$ORIGIN` of a library is the directory that it was found in, links in its name unresolved.
        let loaded = Loaded {
            elf,
            name: wanted.to_owned(),
            origin: path.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        return Ok((library, loaded));
    }
    Err(ImageError::new(format_args!(
        "{wanted}, a library that {} needs, is not on this machine: neither in LD_LIBRARY_PATH, the file's own paths, /etc/ld.so.cache nor the default directories; install it, set KubernetesOptions::base_image (PODPOOL_BASE_IMAGE) to an image that has it, or {REMEDY}",
        by.name
    )))
}

/// Before 2.34 glibc opens the modules of name services at run time: without them a program finds no host.
fn add_name_services(
    libc: &Loaded,
    libraries: &mut Vec<Library>,
    seen: &mut Vec<String>,
    (program, search): (&Loaded, &Search),
) {
    let old = libc
        .elf
        .has_glibc
        .is_some_and(|version| version < Glibc::ONE_LIBRARY);
    if libc.name != "libc.so.6" || !old {
        return;
    }
    for name in NAME_SERVICES {
        if !seen.iter().any(|one| one == name)
            && let Ok((library, _)) = find(name, libc, program, search)
        {
            libraries.push(library);
            seen.push(name.to_owned());
        }
    }
}

/// Whether this is a name of musl's libc, which is the loader itself.
fn is_musl_libc(name: &str) -> bool {
    name == "libc.so" || name.starts_with("libc.musl-")
}

#[cfg(test)]
pub(super) mod tests;
