//! All tasks that are linked into the program, by name and by index.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use linkme::distributed_slice;

use crate::shape::ShapeError;
use crate::task::TaskSpec;

/// Every `#[task]` of every crate that is linked into the program adds itself here; [`Registry`] reads it.
///
/// Its name is a section of the program, and holds this crate's version: so two versions in one program each have tasks
/// of their own. A test checks that the name follows the version.
#[doc(hidden)]
#[distributed_slice]
pub static PODPOOL_TASKS_0_1_0: [&'static TaskSpec];

#[doc(hidden)]
pub use PODPOOL_TASKS_0_1_0 as TASKS;

/// Stack of the thread that traces shapes, in bytes. It is address space: only what a trace touches becomes memory.
// 64 MiB for 128 levels (`MAX_DEPTH`): half a MiB for the frames of one level.
const TRACE_STACK: usize = 64 << 20;

/// The tasks of a program, sorted by name. The place in that order is a task's index: processes whose
/// [`digest`](Self::digest) is equal agree on it, so that an index can stand for a name between them.
pub struct Registry {
    specs: Box<[&'static TaskSpec]>,
    by_name: HashMap<&'static str, u32>,
    digest: OnceLock<Result<[u8; 16], RegistryError>>,
}

// Built once and never changed: indices travel between worker and slot, and hold for the life of both.
impl Registry {
    /// The program's registry, built by the first caller.
    ///
    /// # Errors
    /// [`RegistryError::Duplicates`] when two tasks have one name; it stays so for the life of the process.
    pub fn global() -> Result<&'static Self, RegistryError> {
        static GLOBAL: OnceLock<Result<Registry, RegistryError>> = OnceLock::new();
        let built = GLOBAL.get_or_init(|| {
            let registry = Self::new(TASKS.iter().copied())?;
            for (index, spec) in (0..).zip(&registry.specs) {
                // No other code sets the index, so the first value stands.
                spec.index.get_or_init(|| index);
            }
            Ok(registry)
        });
        built.as_ref().map_err(Clone::clone)
    }

    /// Sorts the tasks and checks their names.
    fn new(specs: impl IntoIterator<Item = &'static TaskSpec>) -> Result<Self, RegistryError> {
        let mut specs: Box<[_]> = specs.into_iter().collect();
        // Link order differs between builds; names do not. File and line order duplicates in the error.
        specs.sort_unstable_by_key(|spec| (spec.name, spec.file, spec.line));
        let duplicates: Vec<Duplicate> = specs
            .windows(2)
            .filter(|pair| pair[0].name == pair[1].name)
            .map(|pair| Duplicate::new(pair[0], pair[1]))
            .collect();
        if !duplicates.is_empty() {
            return Err(RegistryError::Duplicates(duplicates));
        }
        let by_name = specs.iter().map(|spec| spec.name).zip(0..).collect();
        Ok(Self {
            specs,
            by_name,
            digest: OnceLock::new(),
        })
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether the program has no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// The tasks in the order of their names, which is that of their indexes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static TaskSpec> + '_ {
        self.specs.iter().copied()
    }

    /// The task of this index.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&'static TaskSpec> {
        let index = usize::try_from(index).ok()?;
        self.specs.get(index).copied()
    }

    /// The index of the task of this name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The task of this name.
    ///
    /// # Errors
    /// [`RegistryError::Unknown`] when the program has no such task.
    pub fn find(&self, name: &str) -> Result<&'static TaskSpec, RegistryError> {
        self.index_of(name)
            .and_then(|index| self.get(index))
            .ok_or_else(|| RegistryError::Unknown(name.to_owned()))
    }

    /// Traces the shape of every task that was not traced yet; later calls answer from memory.
    ///
    /// # Errors
    /// [`RegistryError::Untraceable`] names every task that needs a `version`.
    pub fn trace(&self) -> Result<(), RegistryError> {
        self.digest().map(drop)
    }

    /// 16 bytes that are equal in two processes only if they have the same tasks with the same fingerprints:
    /// whether they are the same program, as far as tasks go. Traces like [`trace`](Self::trace).
    ///
    /// # Errors
    /// [`RegistryError::Untraceable`] names every task that needs a `version`.
    pub fn digest(&self) -> Result<[u8; 16], RegistryError> {
        self.digest
            .get_or_init(|| on_a_deep_stack(|| self.compute_digest()))
            .clone()
    }

    fn compute_digest(&self) -> Result<[u8; 16], RegistryError> {
        let mut untraceable = Vec::new();
        let mut hasher = blake3::Hasher::new();
        for spec in self.iter() {
            match spec.fingerprint() {
                Ok(fingerprint) => {
                    // The length first, so that two names and one long name are distinguished. A fingerprint has a
                    // fixed length.
                    hasher.update(&(spec.name.len() as u64).to_le_bytes());
                    hasher.update(spec.name.as_bytes());
                    hasher.update(&fingerprint.0);
                }
                Err(error) => untraceable.push((spec.name, error)),
            }
        }
        if untraceable.is_empty() {
            let mut digest = [0; 16];
            hasher.finalize_xof().fill(&mut digest);
            Ok(digest)
        } else {
            Err(RegistryError::Untraceable(untraceable))
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|spec| spec.name))
            .finish()
    }
}

/// Runs `work` on a thread whose stack holds deeply nested types; on this one when no thread can be had.
fn on_a_deep_stack<T: Send>(work: impl Fn() -> T + Sync) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("podpool-trace".to_owned())
            .stack_size(TRACE_STACK)
            .spawn_scoped(scope, &work)
            .ok()
            // A panic of the trace is tried again on this thread, where it reaches the caller.
            .and_then(|thread| thread.join().ok())
    })
    .unwrap_or_else(work)
}

/// Two tasks of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    name: &'static str,
    places: [(&'static str, u32); 2],
}

impl Duplicate {
    fn new(one: &TaskSpec, other: &TaskSpec) -> Self {
        Self {
            name: one.name,
            places: [(one.file, one.line), (other.file, other.line)],
        }
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [(file, line), (other_file, other_line)] = self.places;
        write!(
            f,
            "two tasks are called {}: {file}:{line} and {other_file}:{other_line}",
            self.name
        )
    }
}

/// Why the tasks of a program cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two tasks have one name.
    #[error("{}; give one of them another with #[task(name = \"…\")]", lines(.0.iter()))]
    Duplicates(Vec<Duplicate>),
    /// The shape of these tasks cannot be traced, and they state no version.
    #[error(
        "these tasks cannot be compared between programs: {}",
        lines(.0.iter().map(|(name, error)| format!("task {name}: {error}")))
    )]
    Untraceable(Vec<(&'static str, ShapeError)>),
    /// The program has no task of this name.
    #[error(
        "unknown task {0:?}: the program does not contain it. If it is the program of an image, that may be older than the master: build the image again. A crate that the program never names is left out by the linker: write `use my_tasks as _;` (with the crate's name) in its main file"
    )]
    Unknown(String),
}

fn lines<T: fmt::Display>(parts: impl Iterator<Item = T>) -> String {
    parts
        .map(|part| part.to_string())
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn sections_hold_the_version_so_that_two_versions_exist_side_by_side() {
        let version = env!("CARGO_PKG_VERSION")
            .replace(['.', '-', '+'], "_")
            .to_uppercase();
        for (name, source) in [
            ("PODPOOL_TASKS", include_str!("registry.rs")),
            ("PODPOOL_TEST_SLOTS", include_str!("role.rs")),
            ("PODPOOL_OUTPUT_STORES", include_str!("commit/stores.rs")),
        ] {
            let declared = format!("pub static {name}_{version}: [");
            assert!(source.contains(&declared), "expected {declared:?}");
        }
    }
}
