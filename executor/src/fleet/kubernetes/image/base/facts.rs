//! What is known of a base: its glibc and its libraries, and a note of it on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::debug;

use super::super::digest::Digest;
use super::super::elf::Glibc;

/// The version of the note's form.
const VERSION: u8 = 1;

/// What programs find in a base.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Facts {
    /// The version of its glibc.
    pub(super) glibc: Option<Glibc>,
    /// The paths of its libraries, without a slash at their beginning.
    pub(super) libraries: BTreeSet<String>,
}

impl Facts {
    /// Whether a library of this name is in some directory.
    pub(super) fn has(&self, name: &str) -> bool {
        let name = name.rsplit('/').next().unwrap_or(name);
        let mut paths = self.libraries.iter();
        paths.any(|path| path.rsplit('/').next() == Some(name))
    }
}

/// Facts of bases on this machine, so that a base is downloaded once and not with each change of the program. An image
/// is known by the digest of its configuration, so that a fact never changes.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Remembered {
    /// None: nothing is remembered.
    pub(in super::super) directory: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Note {
    version: u8,
    facts: Facts,
}

impl Remembered {
    /// In the directory of caches: <https://specifications.freedesktop.org/basedir-spec/latest/>.
    pub(in super::super) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let caches = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        Self {
            directory: caches.map(|caches| caches.join("podpool/base-images")),
        }
    }

    fn file(&self, base: &Digest) -> Option<PathBuf> {
        let name = base.as_str().trim_start_matches("sha256:");
        Some(self.directory.as_ref()?.join(format!("{name}.json")))
    }

    /// The facts of a base, if they were noted. A note that cannot be read is none.
    pub(super) fn get(&self, base: &Digest) -> Option<Facts> {
        let text = fs::read(self.file(base)?).ok()?;
        let note: Note = serde_json::from_slice(&text).ok()?;
        (note.version == VERSION).then_some(note.facts)
    }

    /// Notes the facts of a base. Without a note the base is read again next time.
    pub(super) fn put(&self, base: &Digest, facts: &Facts) {
        let Some(file) = self.file(base) else { return };
        let note = Note {
            version: VERSION,
            facts: facts.clone(),
        };
        let written = serde_json::to_vec(&note)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                fs::create_dir_all(file.parent().unwrap_or(&file))?;
                // Renamed, so that another process never reads a half.
                let half = file.with_extension(format!("{:016x}", fastrand::u64(..)));
                fs::write(&half, text)?;
                fs::rename(&half, &file)
            });
        if let Err(error) = written {
            debug!(%error, file = %file.display(), "what a base image holds cannot be noted");
        }
    }
}
