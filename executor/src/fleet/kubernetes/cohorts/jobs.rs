//! What is reported of the run's Jobs, and what follows for the fleet.

use std::collections::HashSet;

use podpool_core::broker;
use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::{JOBS_DELETED, JobVerdict, Patience, Verdict, judge_job_note};
use super::trouble::Trouble;
use super::{Cohorts, Effect, Notice, STATUS_DELAY};

impl Cohorts {
    /// These indexes of a Job had a worker that has left: nothing of them is to come. Called before
    /// [`on_job`](Self::on_job), which decides.
    pub fn on_completed(
        &mut self,
        now: Instant,
        job: broker::Cohort,
        indexes: impl Iterator<Item = u32>,
    ) {
        if !self.refusals.contains(&job.number) {
            self.cohort(now, job.number, job.class).seen.extend(indexes);
        }
    }

    /// A Job of the run was reported. A Job that this master did not request is of an earlier master of the run, and is
    /// adopted.
    pub fn on_job(&mut self, now: Instant, job: broker::Cohort, verdict: &JobVerdict) {
        let broker::Cohort {
            number: cohort,
            class,
            size,
        } = job;
        // The watch may report a Job of a refused cohort between its creation and its deletion by the opener.
        if self.refusals.contains(&cohort) {
            return;
        }
        self.next = self.next.max(cohort.saturating_add(1));
        let known = self.cohort(now, cohort, class);
        known.size = size;
        let fresh = !std::mem::replace(&mut known.listed, true);
        if fresh && !known.ours && matches!(verdict, JobVerdict::Going | JobVerdict::Held(_)) {
            let adopted = known.named(cohort);
            self.effects.push(Effect::Adopt(adopted));
        }
        let known = self.cohort(now, cohort, class);
        // A finished Job does not become unfinished: an event that was recorded before must not reset the flag. The
        // flag may be ahead of the watch, because a pod's fatal exit code sets it too.
        if known.finished {
            return self.settle(now);
        }
        let held = match verdict {
            JobVerdict::Going => Some(None),
            JobVerdict::Held(why) => Some(Some(why)),
            _ => None,
        };
        if let Some(held) = held {
            known.hold(now, held.map(String::as_str));
            return self.settle(now);
        }
        // Its pods may still run; only its supply of new pods has ended.
        known.finished = true;
        known.trouble = None;
        if !known.ours {
            // An earlier master's deadline, or what was wrong with its workers, is none of this master's: another cohort
            // follows.
            return self.settle(now);
        }
        match verdict {
            JobVerdict::Going | JobVerdict::Held(_) | JobVerdict::Done => {}
            JobVerdict::Refused(message) => {
                // `STATUS_DELAY` later, so that the pod's own message can replace this one: see `pod_gone`.
                let reason =
                    format!("a worker failed for a reason that holds for all workers: {message}");
                self.fatal(after(now, STATUS_DELAY), reason);
            }
            JobVerdict::Overdue(reason) => self.fatal(now, reason.clone()),
            JobVerdict::Failed(message) => {
                let text = format!("Job c{cohort} creates no more pods: {message}");
                self.effects.push(Effect::Notify(Notice::trouble(text)));
            }
        }
        self.settle(now);
    }

    /// A Job of the run was deleted.
    pub fn on_job_removed(&mut self, now: Instant, cohort: u32) {
        // The opener deletes a Job that it cannot complete, so that deletion is not one by hand. Only one cohort is
        // opened at a time, and its number is the last that was given out.
        let ours = self.opening && cohort + 1 == self.next;
        let Some(known) = self.cohorts.get_mut(&cohort).filter(|_| !ours) else {
            return;
        };
        let by_hand = !known.finished;
        known.finished = true;
        known.listed = false;
        // While another Job goes on, its workers do the work, and the deletion of one Job is a loss of its workers
        // only.
        if by_hand && self.cohorts.values().all(|cohort| cohort.finished) {
            self.fatal(now, JOBS_DELETED.to_owned());
        }
        self.retire_ended();
        self.settle(now);
    }

    /// All Jobs were listed again: those that were reported before and are missing now were deleted.
    pub fn on_jobs_listed(&mut self, now: Instant, listed: &HashSet<u32>) {
        let missing: Vec<u32> = self
            .cohorts
            .iter()
            // A cohort that is being opened is in the table before its Job exists, so only reported Jobs can be
            // missing.
            .filter(|(number, cohort)| cohort.listed && !listed.contains(number))
            .map(|(number, _)| *number)
            .collect();
        for cohort in missing {
            self.on_job_removed(now, cohort);
        }
        // An earlier master's Jobs are counted now, so a cohort for the rest may be opened.
        self.jobs_known = true;
        self.settle(now);
    }

    /// The cluster warns about a Job.
    pub fn on_job_note(&mut self, now: Instant, cohort: u32, reason: &str, message: &str) {
        let verdict = judge_job_note(reason, message);
        // A Job that waits for a quota shows it in no condition: the event `FailedCreate` is the only sign. The trouble
        // stays until the pods exist, because `unseen` is zero from then on.
        if let Some(Verdict::CannotStart { reason, patience }) = verdict
            && let Some(known) = self.cohorts.get_mut(&cohort)
        {
            // Events last for an hour, and are listed when a master starts: what is told of an earlier master's Job may
            // be over.
            let patience = if known.ours {
                patience
            } else {
                Patience::Start
            };
            let newer = Trouble::new(now, Some(patience), reason);
            known.trouble = Some(match known.trouble.take() {
                Some(trouble) => trouble.renewed(newer),
                None => newer,
            });
        }
        self.settle(now);
    }
}
