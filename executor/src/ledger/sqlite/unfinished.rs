//! Runs that nobody goes on with, without a look into each run of the directory.
//!
//! A master that leaves with all tasks ended removes its lock file. So only runs with a lock file can be unfinished, and
//! the names of the files tell which these are. Of them those are opened whose lock nobody has.

use std::collections::BTreeMap;
use std::time::SystemTime;

use podpool_core::id::RunId;
use podpool_core::ledger::{LedgerError, ReadRun, Unfinished, UnfinishedRun, stopped};

use super::directory::{Directory, lock_of};
use super::file::RunFile;
use super::master::lives;

/// Opens so many files at most, those that were written last.
pub(super) fn find(directory: &Directory, most: usize) -> Result<Unfinished, LedgerError> {
    let mut newest: BTreeMap<RunId, u64> = BTreeMap::new();
    for (run, epoch) in directory.names()?.iter().filter_map(|name| lock_of(name)) {
        let known = newest.entry(run).or_default();
        *known = epoch.max(*known);
    }
    let mut left = Vec::new();
    for (run, epoch) in newest {
        if !lives(directory, &run, epoch)? {
            left.push((directory.written(&run), run));
        }
    }
    left.sort();
    let left_out = left.len().saturating_sub(most);
    let mut found = Vec::new();
    for (written, run) in left.into_iter().rev().take(most) {
        match look(directory, &run, written) {
            Ok(unfinished) => found.extend(unfinished),
            // Deleted, or never made whole. One that cannot be read is shown by the list of runs.
            Err(error) => tracing::debug!(%run, %error, "a run that may be unfinished is not read"),
        }
    }
    Ok(Unfinished::of(found, left_out))
}

fn look(
    directory: &Directory,
    run: &RunId,
    written: SystemTime,
) -> Result<Option<UnfinishedRun>, LedgerError> {
    let mut file = RunFile::to_read(directory, run)?;
    let record = file.run()?;
    let unended = file.unended()?;
    let unfinished = !record.held && unended > 0;
    Ok(unfinished.then(|| UnfinishedRun {
        // Nothing but its master writes its files. What was stored last could be read only from all rows.
        stopped: stopped(&record, Some(written)),
        unended,
        run: record,
    }))
}
