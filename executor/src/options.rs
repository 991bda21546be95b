//! Options of a pool, and the types of their values.
//!
//! What counts everywhere is a method of [`Builder`](crate::Builder). What counts in one place is in that place's
//! struct: [`LocalOptions`] for this machine, [`KubernetesOptions`] for pods, [`PubSubOptions`] for their queue. Each
//! struct exists with and without its Cargo feature, so a program that sets all of them compiles either way, and
//! `PODPOOL_BACKEND` alone selects where it runs.
//!
//! # Memory
//!
//! | option | on this machine | on a cluster |
//! |---|---|---|
//! | [`task(memory = "2GiB")`](macro@crate::task), or [`Call::memory`](crate::Call::memory) for one call | a limit: the slot's process is killed when it holds more while it runs the task. And a share: the task waits until so many bytes of `LocalOptions::memory` are free | the limit; there is no share |
//! | [`Builder::slot_memory`](crate::Builder::slot_memory) | a limit of every slot's process, whatever it runs; the kernel stops what grows past it too fast for samples. Of this limit and the task's the lower one counts | the same |
//! | [`LocalOptions::memory`] | what the tasks that run at a time share, by what they declare. It limits no process. Default: the memory of the machine or its container | no effect |
//! | [`KubernetesOptions::memory`] | no effect | what a pod requests, and its limit, which all its slots share. Default: 2 GiB |
//!
//! Limits are looked at every 50 ms. A task that is past one fails with
//! [`OutOfMemory`](crate::TaskErrorKind::OutOfMemory), after one more attempt. With [`Isolation::InProcess`] slots are
//! threads: `slot_memory` is refused, a task's `memory` is no limit, and its share counts.

pub use podpool_core::ledger::Durability;
pub use podpool_core::worker::OutputLine;

pub use crate::broker::given_names::{ControlNames, GivenNames};
pub use crate::client::options::{Isolation, KubernetesOptions, LocalOptions, PubSubOptions};
pub use crate::fleet::worker_spec::{
    EphemeralVolume, GpuVendor, NodeAffinity, PodAffinity, PodContainer, PullPolicy, Qos, Seccomp,
    Setting, Source, Spot, Spread, TaintEffect, Tmpfs, Toleration,
};
pub use crate::master::again::Reprocess;
pub use crate::master::limits::FailureLimit;
pub use crate::report::notices::Notices;

/// The types of a pod, those of `k8s-openapi` 0.29, for [`KubernetesOptions::patch_pod`].
#[cfg(feature = "kubernetes")]
pub use k8s_openapi::api::core::v1 as pod;
