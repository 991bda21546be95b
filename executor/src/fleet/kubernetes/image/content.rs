//! What is in the image of a program, and the name of that content.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::elf::Elf;
use super::error::{ImageError, because};
use super::layer::{Content, Entry};
use super::libraries::{self, Library, OWN_DIRECTORY, Search};
use super::reference::{BaseImage, component};

/// Where the image has the program.
const DIRECTORY: &str = "podpool/bin";
/// The user of workers, as the pods of the fleet have it.
pub(super) const USER: &str = "65532:65532";
/// Changes with what an image is made of beside the files: images of another version have other tags.
const VERSION: u8 = 1;
/// Where systems have the certificates of authorities in one file, of Debian, Fedora, SUSE and Alpine. Programs look in
/// all of them: <https://docs.rs/openssl-probe>.
const CERTIFICATES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A program as a file of this machine.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Its name, for people and for the repository.
    pub(super) name: String,
    /// The file, which may have lost its name.
    pub(super) file: PathBuf,
    /// The directory that the file was started from.
    pub(super) directory: PathBuf,
}

impl Program {
    /// This very program.
    pub(super) fn this() -> Result<Self, ImageError> {
        let path =
            std::env::current_exe().map_err(because("the file of this program cannot be found"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            // The kernel appends this to the path of a file that was removed or replaced.
            name: name.trim_end_matches(" (deleted)").to_owned(),
            directory: path.parent().unwrap_or(Path::new("/")).to_owned(),
            // The file that was started, also if another file has its path by now.
            file: match cfg!(target_os = "linux") {
                true => "/proc/self/exe".into(),
                false => path.clone(),
            },
        })
    }
}

/// The content of an image, before it is packed.
#[derive(Debug)]
pub(super) struct Plan {
    /// The program's own name.
    pub(super) name: String,
    /// The program's file.
    pub(super) elf: Elf,
    /// The architecture as images name it.
    pub(super) architecture: &'static str,
    /// The entries of the layer, sorted by path.
    pub(super) entries: Vec<Entry>,
    /// The path of the program in the image.
    pub(super) entrypoint: String,
    /// Variables of the image.
    pub(super) env: Vec<String>,
    /// The tag, which names this content and no other.
    pub(super) tag: String,
}

/// Plans the image of a program, on top of a base where there is one.
///
/// # Errors
/// A program that nodes cannot run, and files that are missing.
pub(super) fn plan(
    program: &Program,
    base: Option<&BaseImage>,
    search: &Search,
    certificates: Option<&Path>,
) -> Result<Plan, ImageError> {
    let elf = Elf::open(&program.file)
        .map_err(|reason| ImageError::new(foreign(&program.name, &reason)))?;
    let architecture = elf.architecture().ok_or_else(|| {
        let reason = format!(
            "it is for a machine of which no nodes are known (ELF machine {})",
            elf.machine
        );
        ImageError::new(foreign(&program.name, &reason))
    })?;
    let name = component(&program.name);
    let path = format!("{DIRECTORY}/{name}");
    let mut entries = vec![Entry {
        path: path.clone(),
        mode: 0o755,
        content: Content::File(program.file.clone()),
    }];
    let mut env = Vec::new();
    if base.is_none() {
        let named = (&*program.name, &*program.directory);
        let libraries = libraries::of_program(&elf, named, search)?;
        env.push("PATH=/podpool/bin".to_owned());
        if libraries
            .iter()
            .any(|library| library.target.starts_with(OWN_DIRECTORY))
        {
            env.push(format!("LD_LIBRARY_PATH={OWN_DIRECTORY}"));
        }
        entries.extend(libraries.into_iter().map(of_library));
        entries.extend(system(certificates));
    }
    with_directories(&mut entries);
    let tag = tag(&entries, (architecture, &path), base)?;
    Ok(Plan {
        name: program.name.clone(),
        elf,
        architecture,
        entries,
        entrypoint: format!("/{path}"),
        env,
        tag,
    })
}

/// The architecture of a program, if nodes of it are known.
pub(super) fn architecture(program: &Program) -> Option<&'static str> {
    Elf::open(&program.file).ok()?.architecture()
}

/// The compiler's target for nodes of an architecture.
pub(super) fn target_of(architecture: &str) -> Option<&'static str> {
    Some(match architecture {
        "amd64" => "x86_64-unknown-linux-gnu",
        "arm64" => "aarch64-unknown-linux-gnu",
        "riscv64" => "riscv64gc-unknown-linux-gnu",
        "ppc64le" => "powerpc64le-unknown-linux-gnu",
        "s390x" => "s390x-unknown-linux-gnu",
        "loong64" => "loongarch64-unknown-linux-gnu",
        _ => return None,
    })
}

/// Why a program cannot run on nodes, and how to make one that can.
fn foreign(name: &str, reason: &str) -> String {
    format!(
        "{name} cannot run on a cluster's nodes: {reason}. Compile it for them (rustup target add x86_64-unknown-linux-musl; cargo build --release --target x86_64-unknown-linux-musl), and start that program on a Linux machine, or make an image of it and name it with PODPOOL_IMAGE"
    )
}

fn of_library(library: Library) -> Entry {
    Entry {
        path: library.target.trim_start_matches('/').to_owned(),
        mode: 0o755,
        content: Content::File(library.source),
    }
}

/// What every program may expect of its system.
fn system(certificates: Option<&Path>) -> Vec<Entry> {
    let mut entries = vec![
        Entry::text("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
        // Names of hosts are looked up in the file that the cluster writes, and by DNS.
        Entry::text(
            "etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        ),
        Entry::text(
            "etc/passwd",
            "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n",
        ),
        Entry::directory("tmp", 0o1777),
    ];
    entries.extend(certificates.map(|path| Entry {
        path: CERTIFICATES[0].trim_start_matches('/').to_owned(),
        mode: 0o644,
        content: Content::File(path.to_owned()),
    }));
    entries
}

/// The certificates of authorities of this machine, in one file; `named` is the value of `SSL_CERT_FILE`.
pub(super) fn certificates(named: Option<&str>) -> Option<PathBuf> {
    let all = named.into_iter().chain(CERTIFICATES).map(PathBuf::from);
    all.into_iter().find(|path| path.is_file())
}

/// Adds the directories above the entries, and sorts them.
fn with_directories(entries: &mut Vec<Entry>) {
    let mut above = BTreeSet::new();
    for entry in &*entries {
        let slashes = entry.path.match_indices('/');
        above.extend(slashes.map(|(at, _)| entry.path[..at].to_owned()));
    }
    entries.extend(above.iter().map(|path| Entry::directory(path, 0o755)));
    entries.sort_by(|one, other| one.path.cmp(&other.path));
}

/// The name of the content: the same for the same program with the same libraries on the same base, and for nothing
/// else. It takes about a second for each GB where this program is optimised.
fn tag(
    entries: &[Entry],
    (architecture, path): (&str, &str),
    base: Option<&BaseImage>,
) -> Result<String, ImageError> {
    let mut hasher = blake3::Hasher::new_derive_key("podpool 2026-12 content of an image");
    let mut part = |bytes: &[u8]| {
        // With its length, so that no two lists have the same parts.
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&[VERSION]);
    part(architecture.as_bytes());
    part(path.as_bytes());
    part(base.map(ToString::to_string).unwrap_or_default().as_bytes());
    for entry in entries {
        part(entry.path.as_bytes());
        part(&entry.mode.to_le_bytes());
        match &entry.content {
            Content::Directory => part(b"directory"),
            Content::Text(text) => part(text.as_bytes()),
            Content::File(file) => {
                let hash = hash(file);
                let unread = format!("{} cannot be read for the image", file.display());
                part(hash.map_err(because(unread))?.as_bytes());
            }
        }
    }
    Ok(format!("podpool-{}", &hasher.finalize().to_hex()[..40]))
}

fn hash(file: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(file)?)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests;
