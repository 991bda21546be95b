//! Locking a mutex whose holder may have panicked, as core does it.

pub(crate) use podpool_core::lock::lock;
