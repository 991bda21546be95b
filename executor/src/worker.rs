//! The process of a worker: its role, the description of its run, its exit codes and last messages.

#[cfg(feature = "kubernetes")]
pub(crate) mod build_id;
pub(crate) mod descriptor;
pub(crate) mod known;
#[cfg(unix)]
pub(crate) mod pod;
pub(crate) mod roles;
pub(crate) mod settings;
