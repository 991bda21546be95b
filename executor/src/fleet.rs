//! What starts workers: the executor's own thread, or a Kubernetes cluster.

#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub(crate) mod local;
