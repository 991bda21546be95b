//! From a pod's status to a verdict: does it come, does it run, why can it not, how did it go.
//!
//! Pure. Blame needs proof: a pod that was deleted, disrupted, or on a node that had fallen silent was lost, whatever
//! its exit code says.

mod end;
mod job;
mod waiting;

use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use podpool_core::fleet::{Departure, End};
use podpool_core::id::{Attempt, ExecutionId, TaskId};

pub use self::job::{JobVerdict, judge_job};
pub use self::waiting::{judge_job_note, judge_pod_note};

/// What a pod's status means for the fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// On its way, and nothing is wrong.
    Starting,
    /// It was given to a node, which has not taken it yet: it may be one that is gone and was not missed so far.
    Assigned,
    /// Its worker runs.
    Running,
    /// Its worker ran when its node was last heard of.
    Silent,
    /// It is being deleted and its worker still runs: it takes nothing more.
    Leaving,
    /// Held back by somebody who may let it go at any time.
    Waiting {
        /// By whom, for people.
        word: String,
    },
    /// It cannot start as things are.
    CannotStart {
        /// Why, and what to do.
        reason: String,
        /// How long this may pass by itself.
        patience: Patience,
    },
    /// Its worker has ended.
    Gone(Box<Gone>),
}

/// How long something that is wrong may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The start timeout: images and settings seldom repair themselves.
    Start,
    /// The schedule timeout: nodes, quotas and registries take their time.
    Schedule,
}

/// A worker's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// Whom to blame.
    pub end: End,
    /// What was seen, for people.
    pub reason: String,
    /// The node it was on.
    pub node: Option<Arc<str>>,
    /// When, by the node's clock.
    pub at: Option<SystemTime>,
    /// What it wrote down as running.
    pub running: Vec<(ExecutionId, TaskId, Attempt)>,
    /// It said that no worker of this run can do its work.
    pub fatal: bool,
    /// It ended within a minute of its start, by its node's clock.
    pub brief: bool,
    /// It ended by its own doing: nobody deleted, disrupted or stopped it.
    pub by_itself: bool,
}

impl Gone {
    /// The same as the dispatcher is told.
    #[must_use]
    pub fn departure(self, worker: Arc<str>) -> Departure {
        Departure {
            worker,
            node: self.node,
            end: self.end,
            reason: self.reason,
            at: self.at,
            running: self.running,
        }
    }
}

/// What is known of a pod beside its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Its node fell silent at some time while the worker ran.
    pub silent: bool,
    /// The pod is no more: this is its last status.
    pub removed: bool,
}

/// Judges a pod.
#[must_use]
pub fn judge_pod(pod: &Pod, context: Context) -> Verdict {
    let view = View::of(pod, context);
    if let Some(gone) = end::gone(&view) {
        return Verdict::Gone(Box::new(gone));
    }
    let running = view
        .container
        .and_then(|container| container.state.as_ref())
        .is_some_and(|state| state.running.is_some());
    if pod.metadata.deletion_timestamp.is_some() {
        return Verdict::Leaving;
    }
    if !running {
        return waiting::judge(&view);
    }
    // The node controller touches the pod's own condition only; the kubelet, had it spoken, would have set both.
    let unheard = view.is("Ready", "False") && view.is("ContainersReady", "True");
    if unheard {
        Verdict::Silent
    } else {
        Verdict::Running
    }
}

/// The parts of a pod that verdicts look at.
struct View<'a> {
    pod: &'a Pod,
    container: Option<&'a ContainerStatus>,
    context: Context,
}

impl<'a> View<'a> {
    fn of(pod: &'a Pod, context: Context) -> Self {
        let container = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_ref())
            .and_then(|all| all.iter().find(|one| one.name == super::job::CONTAINER));
        Self {
            pod,
            container,
            context,
        }
    }

    fn phase(&self) -> &str {
        let status = self.pod.status.as_ref();
        status
            .and_then(|status| status.phase.as_deref())
            .unwrap_or("Pending")
    }

    fn condition(&self, kind: &str) -> Option<&'a PodCondition> {
        let status = self.pod.status.as_ref()?;
        let all = status.conditions.as_ref()?;
        all.iter().find(|condition| condition.type_ == kind)
    }

    fn is(&self, kind: &str, status: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| condition.status == status)
    }

    fn node(&self) -> Option<Arc<str>> {
        let name = self.pod.spec.as_ref()?.node_name.as_deref()?;
        Some(name.into())
    }
}

#[cfg(test)]
mod tests;
