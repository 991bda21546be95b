//! Which notices about the fleet are issued, and when. Pure: its inputs are the fleet's state and the time, its outputs
//! whole lines.
//!
//! A line is issued when the kinds of trouble change, not with each number, and at most one in some seconds. Trouble
//! that passes within [`PATIENCE`] is not reported.

mod moves;

use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

use moves::{Move, Moves};

/// Time that tasks wait for workers before the first notice. Pods of a cached image start within this time, so a
/// healthy start causes no line.
const PATIENCE: Duration = Duration::from_secs(5);
/// While other workers run, slow starts are not reported before this time. A pull of an image often takes longer than
/// [`PATIENCE`]. While other workers run tasks, that alone is not worth a line.
const SLOW: Duration = Duration::from_secs(15);
/// Shortest time between two lines of a kind.
// The notices of the fleet and those about moves are two kinds: a lost worker is reported without regard to the former.
const INTERVAL: Duration = Duration::from_secs(5);

/// One line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is trouble, or the end of trouble.
    pub trouble: bool,
    /// The whole line.
    pub text: String,
}

impl Notice {
    /// Something is wrong.
    pub(super) const fn trouble(text: String) -> Self {
        Self {
            trouble: true,
            text,
        }
    }

    /// It is over.
    const fn relief(text: String) -> Self {
        Self {
            trouble: false,
            text,
        }
    }
}

/// Why some workers do not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// How many.
    pub(super) workers: u32,
    /// For the user. The text before the first `(`, `:`, quote or digit is the kind of trouble.
    pub(super) reason: String,
    /// Nothing is wrong but the time it takes.
    pub(super) slow: bool,
}

/// The state of the fleet.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) wanted: u32,
    pub(super) ready: u32,
    /// Why the others do not run, those of one kind together.
    pub(super) reasons: Vec<Reason>,
    /// When the fleet gives up if nothing changes, if that is known.
    pub(super) gives_up: Option<Instant>,
}

/// The last line: whether no worker was ready, and the kinds of trouble.
type Issued = (bool, Vec<String>);

/// What was reported, and what is to be reported.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Since when fewer workers are ready than wanted.
    short: Option<Instant>,
    issued: Option<Issued>,
    last: Option<Instant>,
    /// When to check again if nothing happens before.
    wake: Option<Instant>,
    moves: Moves,
    silence: Option<Silence>,
}

/// A time in which the cluster does not answer.
#[derive(Debug)]
struct Silence {
    since: Instant,
    reason: String,
    reported: bool,
}

impl Notices {
    /// Whether [`next_line`](Self::next_line) may yield a line; only then is a view worth its cost.
    pub(super) fn is_due(&mut self, now: Instant, wanted: u32, ready: u32) -> bool {
        self.wake = None;
        if wanted == 0 {
            // No task waits for the missing workers, so the next shortage starts with a whole `PATIENCE` again.
            self.short = None;
            self.issued = None;
            return false;
        }
        // The end of trouble waits for `INTERVAL` too: where workers fail and restart in turn, the lines would
        // alternate with each of them.
        let rested = self.last.map(|last| after(last, INTERVAL));
        let due = if ready >= wanted {
            self.short = None;
            if self.issued.is_none() {
                return false;
            }
            rested.unwrap_or(now)
        } else {
            let since = *self.short.get_or_insert(now);
            let slow = after(since, SLOW);
            // At that time slow starts become worth a line, although nothing happens.
            self.wake = Some(slow).filter(|at| *at > now);
            after(since, PATIENCE).max(rested.unwrap_or(since))
        };
        if now < due {
            self.wake = Some(due);
            return false;
        }
        true
    }

    /// The line about this view, if it differs in kind from the last one.
    pub(super) fn next_line(&mut self, now: Instant, view: &View) -> Option<Notice> {
        let View { wanted, ready, .. } = *view;
        if ready >= wanted {
            self.issued.take()?;
            self.last = Some(now);
            return Some(Notice::relief(format!("{ready} of {wanted} workers run")));
        }
        let waits = if ready == 0 { PATIENCE } else { SLOW };
        let long = self.short.is_some_and(|since| now >= after(since, waits));
        let reasons = sorted(view.reasons.iter().filter(|why| !why.slow || long));
        if reasons.is_empty() {
            return None;
        }
        let mut kinds: Vec<String> = reasons
            .iter()
            .map(|why| kind(&why.reason).to_owned())
            .collect();
        // The order of the map of pods is random.
        kinds.sort();
        let issued = Some((ready == 0, kinds));
        // Only another kind of trouble is worth a line. Numbers change with every pod, and would cause a line each.
        if self.issued == issued {
            return None;
        }
        self.issued = issued;
        self.last = Some(now);
        Some(Notice::trouble(line(now, view, &reasons)))
    }

    /// A worker is lost that was not requested to drain.
    pub(super) fn lost(&mut self, now: Instant, name: Arc<str>, node: Option<&str>, reason: &str) {
        self.moves.push(now, Move::lost(name, node, reason));
    }

    /// A worker that was reported as lost works again.
    pub(super) fn back(&mut self, now: Instant, name: Arc<str>) {
        let back = Move {
            name,
            node: None,
            reason: None,
        };
        self.moves.push(now, back);
    }

    /// The lines about lost and returned workers, when the time for others to join them is over.
    pub(super) fn move_lines(&mut self, now: Instant) -> Vec<Notice> {
        self.moves.lines(now)
    }

    /// The cluster has not answered since `since`.
    pub(super) fn unanswered(&mut self, since: Instant, reason: String) {
        match &mut self.silence {
            // The time of the first failure stays, and with it whether the silence was reported.
            Some(silence) => silence.reason = reason,
            None => {
                self.silence = Some(Silence {
                    since,
                    reason,
                    reported: false,
                });
            }
        }
    }

    /// The cluster answered.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Notice> {
        let silence = self.silence.take().filter(|silence| silence.reported)?;
        let seconds = now.saturating_duration_since(silence.since).as_secs();
        Some(Notice::relief(format!(
            "the cluster answers again, after {seconds} s"
        )))
    }

    /// The line about a cluster that does not answer, if it is due.
    pub(super) fn silence_line(&mut self, now: Instant) -> Option<Notice> {
        let silence = self.silence.as_mut()?;
        if silence.reported || now < after(silence.since, PATIENCE) {
            return None;
        }
        silence.reported = true;
        let seconds = now.saturating_duration_since(silence.since).as_secs();
        Some(Notice::trouble(format!(
            "the cluster has not answered for {seconds} s ({}); running workers continue, and lost ones are replaced when the cluster answers",
            silence.reason
        )))
    }

    /// When a line may be due if nothing happens before.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        // Times that have passed are left out: `notify` runs after every change, and has handled them already.
        let silence = self.silence.as_ref().filter(|silence| !silence.reported);
        let silence = silence.map(|silence| after(silence.since, PATIENCE));
        let all = [self.wake, silence, self.moves.deadline()];
        all.into_iter().flatten().filter(|at| *at > now).min()
    }
}

fn line(now: Instant, view: &View, reasons: &[&Reason]) -> String {
    let View { wanted, ready, .. } = view;
    let each = each(*ready, reasons);
    let end = view.gives_up.filter(|at| *at > now).map(|at| {
        let seconds = at.saturating_duration_since(now).as_secs_f64().ceil();
        format!("; giving up in {seconds} s")
    });
    let end = end.unwrap_or_default();
    if *ready == 0 {
        format!("0 of {wanted} workers ready: {each}{end}")
    } else {
        format!("{ready} of {wanted} workers run; {each}{end}")
    }
}

/// The reasons in one line.
fn each(ready: u32, reasons: &[&Reason]) -> String {
    let alone = reasons.len() == 1 && ready == 0;
    let each = reasons.iter().map(|why| match why {
        why if why.slow => format!("{} {}", why.workers, why.reason),
        why if alone => why.reason.clone(),
        why => format!(
            "{} {}: {}",
            why.workers,
            if why.workers == 1 { "waits" } else { "wait" },
            why.reason
        ),
    });
    each.collect::<Vec<_>>().join("; ")
}

impl View {
    /// Why workers do not run, in one line; none where no reason is known.
    pub(super) fn summary(&self) -> Option<String> {
        let reasons = sorted(self.reasons.iter());
        (!reasons.is_empty()).then(|| each(self.ready, &reasons))
    }
}

/// Trouble before slow starts, and the largest group first: a line may be cut by a terminal.
fn sorted<'a>(reasons: impl Iterator<Item = &'a Reason>) -> Vec<&'a Reason> {
    let mut reasons: Vec<&Reason> = reasons.collect();
    reasons.sort_by_key(|why| (why.slow, std::cmp::Reverse(why.workers)));
    reasons
}

/// The part that reasons of one kind share: the text before the first detail.
pub(super) fn kind(reason: &str) -> &str {
    let detail = |c: char| matches!(c, '(' | ':' | '"' | '`') || c.is_ascii_digit();
    let end = reason.find(detail).unwrap_or(reason.len());
    reason[..end].trim_end()
}

#[cfg(test)]
mod tests;
