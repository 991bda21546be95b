//! Where a setting of workers comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a setting of workers comes from. The first of these that has the setting counts; of settings with several
/// names, such as labels, each name counts by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The program: a method of [`KubernetesOptions`](crate::options::KubernetesOptions).
    Program,
    /// The variable of this name.
    Variable(String),
    /// This file, `podpool.toml`.
    File(PathBuf),
    /// This file, a pod template.
    Template(PathBuf),
    /// Nothing set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("the program"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path) | Self::Template(path) => path.display().fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting of workers, as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name: a method of [`KubernetesOptions`](crate::options::KubernetesOptions), with a `.` and the key where
    /// each key counts by itself, as in `label.team`.
    pub name: String,
    /// Its value, as a variable would have it. Values of the workers' variables are not shown, for they may be secret.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.name, self.value, self.source)
    }
}

/// The sources of the settings that the program did not set, by their names as in [`Setting::name`].
pub type Sources = BTreeMap<String, Source>;
