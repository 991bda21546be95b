//! The state of one cohort.

use std::collections::HashSet;

use podpool_core::broker::{self, ClassId};
use tokio::time::Instant;

use super::trouble::Trouble;

/// One Job.
#[derive(Debug)]
pub(super) struct Cohort {
    /// The class of the tasks that its workers run.
    pub(super) class: ClassId,
    pub(super) size: u32,
    pub(super) since: Instant,
    /// Its Job was reported.
    pub(super) listed: bool,
    /// Indexes that had a pod: a later pod of the same index is a replacement.
    // An index stays after its pod is lost, so `unseen` does not count the replacement that the controller may create
    // minutes later: the top-up cohort covers it.
    pub(super) seen: HashSet<u32>,
    /// It was requested by this master, and not by an earlier one.
    pub(super) ours: bool,
    /// It creates no more pods.
    pub(super) finished: bool,
    pub(super) retired: bool,
    /// Why it creates no pods, according to the cluster's warnings.
    pub(super) trouble: Option<Trouble>,
}

impl Cohort {
    pub(super) fn new(now: Instant, class: ClassId) -> Self {
        Self {
            class,
            size: 0,
            since: now,
            listed: false,
            seen: HashSet::new(),
            ours: false,
            finished: false,
            retired: false,
            trouble: None,
        }
    }

    /// The cohort of this number, in the form in which its queues and its Job are created.
    pub(super) const fn named(&self, number: u32) -> broker::Cohort {
        broker::Cohort {
            number,
            class: self.class,
            size: self.size,
        }
    }

    /// While its Job is suspended, for this reason, no time counts against it.
    pub(super) fn hold(&mut self, now: Instant, held: Option<&str>) {
        let was_held = self.trouble.as_ref().is_some_and(Trouble::is_hold);
        if let Some(reason) = held {
            self.trouble = Some(Trouble::new(now, None, reason.to_owned()));
        } else if was_held {
            self.trouble = None;
            // The timeout for pods starts again: while the Job was suspended, none could be created.
            self.since = now;
        }
    }

    /// Number of workers for which no pod was reported yet.
    pub(super) fn unseen(&self) -> u32 {
        // A Job that has failed or was deleted creates no further pod.
        if self.finished {
            return 0;
        }
        let seen = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        self.size.saturating_sub(seen)
    }
}
