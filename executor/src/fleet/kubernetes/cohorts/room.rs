//! Whether any node is large enough for the pods that have none.
//!
//! The scheduler reports what nodes lack now, and the same words stand for a cluster that is full and for a worker that
//! is too large for it. So the fleet asks the cluster for the size of its nodes, where its master may list them, and
//! gives up soon where waiting cannot help. Where the master may not, the schedule timeout applies.

use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::{Autoscaler, Needs, Patience, Verdict};
use super::pod::{Report, Unplaced};
use super::{Cohorts, Effect};

/// How long an answer holds: nodes of another size may join.
const HOLDS: Duration = Duration::from_secs(60);
/// How long an autoscaler may take to say whether it adds a node.
// Cluster Autoscaler looks for pods without a node every 10 s, and Karpenter gathers them for 10 s at most.
// <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>, `--scan-interval`;
// <https://karpenter.sh/docs/reference/settings/>, `BATCH_MAX_DURATION`.
const AUTOSCALER: Duration = Duration::from_secs(20);

/// What the cluster has for pods of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomReport {
    /// A node that was empty could take one.
    Enough,
    /// No node could, even an empty one.
    TooLarge {
        /// Why, and what to do.
        reason: String,
        /// What an autoscaler has said; none where the nodes are of no cloud, so that there is none.
        autoscaler: Option<Autoscaler>,
    },
    /// The nodes cannot be listed now.
    Unknown,
    /// The master may not list nodes.
    Denied,
}

/// All that was asked.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// One for each size of pods: as many as there are kinds of workers.
    all: Vec<Asked>,
    denied: bool,
}

#[derive(Debug)]
struct Asked {
    needs: Needs,
    /// One of the pods, whose events are read.
    pod: Arc<str>,
    /// When the first such pod was seen.
    first: Instant,
    /// When to ask; none while a request is open, and after it until a pod needs a newer answer.
    due: Option<Instant>,
    /// When the last answer came.
    answered: Option<Instant>,
    /// Why no node can ever take it.
    too_large: Option<String>,
}

impl Rooms {
    /// When to ask next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().filter_map(|asked| asked.due).min()
    }

    /// The verdict, as far as the size of nodes is known; what is not known is asked.
    pub(super) fn applied(&mut self, now: Instant, pod: &Arc<str>, verdict: Verdict) -> Verdict {
        let Verdict::Unplaced { needs, .. } = &verdict else {
            return verdict;
        };
        let known = self.all.iter_mut().find(|asked| asked.needs.equal(needs));
        let Some(known) = known else {
            if !self.denied {
                self.all.push(Asked {
                    needs: Needs::clone(needs),
                    pod: pod.clone(),
                    first: now,
                    due: Some(now),
                    answered: None,
                    too_large: None,
                });
            }
            return verdict;
        };
        let old = known.answered.is_some_and(|at| now >= after(at, HOLDS));
        if old && known.due.is_none() && !self.denied {
            known.due = Some(now);
            known.pod = pod.clone();
        }
        match &known.too_large {
            Some(reason) => cannot(reason.clone(), Patience::Final),
            None => verdict,
        }
    }
}

impl Cohorts {
    /// Asks the cluster what is due.
    pub(super) fn look_for_room(&mut self, now: Instant) {
        for asked in &mut self.rooms.all {
            if asked.due.take_if(|at| *at <= now).is_some() {
                self.effects.push(Effect::FindRoom {
                    pod: asked.pod.clone(),
                    needs: asked.needs.clone(),
                });
            }
        }
    }

    /// The cluster has answered what its nodes have for such pods.
    pub fn on_room(&mut self, now: Instant, needs: &Needs, report: RoomReport) {
        self.rooms.denied |= report == RoomReport::Denied;
        let mut all = self.rooms.all.iter_mut();
        if let Some(asked) = all.find(|asked| asked.needs.equal(needs)) {
            asked.answered = Some(now);
            match judge(now, asked.first, report) {
                Answer::TooLarge(reason) => asked.too_large = Some(reason),
                Answer::Later(at) => asked.due = Some(at),
                Answer::Wait => asked.too_large = None,
            }
            let too_large = asked.too_large.clone();
            self.tell_pods(now, needs, too_large.as_deref());
        }
        self.settle(now);
    }

    /// Applies an answer to the pods that wait for a node.
    fn tell_pods(&mut self, now: Instant, needs: &Needs, too_large: Option<&str>) {
        for pod in self.pods.values_mut() {
            let Some(Unplaced { reason, needs: own }) = &pod.unplaced else {
                continue;
            };
            if !own.equal(needs) {
                continue;
            }
            let verdict = match too_large {
                Some(reason) => cannot(reason.to_owned(), Patience::Final),
                None => cannot(reason.clone(), Patience::Schedule),
            };
            self.losing |= pod.apply(now, Report::Status(verdict));
        }
    }
}

fn cannot(reason: String, patience: Patience) -> Verdict {
    Verdict::CannotStart { reason, patience }
}

enum Answer {
    /// No node can ever take them, for this reason.
    TooLarge(String),
    /// Ask again at this time.
    Later(Instant),
    /// A node may take them.
    Wait,
}

fn judge(now: Instant, first: Instant, report: RoomReport) -> Answer {
    let RoomReport::TooLarge { reason, autoscaler } = report else {
        return Answer::Wait;
    };
    let patient = after(first, AUTOSCALER);
    match autoscaler {
        None => Answer::TooLarge(reason),
        Some(Autoscaler::Adds) => Answer::Wait,
        // Out of stock: the autoscaler tries again by itself.
        Some(Autoscaler::Declines(why)) if why.contains("backoff") => Answer::Wait,
        Some(Autoscaler::Declines(why)) => Answer::TooLarge(format!(
            "{reason}; the cluster's autoscaler adds none: {why}"
        )),
        Some(Autoscaler::Silent) if now < patient => Answer::Later(patient),
        Some(Autoscaler::Silent) => Answer::TooLarge(format!(
            "{reason}; no autoscaler has answered for {} s",
            AUTOSCALER.as_secs()
        )),
    }
}
