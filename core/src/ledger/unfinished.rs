//! Runs that nobody goes on with: their master is gone, and tasks have not ended.

use std::time::{Duration, SystemTime};

use super::{Ledger, LedgerError, Listed, ReadRun, RunRecord, Status};

/// The setting of a master by which its run ends, in seconds from its start: `3600 s`. None where it may last for ever.
pub const ENDS_AFTER: &str = "ends after";

/// A run whose master is gone and that has tasks which have not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores make it, column by column"
)]
pub struct UnfinishedRun {
    /// The run.
    pub run: RunRecord,
    /// How many of its tasks have not ended.
    pub unended: u64,
    /// When its newest master left it; of one that was killed, when something was stored last.
    pub stopped: SystemTime,
}

impl UnfinishedRun {
    /// When its newest master would have ended it, by that master's settings. None where it had no limit.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        let newest = self.run.masters.last()?;
        let after = newest.master.setting(ENDS_AFTER)?;
        let seconds = after.strip_suffix(" s")?.parse().ok()?;
        newest.since.checked_add(Duration::from_secs(seconds))
    }
}

/// Runs of a ledger that nobody goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Unfinished {
    /// The one that stopped last is the first.
    pub runs: Vec<UnfinishedRun>,
    /// How many more may be among them: they were not looked at.
    pub left_out: usize,
}

impl Unfinished {
    /// These, in their order.
    #[must_use]
    pub fn of(mut runs: Vec<UnfinishedRun>, left_out: usize) -> Self {
        runs.sort_by_key(|it| std::cmp::Reverse(it.stopped));
        Self { runs, left_out }
    }
}

/// Looks at every run of a ledger.
pub(super) fn look_at_all<L: Ledger + ?Sized>(ledger: &L) -> Result<Unfinished, LedgerError> {
    let mut found = Vec::new();
    // One that cannot be read is shown by the list of runs.
    for run in ledger.runs()?.into_iter().flatten() {
        if run.held {
            continue;
        }
        match ledger.read(&run.run).and_then(|mut it| look_at(&mut *it)) {
            Ok((unended, newest)) if unended > 0 => found.push(UnfinishedRun {
                stopped: stopped(&run, newest),
                unended,
                run,
            }),
            // Deleted a moment ago, among others.
            Ok(_) | Err(LedgerError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Unfinished::of(found, 0))
}

/// How many tasks of a run have not ended, and when something was stored of them last.
fn look_at(run: &mut dyn ReadRun) -> Result<(u64, Option<SystemTime>), LedgerError> {
    let (mut unended, mut newest) = (0, None);
    run.list(&mut |task: Listed| {
        unended += u64::from(task.status == Status::Unended);
        let ended = task.ended.map(|end| end.stored.1);
        newest = newest.max(Some(task.submitted.1)).max(ended);
    })?;
    Ok((unended, newest))
}

/// When a run stopped of which something was stored then last.
#[must_use]
pub fn stopped(run: &RunRecord, stored: Option<SystemTime>) -> SystemTime {
    let newest = run.masters.last();
    let until = newest.and_then(|newest| newest.until);
    let since = newest.map_or(run.created, |newest| newest.since);
    until.unwrap_or_else(|| stored.map_or(since, |stored| stored.max(since)))
}

#[cfg(test)]
mod tests {
    use crate::id::{RunId, RunName};
    use crate::ledger::{Holder, Master};

    use super::*;

    fn run(ends_after: Option<&str>) -> UnfinishedRun {
        let settings = ends_after.map(|it| (ENDS_AFTER.to_owned(), it.to_owned()));
        let newest = Holder {
            epoch: 1,
            master: Master {
                settings: settings.into_iter().collect(),
                ..Master::default()
            },
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            until: None,
        };
        UnfinishedRun {
            run: RunRecord {
                run: RunId::new("nightly-0").unwrap(),
                name: RunName::new("nightly").unwrap(),
                created: SystemTime::UNIX_EPOCH,
                masters: vec![newest],
                held: false,
            },
            unended: 1,
            stopped: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_deadline_counts_from_the_newest_master() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(run(Some("50 s")).deadline(), at(150));
        for none in [
            None,
            Some(""),
            Some("soon"),
            Some("50"),
            Some("18446744073709551615 s"),
        ] {
            assert_eq!(run(none).deadline(), None, "{none:?}");
        }
    }

    #[test]
    fn a_killed_run_stopped_when_something_was_stored_last() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut record = run(None).run;
        assert_eq!(stopped(&record, Some(at(130))), at(130));
        assert_eq!(stopped(&record, None), at(100));
        assert_eq!(
            stopped(&record, Some(at(7))),
            at(100),
            "of an earlier master"
        );
        record.masters[0].until = Some(at(120));
        assert_eq!(stopped(&record, Some(at(130))), at(120));
    }
}
