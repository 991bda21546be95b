//! What a program holds: the executor and its options, futures, maps, waits, callbacks, signals, errors.

pub(crate) mod at_exit;
pub(crate) mod builder;
pub(crate) mod executor;
pub(crate) mod future;
#[cfg(feature = "kubernetes")]
pub mod gc;
pub(crate) mod join;
pub(crate) mod map;
pub(crate) mod signals;
pub(crate) mod wait;
