//! The Kubernetes back-end's fleet: workers as pods of indexed Jobs.
//!
//! A fleet is a list of *cohorts*, each a Job that is never resized. A Job's own replacements of lost pods come after a
//! back-off that grows with every loss, so the fleet opens a small top-up cohort instead, and a replacement that the
//! controller creates later is drained. Pure: `job` (spec to objects), `diagnose` (pod to verdict), `cohorts` (what to
//! open and which events and notices follow). `client` calls the API, `fleet` is the loop between them. `doctor` looks
//! whether a run could start, `manifest` writes objects for others to apply; `rights` is what both say of a master's Role.

pub mod client;
pub mod cohorts;
pub mod diagnose;
pub mod doctor;
pub mod fleet;
pub mod job;
pub mod manifest;
pub(crate) mod reach;
pub(crate) mod rights;
pub mod spec;
pub mod termination_message;
