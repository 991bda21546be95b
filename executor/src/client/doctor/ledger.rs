//! The ledger: its directory, the space there, and whether the run is free. Nothing is made and nothing is locked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use podpool_core::ledger::{Ledger, LedgerError, RunRecord};

use crate::doctor::{Line, bounded};
use crate::error::start::chain;

pub(crate) const RUN: &str = "ledger.run";
const DIRECTORY: &str = "ledger.directory";
const SPACE: &str = "ledger.space";

/// Free bytes below which a run soon waits for its disk, and those below which it cannot begin.
// SQLite's journal of a run that writes much grows to some tens of MiB before it is written back.
const LITTLE: u64 = 1 << 30;
const NOTHING: u64 = 64 << 20;

/// A ledger, and the run in it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Where it is, if it is a directory.
    pub(crate) directory: Option<PathBuf>,
    /// The run's name or id.
    pub(crate) run: String,
    /// Whether the run must exist.
    pub(crate) attached: bool,
    /// Whether a run that is held is taken.
    pub(crate) takes_over: bool,
}

pub(crate) async fn look(subject: Subject) -> Vec<Line> {
    let late = |why| Line::fail(DIRECTORY, why, None);
    // A disk that does not answer blocks its caller.
    let looked = tokio::task::spawn_blocking(move || check(&subject));
    bounded(late, async {
        looked
            .await
            .unwrap_or_else(|error| vec![Line::fail(RUN, error.to_string(), None)])
    })
    .await
}

fn check(subject: &Subject) -> Vec<Line> {
    let directory = subject.directory.as_deref().map(look_at);
    let mut lines = directory.unwrap_or_default();
    lines.push(judge_run(subject, subject.ledger.runs()));
    lines
}

/// What there is of a directory: itself, or the nearest one above it, in which it would be made.
fn existing(directory: &Path) -> &Path {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let above = directory.ancestors().find(|path| path.exists());
    above
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn look_at(directory: &Path) -> Vec<Line> {
    use rustix::fs::{Access, access, statvfs};

    let there = existing(directory);
    let (shown, place) = (directory.display(), there.display());
    let writable = match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there.is_dir() && there == directory => {
            Line::pass(DIRECTORY, format!("{shown} may be written"))
        }
        Ok(()) if there.is_dir() => {
            Line::pass(DIRECTORY, format!("{shown} can be made in {place}"))
        }
        Ok(()) => {
            let seen = format!("{place} is not a directory");
            let fix = "name a directory by Builder::ledger or PODPOOL_LEDGER".to_owned();
            Line::fail(DIRECTORY, seen, fix)
        }
        Err(error) => {
            let seen = format!("{place} may not be written: {error}");
            let fix = format!(
                "chown \"$(id -u)\" {place}; or name another directory by Builder::ledger or PODPOOL_LEDGER"
            );
            Line::fail(DIRECTORY, seen, fix)
        }
    };
    let space = match statvfs(there) {
        Ok(seen) => judge_space(seen.f_bavail.saturating_mul(seen.f_frsize)),
        Err(error) => Line::skipped(SPACE, format!("not reported: {error}")),
    };
    vec![writable, space]
}

#[cfg(not(unix))]
fn look_at(directory: &Path) -> Vec<Line> {
    let there = existing(directory).display().to_string();
    vec![
        Line::skipped(DIRECTORY, format!("rights on {there} are not known here")),
        Line::skipped(SPACE, "not known here"),
    ]
}

#[cfg_attr(not(unix), expect(dead_code, reason = "space is not known there"))]
fn judge_space(free: u64) -> Line {
    let seen = format!("{} MiB are free", free >> 20);
    let fix = || {
        "free some space, or name a directory on another disk by Builder::ledger or PODPOOL_LEDGER"
            .to_owned()
    };
    if free < NOTHING {
        Line::fail(SPACE, seen, fix())
    } else if free < LITTLE {
        Line::warn(SPACE, seen, fix())
    } else {
        Line::pass(SPACE, seen)
    }
}

type Runs = Result<Vec<Result<RunRecord, LedgerError>>, LedgerError>;

/// The youngest run of the name, or the run of the id, as the ledger lists it.
fn judge_run(subject: &Subject, runs: Runs) -> Line {
    let which = &subject.run;
    let runs = match runs {
        Ok(runs) => runs,
        Err(error) => return Line::fail(RUN, chain(error), None).about(which),
    };
    let mut unread = None;
    for run in runs {
        match run {
            Ok(run) if run.name.as_str() == which || run.run.as_str() == which => {
                return judge_found(subject, &run).about(which);
            }
            Ok(_) => {}
            Err(error) => _ = unread.get_or_insert(error),
        }
    }
    let line = match unread {
        Some(error) => {
            let seen = format!(
                "a run that cannot be read may be this one: {}",
                chain(error)
            );
            Line::warn(RUN, seen, None)
        }
        None if subject.attached => {
            let seen = format!("the ledger in {} has no such run", subject.ledger.place());
            let fix =
                "correct Builder::attach; podpool::ledger::Ledger::runs lists the runs".to_owned();
            Line::fail(RUN, seen, fix)
        }
        None => Line::pass(RUN, "a fresh run"),
    };
    line.about(which)
}

fn judge_found(subject: &Subject, run: &RunRecord) -> Line {
    let (id, masters) = (&run.run, run.masters.len());
    let holder = run.masters.last().filter(|_| run.held);
    match holder {
        Some(holder) if subject.takes_over => {
            let seen = format!("run {id} is taken from {}", holder.master);
            Line::pass(RUN, seen)
        }
        Some(holder) => {
            let seen = format!("{} holds run {id}", holder.master);
            let fix =
                "wait for its end, stop it, or take the run over by Builder::take_over".to_owned();
            Line::fail(RUN, seen, fix)
        }
        None => {
            let seen = format!("run {id} is free; it had {masters} masters");
            Line::pass(RUN, seen)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use podpool_core::id::{RunId, RunName};
    use podpool_core::ledger::{Holder, Master, memory::MemoryLedger};

    use super::*;
    use crate::doctor::Outcome;

    fn subject() -> Subject {
        Subject {
            ledger: Arc::new(MemoryLedger::default()),
            directory: None,
            run: "nightly".to_owned(),
            attached: false,
            takes_over: false,
        }
    }

    fn record(held: bool) -> RunRecord {
        let holder = Holder {
            epoch: 1,
            master: Master {
                pid: 77,
                program: "flights".to_owned(),
                host: "atlas".to_owned(),
                ..Master::default()
            },
            since: SystemTime::UNIX_EPOCH,
            until: None,
        };
        RunRecord {
            run: RunId::new("nightly-1").unwrap(),
            name: RunName::new("nightly").unwrap(),
            created: SystemTime::UNIX_EPOCH,
            masters: vec![holder],
            held,
        }
    }

    #[test]
    fn a_run_that_is_held_names_its_holder() {
        let held = judge_run(&subject(), Ok(vec![Ok(record(true))]));
        assert_eq!(held.outcome, Outcome::Fail);
        assert!(held.seen.contains("process 77 (flights) on host atlas"));
        assert!(held.fix.unwrap().contains("take_over"));
        let free = judge_run(&subject(), Ok(vec![Ok(record(false))]));
        assert_eq!(free.outcome, Outcome::Pass);
        let taking = Subject {
            takes_over: true,
            ..subject()
        };
        let taken = judge_run(&taking, Ok(vec![Ok(record(true))]));
        assert_eq!(taken.outcome, Outcome::Pass);
    }

    #[test]
    fn a_run_that_must_exist_is_missed() {
        assert_eq!(judge_run(&subject(), Ok(vec![])).outcome, Outcome::Pass);
        let attached = Subject {
            attached: true,
            ..subject()
        };
        assert_eq!(judge_run(&attached, Ok(vec![])).outcome, Outcome::Fail);
        let newer = || LedgerError::Newer {
            what: "a file".to_owned(),
            version: 9,
            newest: 2,
        };
        let unread = judge_run(&subject(), Ok(vec![Err(newer())]));
        assert_eq!(unread.outcome, Outcome::Warn);
        assert!(unread.seen.contains("version 9"), "{unread:?}");
        assert_eq!(judge_run(&subject(), Err(newer())).outcome, Outcome::Fail);
    }

    #[test]
    fn space_is_judged_by_what_a_run_writes_soon() {
        assert_eq!(judge_space(8 << 30).outcome, Outcome::Pass);
        assert_eq!(judge_space(500 << 20).outcome, Outcome::Warn);
        assert_eq!(judge_space(1 << 20).outcome, Outcome::Fail);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_is_judged_by_itself_or_by_where_it_would_be_made() {
        let here = std::env::temp_dir();
        assert_eq!(look_at(&here)[0].outcome, Outcome::Pass);
        let fresh = here.join("podpool-doctor-none/runs");
        let line = look_at(&fresh).remove(0);
        assert_eq!(line.outcome, Outcome::Pass);
        assert!(line.seen.contains("can be made in"), "{line:?}");
        assert!(!fresh.exists());
        let file = Path::new("/dev/null/runs");
        assert_eq!(look_at(file)[0].outcome, Outcome::Fail);
        assert_eq!(existing(Path::new("runs-that-are-not")), Path::new("."));
    }
}
