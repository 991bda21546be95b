//! The effects that the fleet's loop carries out for its state.

use std::sync::Arc;

use podpool_core::broker::Cohort;
use podpool_core::fleet::FleetEvent;

use super::super::diagnose::Needs;
#[cfg(doc)]
use super::Cohorts;
use super::notices::Notice;

/// What the loop has to do.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Create this cohort; the result is passed to [`Cohorts::on_opened`] or [`Cohorts::on_refused`].
    Open(Cohort),
    /// See to it that the queues of a cohort of an earlier master exist: its workers go on.
    Adopt(Cohort),
    /// Delete the cohort's queues: no worker uses them any more.
    Retire(Cohort),
    /// Send this event to dispatch.
    Report(FleetEvent),
    /// Show this notice to the user.
    Notify(Notice),
    /// Read the end of this pod's log; the result is passed to [`Cohorts::on_log`].
    ReadLog(Arc<str>),
    /// Compare what this pod asks for with the nodes of the cluster; the result is passed to [`Cohorts::on_room`].
    FindRoom {
        /// The pod.
        pod: Arc<str>,
        /// What it asks for.
        needs: Needs,
    },
}

/// Why a cohort could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// Whether a further attempt fails too, unless rights or settings of the cluster change.
    pub lasting: bool,
    /// Whether no change of rights or settings can help: the namespace is being removed.
    pub over: bool,
    /// The cluster's message, and what to do.
    pub reason: String,
}
