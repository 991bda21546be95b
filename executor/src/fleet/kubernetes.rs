//! The Kubernetes back-end's fleet: workers as pods of indexed Jobs.
//!
//! A fleet is a list of *cohorts*, each a Job that is never resized. A Job's own replacements of lost pods come after a
//! back-off that grows with every loss, so the fleet opens a small top-up cohort instead, and a replacement that the
//! controller creates later is drained. Pure: `job` (spec to objects), `diagnose` (pod to verdict), `cohorts` (what to
//! open and which events and notices follow), `places` (where pods run). `client` calls the API, `image` makes an image
//! of this program, `fleet` is the loop between them.

pub mod client;
pub mod cohorts;
pub mod diagnose;
pub mod fleet;
#[cfg(feature = "image")]
mod image;
pub mod job;
mod places;
pub(crate) mod reach;
pub mod spec;
mod spot;
pub mod termination_message;
