//! The lines about workers that were lost or have returned.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use podpool_core::instant::after;
use tokio::time::Instant;

use super::{INTERVAL, Notice, kind};

/// Time after a loss before its notice, so that the pods of one lost node share a line.
// The same as the time for which the fleet gathers losses for one cohort, so that the line and the cohort agree.
const GATHER: Duration = Duration::from_secs(1);
/// Most names of workers in a line.
const NAMES: usize = 3;

/// Workers that were lost or returned and are not reported yet.
#[derive(Debug, Default)]
pub(super) struct Moves {
    first: Option<Instant>,
    last: Option<Instant>,
    all: Vec<Move>,
}

#[derive(Debug)]
pub(super) struct Move {
    pub(super) name: Arc<str>,
    pub(super) node: Option<String>,
    /// Why it was lost; none if it returned.
    pub(super) reason: Option<String>,
}

impl Move {
    pub(super) fn lost(name: Arc<str>, node: Option<&str>, reason: &str) -> Self {
        Self {
            name,
            node: node.map(ToOwned::to_owned),
            reason: Some(reason.to_owned()),
        }
    }
}

impl Moves {
    pub(super) fn push(&mut self, now: Instant, one: Move) {
        // The first move starts the time; later moves join it and do not extend it, or a steady loss of workers would
        // never be reported.
        self.first.get_or_insert(now);
        self.all.push(one);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let gathered = after(self.first?, GATHER);
        let rested = self.last.map_or(gathered, |last| after(last, INTERVAL));
        Some(gathered.max(rested))
    }

    pub(super) fn lines(&mut self, now: Instant) -> Vec<Notice> {
        if self.deadline().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.first = None;
        self.last = Some(now);
        // A map in order of its keys, so that the same moves give the same lines.
        let mut lost: BTreeMap<(Option<String>, String), Vec<Move>> = BTreeMap::new();
        let mut back = Vec::new();
        for one in self.all.drain(..) {
            match &one.reason {
                Some(reason) => lost
                    .entry((one.node.clone(), kind(reason).to_owned()))
                    .or_default()
                    .push(one),
                None => back.push(one),
            }
        }
        let lost = lost.into_iter();
        let lost = lost.map(|((node, _), moves)| Notice::trouble(gone(node.as_deref(), &moves)));
        let back = (!back.is_empty()).then(|| {
            let (names, work) = (names(&back), if back.len() == 1 { "works" } else { "work" });
            Notice::relief(format!("{names} {work} again"))
        });
        // A worker that was lost and has returned in between gets both lines, in this order.
        lost.chain(back).collect()
    }
}

/// `worker a on node1 is gone: REASON`, or `4 workers on node1 are gone: REASON (a, b, c and 1 more)`.
fn gone(node: Option<&str>, moves: &[Move]) -> String {
    let on = node.map_or_else(String::new, |node| format!(" on {node}"));
    let is = if moves.len() == 1 { "is" } else { "are" };
    let reason = moves.last().and_then(|last| last.reason.as_deref());
    format!(
        "{}{on} {is} gone: {}",
        names(moves),
        reason.unwrap_or("the reason is unknown")
    )
}

fn names(moves: &[Move]) -> String {
    if let [one] = moves {
        return format!("worker {}", one.name);
    }
    let shown: Vec<&str> = moves.iter().take(NAMES).map(|one| &*one.name).collect();
    let more = match moves.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} workers ({}{more})", moves.len(), shown.join(", "))
}
