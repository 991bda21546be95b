//! What podpool's examples are made of: the part of each that can be tested without a pool.

pub mod flights;
