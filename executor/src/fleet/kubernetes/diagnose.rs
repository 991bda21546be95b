//! From a pod's status to a verdict: whether it starts, runs or cannot start and why, or how it ended.
//!
//! Pure. A task is charged only with proof: a pod that was deleted, disrupted, or on a node that was silent counts as
//! lost, whatever its exit code.

mod admission;
mod end;
mod image;
mod job;
mod loss;
mod notes;
mod options;
mod quantity;
mod room;
mod waiting;

use std::sync::Arc;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use podpool_core::fleet::{Departure, End};
use podpool_core::id::{Attempt, ExecutionId, TaskId};

pub use self::admission::judge_job_note;
pub use self::job::{JOBS_DELETED, JobVerdict, completed_indexes, judge_job};
pub use self::notes::judge_pod_note;
pub use self::options::{of_field, of_resource};
pub use self::room::{Autoscaler, Needs, Nodes, Room, autoscaler, room};

/// What a pod's status means for the fleet.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is starting, and nothing is wrong.
    Starting,
    /// It is starting, and its node has mounted its volumes and made its network: what warnings reported about these is
    /// over.
    SetUp,
    /// It is assigned to a node that has not started it yet: the node may be lost without the cluster having noticed.
    Assigned,
    /// Its worker runs.
    Running,
    /// Its worker ran when the node last reported.
    Silent,
    /// It is being deleted and its worker still runs: the worker takes no batch any more.
    Leaving,
    /// Held by a scheduling gate or a suspended Job, which may be released at any time.
    Waiting {
        /// The cause, for the user.
        word: String,
    },
    /// It cannot start as things are.
    CannotStart {
        /// Why, and what to do.
        reason: String,
        /// How long the trouble is accepted, because it may pass by itself.
        patience: Patience,
    },
    /// No node has room for it now. The module `room` shows whether one could have.
    Unplaced {
        /// Why, and what to do.
        reason: String,
        /// What it asks of a node.
        needs: Box<Needs>,
    },
    /// Its worker has ended.
    Gone(Box<Gone>),
}

/// How long trouble may last before it counts as permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// No time: waiting does not heal it, and the cluster would refuse another pod in the same way.
    Final,
    /// Some seconds, in which the node looks a second time: the object that is missing may be about to be made.
    SecondLook,
    /// The start timeout: other settings seldom become right.
    Start,
    /// The start timeout; the schedule timeout once a worker of the class has had its image: then the image exists.
    Pull,
    /// Three minutes: a node that cannot make a container may recover, or another process on it may.
    Node,
    /// The schedule timeout, for a registry that does not serve now.
    Registry,
    /// The schedule timeout: nodes, quotas and volumes need time.
    Schedule,
    /// The node repeats an earlier failure without its cause: what is known of it stays. Without an earlier one, as
    /// [`Pull`](Self::Pull).
    AsBefore,
}

impl Patience {
    /// Whether time goes on when a report of this kind follows one of the other kind: both are about one failure.
    // A node reports one image that it cannot pull by turns as not found and as not reached, where a registry has
    // several addresses.
    #[must_use]
    pub fn continues(self, other: Self) -> bool {
        let pulls = |it| matches!(it, Self::Pull | Self::Registry | Self::AsBefore);
        self == other || (pulls(self) && pulls(other))
    }
}

/// A worker's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// What the end can be charged to.
    pub end: End,
    /// What was observed, for the user.
    pub reason: String,
    /// The node it was on.
    pub node: Option<Arc<str>>,
    /// When, by the node's clock.
    pub at: Option<SystemTime>,
    /// The executions that its termination message lists as running.
    pub running: Vec<(ExecutionId, TaskId, Attempt)>,
    /// Its exit code means that no worker of this run can do its work.
    pub fatal: bool,
    /// It ended within a minute of its start, by its node's clock.
    pub brief: bool,
    /// It ended without having been deleted, disrupted or stopped.
    pub by_itself: bool,
}

impl Gone {
    /// The same as an event for dispatch.
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

/// What the verdict needs beside the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Its node was silent at some time while the worker ran.
    pub silent: bool,
    /// The pod was deleted: this is its last status.
    pub removed: bool,
}

/// Judges a pod.
#[must_use]
pub fn judge_pod(pod: &Pod, context: Context) -> Verdict {
    let view = View::of(pod, context);
    // The end first: a deleted pod whose container has ended is gone, although it still has a deletion timestamp.
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
    // The node controller changes only the pod's `Ready`; the kubelet would have changed `ContainersReady` too. So this
    // combination proves that the node is silent. The container's state stays as the kubelet last reported it.
    // <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions>
    let unheard = view.is("Ready", "False") && view.is("ContainersReady", "True");
    if unheard {
        Verdict::Silent
    } else {
        Verdict::Running
    }
}

/// The parts of a pod from which verdicts follow.
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
            // By name: an admission webhook of the cluster may add containers of its own.
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
pub(super) mod tests;
