//! The suites that every implementation of a contract passes: back-ends, decorators, and the reference first.
//!
//! A check is an async function that panics when a promise is broken, with a sentence that names the promise. Turn the
//! feature `conformance` on in dev-dependencies to call them from the tests of a back-end.

pub mod broker;
pub mod ledger;
pub mod queue;
