//! Workers that run and do not greet, that is, send no first message: their image holds another program, or they do not
//! reach the queue.
//!
//! Such a pod is healthy for the cluster. The start of a worker has failed when it does not greet within the start
//! timeout, or when it exits before that because it did not reach its queue. While no worker of the fleet has ever
//! greeted, pods that were starting at the time of the first failure are waited for, and their replacements are not:
//! otherwise there would always be one more to wait for. Once some worker has greeted, a failed start is a problem of
//! that worker alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use podpool_core::fleet::End;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::Gone;
use super::pod::Report;
use super::{Cohorts, Effect, Notice};

/// Which workers have greeted, and which have not yet.
#[derive(Debug, Default)]
pub(super) struct Greetings {
    /// Workers from which dispatch has received a message, whether their pods were reported here or not.
    // An entry whose pod is never reported stays until the end of the run; there is one such entry for each pod at
    // most.
    heard: HashSet<Arc<str>>,
    /// A worker of this fleet has greeted.
    any: bool,
    /// Pods that run and have not greeted.
    ungreeted: HashMap<Arc<str>, Ungreeted>,
    /// The first start that failed, while no worker has greeted; and why.
    failed: Option<(Instant, String)>,
}

/// A pod that runs and has not greeted.
#[derive(Debug)]
struct Ungreeted {
    since: Instant,
    /// When its time was over and its log was requested.
    asked: Option<Instant>,
    /// The request for its log was answered.
    log_read: bool,
}

impl Greetings {
    /// A worker has greeted, so whatever keeps others from greeting does not affect all.
    pub(super) fn heard(&mut self, name: Arc<str>) {
        self.ungreeted.remove(&name);
        self.heard.insert(name);
        // `any` stays true for good, while `heard` loses the workers that end: that one worker has reached its queue
        // once proves that image and queue can work.
        self.any = true;
        self.failed = None;
    }

    /// Whether a worker has greeted.
    pub(super) fn has(&self, name: &str) -> bool {
        self.heard.contains(name)
    }

    /// A pod has ended. Returns how long it ran without a greeting, if it did.
    pub(super) fn ended(&mut self, now: Instant, name: &str) -> Option<Duration> {
        self.heard.remove(name);
        let ungreeted = self.ungreeted.remove(name)?;
        Some(now.saturating_duration_since(ungreeted.since))
    }

    /// No worker is needed: a failure so far does not count against workers that are started later.
    pub(super) fn forget_failure(&mut self) {
        self.failed = None;
    }

    /// The failed start that breaks the pool if no other worker greets.
    pub(super) fn failure(&self) -> Option<(Instant, &str)> {
        let (at, reason) = self.failed.as_ref()?;
        Some((*at, reason))
    }

    /// Whether a pod that has been starting since `since` is waited for.
    pub(super) fn counts(&self, since: Instant) -> bool {
        self.failed.as_ref().is_none_or(|(at, _)| since <= *at)
    }

    /// Whether a pod that runs is a worker, or may become one.
    pub(super) fn may_work(&self, name: &str) -> bool {
        let of = |ungreeted: &Ungreeted| self.counts(ungreeted.since);
        self.failed.is_none()
            || self.heard.contains(name)
            || self.ungreeted.get(name).is_some_and(of)
    }

    /// Whether the log of a pod that did not greet is being read. Its start has failed, and the log completes the
    /// reason.
    pub(super) fn are_read(&self) -> bool {
        let mut ungreeted = self.ungreeted.values();
        ungreeted.any(|ungreeted| ungreeted.asked.is_some() && !ungreeted.log_read)
    }

    /// When the time of the last of those that have not greeted is over.
    pub(super) fn last_due(&self, start: Duration) -> Option<Instant> {
        let all = self
            .ungreeted
            .values()
            .map(|ungreeted| after(ungreeted.since, start));
        all.max()
    }

    /// When the next pod's time is over.
    pub(super) fn due(&self, start: Duration) -> Option<Instant> {
        let waiting = self
            .ungreeted
            .values()
            .filter(|ungreeted| ungreeted.asked.is_none());
        waiting.map(|ungreeted| after(ungreeted.since, start)).min()
    }
}

impl Cohorts {
    /// Follows a change of a pod's phase. Pods of an earlier master's cohorts have greeted that master.
    pub(super) fn note_greeting(&mut self, now: Instant, name: &Arc<str>) {
        let Some(pod) = self.pods.get(name) else {
            return;
        };
        let cohort = self.cohorts.get(&pod.cohort);
        let ours = cohort.is_some_and(|cohort| cohort.ours);
        // A surplus pod may exit without a greeting: it is requested to drain as soon as it reads its control queue.
        let waits = ours && !pod.life.is_surplus() && !self.greetings.heard.contains(name);
        // A pod that stops running loses its entry, and gets a whole start timeout when it runs again: while its node
        // is silent, its worker may be unable to reach the queue.
        if waits && pod.life.is_running() {
            let ungreeted = self.greetings.ungreeted.entry(name.clone());
            ungreeted.or_insert(Ungreeted {
                since: now,
                asked: None,
                log_read: false,
            });
        } else {
            self.greetings.ungreeted.remove(name);
        }
    }

    /// Whether a worker has greeted this master or an earlier one.
    pub(super) fn has_greeted(&self, name: &Arc<str>) -> bool {
        let cohort = self.pods.get(name).map(|pod| pod.cohort);
        let cohort = cohort.and_then(|cohort| self.cohorts.get(&cohort));
        self.greetings.has(name) || cohort.is_some_and(|cohort| !cohort.ours)
    }

    /// Requests the logs of pods whose time is over. Such pods are no supply until they greet after all.
    pub(super) fn note_ungreeted(&mut self, now: Instant) {
        let start = self.limits.start;
        for (name, ungreeted) in &mut self.greetings.ungreeted {
            if ungreeted.asked.is_some() || now < after(ungreeted.since, start) {
                continue;
            }
            ungreeted.asked = Some(now);
            if let Some(pod) = self.pods.get_mut(name) {
                self.losing |= pod.apply(now, Report::Missed);
            }
            self.effects.push(Effect::ReadLog(name.clone()));
        }
    }

    /// The end of a pod's log, or why it cannot be read.
    pub fn on_log(&mut self, now: Instant, name: &Arc<str>, log: Result<String, String>) {
        // The worker may have greeted, or the pod may have ended, while its log was read: then there is no failure.
        let ungreeted = self.greetings.ungreeted.get_mut(name);
        let asked = ungreeted.and_then(|ungreeted| {
            ungreeted.log_read = true;
            ungreeted.asked
        });
        if let Some(over) = asked {
            let output = match log {
                Ok(lines) if lines.is_empty() => "it has printed nothing".to_owned(),
                Ok(lines) => format!("its last lines are: {lines}"),
                Err(reason) => format!("its last lines cannot be read: {reason}"),
            };
            let start = self.limits.start;
            let reason = format!(
                "pod {name} runs and has not greeted within {start:?}; {output}; check that its image contains this program, and that pods reach the queue"
            );
            self.start_failed(over, reason);
        }
        self.settle(now);
    }

    /// A worker that tried to reach its queue for most of the start timeout and exited with that reason has failed to
    /// start.
    pub(super) fn judge_ungreeted_end(
        &mut self,
        now: Instant,
        name: &str,
        gone: &Gone,
        ran: Duration,
    ) {
        let gave_up = gone.by_itself && gone.end == End::Lost;
        // Half of the timeout: the worker itself gives up after five sixths of it, and its pod needs time to start the
        // program.
        if gave_up && ran >= self.limits.start / 2 {
            self.start_failed(now, format!("worker {name} did not start: {}", gone.reason));
        }
    }

    // `at` is the time at which the start failed and not the time at which the log was read: pods whose start began in
    // between are replacements, and `counts` must not wait for them.
    fn start_failed(&mut self, at: Instant, reason: String) {
        // The image and the queue work for others, so this is a problem of one worker.
        if self.greetings.any {
            self.effects.push(Effect::Notify(Notice::trouble(reason)));
        } else if self.wanted() > 0 {
            self.greetings.failed.get_or_insert((at, reason));
        }
    }
}
