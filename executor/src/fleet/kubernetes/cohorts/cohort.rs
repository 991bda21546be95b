//! What is known of each cohort.

use std::collections::HashSet;

use tokio::time::Instant;

use super::trouble::Trouble;

/// One Job.
#[derive(Debug)]
pub(super) struct Cohort {
    pub(super) size: u32,
    pub(super) since: Instant,
    /// Its Job was seen.
    pub(super) listed: bool,
    /// Indexes that had a pod: what comes for them later is a replacement.
    pub(super) seen: HashSet<u32>,
    /// It was asked for here, and not by a master before.
    pub(super) ours: bool,
    /// It makes no more pods.
    pub(super) finished: bool,
    pub(super) retired: bool,
    /// Why it makes no pods, by its warnings.
    pub(super) trouble: Option<Trouble>,
}

impl Cohort {
    pub(super) fn new(now: Instant) -> Self {
        Self {
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

    /// While somebody holds its Job, no time counts against it.
    pub(super) fn hold(&mut self, now: Instant, held: bool) {
        let was_held = self.trouble.as_ref().is_some_and(Trouble::is_hold);
        if held && !was_held {
            let reason = "their Job is suspended: a queue of the cluster, or somebody, lets it go or does not";
            self.trouble = Some(Trouble::new(now, None, reason.to_owned()));
        } else if was_held && !held {
            self.trouble = None;
            self.since = now;
        }
    }

    /// Workers for which no pod was seen yet.
    pub(super) fn unseen(&self) -> u32 {
        if self.finished {
            return 0;
        }
        let seen = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
        self.size.saturating_sub(seen)
    }
}
