//! The side of the program: the executor and its options, futures, maps, waits, callbacks, signals, errors.

pub(crate) mod again;
pub(crate) mod at_exit;
pub mod blocking;
pub(crate) mod builder;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod executor;
pub(crate) mod future;
pub(crate) mod gather;
#[cfg(feature = "kubernetes")]
pub mod gc;
pub(crate) mod join;
pub(crate) mod map;
pub(crate) mod options;
pub(crate) mod signals;
pub(crate) mod wait;

// Here, and not beside the type: the builder makes the executor, so the executor's file does not name the builder.
impl executor::PodPoolExecutor {
    /// Settings of a new executor.
    pub fn builder() -> builder::Builder {
        builder::Builder::default()
    }
}

// The same: an object's file in the fleet names no options of the client.
#[cfg(feature = "kubernetes")]
impl crate::fleet::kubernetes::manifest::Manifest {
    /// Options of the workers: for [`template`](crate::manifest::template). Their image, namespace and service account
    /// are the manifest's where the options have none.
    pub fn workers(self, options: options::KubernetesOptions) -> Self {
        self.with_workers(options.spec)
    }
}
