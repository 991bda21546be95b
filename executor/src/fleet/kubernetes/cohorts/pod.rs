//! The life of one pod: what is known of it, and what each report changes.
//!
//! Pure. [`Life::after`] holds every transition. The caller decides which notices and events follow from a transition.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::{Needs, Patience, Verdict};
use super::trouble::Trouble;

/// How long a node may take to acknowledge a pod. A node that works does so within one or two seconds, before it pulls
/// the image: the kubelet then sets `startTime`.
/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodStatus>
// Far less than the 40 s after which the cluster notices a lost node, and several times the delay of a healthy node.
pub(super) const TAKEN: Duration = Duration::from_secs(15);

/// A pod that has not ended.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) cohort: u32,
    pub(super) node: Option<Arc<str>>,
    pub(super) life: Life,
    /// What it asks for and the scheduler's reason, while no node has room for it.
    pub(super) unplaced: Option<Unplaced>,
}

/// A pod for which no node has room now.
#[derive(Clone, Debug)]
pub(super) struct Unplaced {
    pub(super) reason: String,
    pub(super) needs: Box<Needs>,
}

/// What is known of a pod that has not ended. The four parts are independent: each combination occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Life {
    phase: Phase,
    silence: EarlierSilence,
    contact: Contact,
    standing: Standing,
}

/// Where the pod is, as the cluster reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not running yet: since when and why, and whether its node has begun with it.
    Starting { trouble: Trouble, taking: Taking },
    /// Its program runs.
    Running,
    /// Its program ran when the node last reported to the cluster.
    NodeSilent,
    /// It is being deleted. `untaken`: its node had not begun with it in time.
    Leaving { untaken: bool },
}

/// Whether the node of a starting pod has begun with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// It has begun, or no node is assigned yet.
    NotExpected,
    /// A node is assigned since then and has not begun.
    Assigned { since: Instant },
    /// The node has not begun within [`TAKEN`].
    Overdue,
    /// It has begun, and has made volumes and network: warnings about these are old.
    SetUp,
}

/// Whether the node was silent before the present phase. If it was, the exit code of the pod proves nothing against a
/// task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EarlierSilence {
    Never,
    Once,
}

/// Whether dispatch receives messages of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    /// Dispatch receives messages, or the time in which it should receive one has not passed.
    Expected,
    /// Dispatch receives no message, whatever the cluster reports of the pod.
    Missed,
}

/// Whether the worker is to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The worker is to stay.
    Kept,
    /// The worker is to stay, and a notice has reported it as lost.
    ReportedLost,
    /// The worker was requested to drain, because enough others run. Final.
    // Final, because dispatch sends the request to drain, and a worker that drains takes no batch any more.
    Surplus,
}

/// What may be reported of a pod.
#[derive(Clone, Debug)]
pub(super) enum Report {
    /// Its status was read.
    Status(Verdict),
    /// The cluster emitted a warning about it.
    Warning { reason: String, patience: Patience },
    /// Time passed.
    Time,
    /// Dispatch received nothing from its worker in time.
    Missed,
    /// Dispatch received a message from its worker.
    Heard,
    /// Its worker is requested to drain.
    Dismissed,
    /// A notice reports it as lost.
    LossTold,
    /// A notice reports that it works again.
    ReturnTold,
}

impl Pod {
    pub(super) fn new(now: Instant, cohort: u32) -> Self {
        Self {
            cohort,
            node: None,
            life: Life::new(now),
            unplaced: None,
        }
    }

    /// Applies a report. True if the pod counted as supply before and does not any more.
    pub(super) fn apply(&mut self, now: Instant, report: Report) -> bool {
        let supplied = self.life.supplies();
        self.life = self.life.clone().after(now, report);
        supplied && !self.life.supplies()
    }

    /// What is wrong with its node, if that has not begun with the pod in time.
    pub(super) fn untaken_reason(&self) -> Option<String> {
        let node = self.node.as_deref().unwrap_or("of the pod");
        self.life.is_untaken().then(|| {
            format!("a node takes no pods: node {node} has not started its pod for {TAKEN:?}, and another pod replaces it")
        })
    }
}

impl Life {
    fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Starting {
                trouble: Trouble::none(now),
                taking: Taking::NotExpected,
            },
            silence: EarlierSilence::Never,
            contact: Contact::Expected,
            standing: Standing::Kept,
        }
    }

    /// Every transition.
    fn after(mut self, now: Instant, report: Report) -> Self {
        match (report, self.standing) {
            (Report::Status(verdict), _) => {
                // Noted when the silence ends, so that the phase and the history cannot contradict each other. The
                // history is kept for good: a pod that was cut off may report an exit code which the cut has caused.
                if self.phase == Phase::NodeSilent && verdict != Verdict::Silent {
                    self.silence = EarlierSilence::Once;
                }
                self.phase = self.phase.after(now, verdict);
            }
            (Report::Warning { reason, patience }, _) => self.phase.warn(now, patience, reason),
            (Report::Time, _) => self.phase.expire(now),
            (Report::Missed, _) => self.contact = Contact::Missed,
            (Report::Heard, _) => {
                self.contact = Contact::Expected;
                // A message proves more than the status, which the API may deliver seconds late.
                self.phase.take();
            }
            (Report::Dismissed, _) => self.standing = Standing::Surplus,
            // A surplus worker is meant to go, so neither its loss nor its return is reported.
            (Report::LossTold, Standing::Kept) => self.standing = Standing::ReportedLost,
            (Report::ReturnTold, Standing::ReportedLost) => self.standing = Standing::Kept,
            (Report::LossTold | Report::ReturnTold, _) => {}
        }
        self
    }

    pub(super) const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What delays its start, while it starts.
    pub(super) const fn trouble(&self) -> Option<&Trouble> {
        match &self.phase {
            Phase::Starting { trouble, .. } => Some(trouble),
            _ => None,
        }
    }

    pub(super) const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    pub(super) const fn is_missed(&self) -> bool {
        matches!(self.contact, Contact::Missed)
    }

    pub(super) const fn is_surplus(&self) -> bool {
        matches!(self.standing, Standing::Surplus)
    }

    /// Whether a notice of its loss would be the first, of a worker that is to stay.
    pub(super) const fn is_loss_unreported(&self) -> bool {
        matches!(self.standing, Standing::Kept)
    }

    pub(super) const fn is_loss_reported(&self) -> bool {
        matches!(self.standing, Standing::ReportedLost)
    }

    /// Whether its node has not begun with it in time.
    pub(super) const fn is_untaken(&self) -> bool {
        self.phase.is_untaken()
    }

    /// Whether it runs or is expected to, for dispatch too, and is to stay.
    pub(super) const fn supplies(&self) -> bool {
        // A pod that starts counts even while it is in trouble: another pod would meet the same trouble. The causes
        // and their timeouts end the fleet instead.
        let comes = matches!(self.phase, Phase::Starting { .. } | Phase::Running);
        comes && !self.is_untaken() && !self.is_missed() && !self.is_surplus()
    }

    /// Whether its node was silent at any time until now.
    pub(super) const fn was_on_silent_node(&self) -> bool {
        matches!(self.phase, Phase::NodeSilent) || matches!(self.silence, EarlierSilence::Once)
    }

    /// Whether its node may be silent now: only a report that the pod runs proves that a node which was silent is back.
    // A deletion in between proves nothing: the API server records it without an answer of the node.
    pub(super) const fn is_on_silent_node(&self) -> bool {
        self.was_on_silent_node() && !self.is_running()
    }

    /// Whether its node can be expected to remove it. One that is gone cannot: the pod stays, by name, until the
    /// cluster gives the node up.
    /// <https://kubernetes.io/docs/concepts/architecture/nodes/#condition>
    pub(super) const fn is_reachable(&self) -> bool {
        !self.is_missed() && !self.is_untaken() && !self.is_on_silent_node()
    }

    /// Whether its program runs, on a node that answers. A pod that has not begun is not waited for: it is deleted with
    /// its Job.
    pub(super) const fn may_leave(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Leaving { .. }) && !self.is_on_silent_node()
    }

    /// When it has waited too long for its node.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting {
                taking: Taking::Assigned { since },
                ..
            } => Some(after(since, TAKEN)),
            _ => None,
        }
    }
}

impl Phase {
    const fn is_untaken(&self) -> bool {
        matches!(
            self,
            Self::Starting {
                taking: Taking::Overdue,
                ..
            } | Self::Leaving { untaken: true }
        )
    }

    fn after(self, now: Instant, verdict: Verdict) -> Self {
        let starting = |trouble| Self::Starting {
            trouble,
            taking: Taking::NotExpected,
        };
        match verdict {
            Verdict::Starting => starting(self.lasting_trouble(now)),
            Verdict::SetUp => Self::Starting {
                trouble: self.trouble_once_set_up(now),
                taking: Taking::SetUp,
            },
            Verdict::Assigned => Self::Starting {
                // Read before `lasting_trouble` consumes the phase.
                taking: self.taking_when_assigned(now),
                trouble: self.lasting_trouble(now),
            },
            // No time counts against a held pod: it may be released at any time.
            Verdict::Waiting { word } => starting(Trouble::new(now, None, word)),
            Verdict::CannotStart { reason, patience } => self.stuck(now, patience, reason),
            Verdict::Unplaced { reason, .. } => self.stuck(now, Patience::Schedule, reason),
            Verdict::Running => Self::Running,
            Verdict::Silent => Self::NodeSilent,
            // A deletion proves nothing about the node: a pod that no node has taken stays untaken while it is deleted.
            // An ended pod is removed from the table, so this function is not called for it.
            Verdict::Leaving | Verdict::Gone(_) => Self::Leaving {
                untaken: self.is_untaken(),
            },
        }
    }

    fn stuck(self, now: Instant, patience: Patience, reason: String) -> Self {
        let newer = Trouble::new(now, Some(patience), reason);
        match self {
            Self::Starting { trouble, taking } => Self::Starting {
                trouble: trouble.renewed(newer),
                taking: match taking {
                    Taking::SetUp => Taking::SetUp,
                    _ => Taking::NotExpected,
                },
            },
            _ => Self::Starting {
                trouble: newer,
                taking: Taking::NotExpected,
            },
        }
    }

    /// What warnings reported is over, and so is a hold. The time since which nothing is wrong goes on.
    fn trouble_once_set_up(self, now: Instant) -> Trouble {
        match self {
            Self::Starting { trouble, .. } if trouble.patience.is_none() && !trouble.is_hold() => {
                trouble
            }
            _ => Trouble::none(now),
        }
    }

    /// What a warning reported stays until the worker runs, because the status does not contain it. A hold stays too,
    /// and so does the time since which nothing is wrong.
    fn lasting_trouble(self, now: Instant) -> Trouble {
        match self {
            Self::Starting { trouble, .. } if trouble.lasts() => trouble,
            _ => Trouble::none(now),
        }
    }

    /// The time counts from the first status that shows the node.
    const fn taking_when_assigned(&self, now: Instant) -> Taking {
        match self {
            // Only a status that shows progress, or a message of its worker, ends the state: another status without a
            // start time must not give the same node another 15 s.
            phase if phase.is_untaken() => Taking::Overdue,
            Self::Starting {
                taking: Taking::Assigned { since },
                ..
            } => Taking::Assigned { since: *since },
            _ => Taking::Assigned { since: now },
        }
    }

    fn warn(&mut self, now: Instant, patience: Patience, reason: String) {
        // Warnings and statuses come through two watches that are not ordered: a warning about the start may arrive
        // when the pod already runs, and is of no use then.
        if let Self::Starting { trouble, taking } = self
            && *taking != Taking::SetUp
        {
            let newer = Trouble::new(now, Some(patience), reason).by_warning();
            *trouble = trouble.clone().renewed(newer);
        }
    }

    fn expire(&mut self, now: Instant) {
        if let Self::Starting { taking, .. } = self
            && let Taking::Assigned { since } = *taking
            && now >= after(since, TAKEN)
        {
            *taking = Taking::Overdue;
        }
    }

    /// The worker runs, whatever the status shows: so its node has begun with it.
    const fn take(&mut self) {
        match self {
            Self::Starting {
                taking: Taking::SetUp,
                ..
            } => {}
            Self::Starting { taking, .. } => *taking = Taking::NotExpected,
            Self::Leaving { untaken } => *untaken = false,
            Self::Running | Self::NodeSilent => {}
        }
    }
}

#[cfg(test)]
mod tests;
