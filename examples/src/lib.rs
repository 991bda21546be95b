//! The part of each of podpool's examples that can be tested without a pool.

pub mod flights;
