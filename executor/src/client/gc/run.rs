//! A run is removed with all that it has: on the cluster, in its queues, in the payload store, and in its ledger.

use podpool_core::id::RunId;
use podpool_core::ledger::{LedgerError, RunRecord};

use crate::ledger::Ledger;
use crate::named_run::is_elsewhere;

use super::{GcError, Places, Removed, Which, remove};

/// Removes a run of a ledger by its name or its id: Secret, Jobs, pods, payloads, subscriptions and topics, and then the
/// run in the ledger, with its results. Where something stays, the run stays in the ledger too, so that the call can be
/// repeated. Of a run on this machine there are only its payloads and its row.
///
/// ```no_run
/// use podpool::gc::{self, Places};
/// use podpool::ledger::Ledger;
///
/// # async fn gc() -> Result<(), Box<dyn std::error::Error>> {
/// let removed = gc::remove_run(&Places::new(), &Ledger::open("runs"), "year-2013").await?;
/// for (leftover, why) in &removed.failed {
///     eprintln!("{leftover} is still there: {why}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// Payloads are searched in the store that `places` or the environment names, else in the one that the run's last master
/// had.
///
/// # Errors
/// [`GcError`] where the ledger has no such run, its master lives, or a place cannot be searched. Nothing was removed then.
/// Also where the ledger refuses at the end: everything else is removed then.
pub async fn remove_run(places: &Places, ledger: &Ledger, which: &str) -> Result<Removed, GcError> {
    let refused = |error: LedgerError| GcError::at(ledger.place())(error.to_string());
    let wanted = which.to_owned();
    let found = blocking(ledger, move |ledger| ledger.run(&wanted)?.record()).await?;
    let record = found.map_err(refused)?;
    if let Some(held) = held(&record) {
        return Err(GcError::at(ledger.place())(held));
    }
    let mut places = places.clone();
    if places.payload_store.is_none() && crate::broker::run_payloads::asked_for(None).is_none() {
        let newest = record.masters.last();
        let store = newest.and_then(|newest| newest.master.setting("payload store"));
        places.payload_store = store.map(str::to_owned);
    }
    let mut removed = match is_elsewhere(&record) {
        true => remove(&places, &Which::Run(record.run.clone())).await?,
        false => remove_payloads(&places, &record.run).await?,
    };
    if removed.failed.is_empty() {
        let run = record.run.to_string();
        let deleted = blocking(ledger, move |ledger| ledger.delete(&run)).await?;
        deleted.map_err(refused)?;
        removed.forgotten = true;
    }
    Ok(removed)
}

/// Calls a ledger, whose calls block, on a thread for that.
async fn blocking<T: Send + 'static>(
    ledger: &Ledger,
    call: impl FnOnce(&Ledger) -> T + Send + 'static,
) -> Result<T, GcError> {
    let (ledger, place) = (ledger.clone(), ledger.place());
    let called = tokio::task::spawn_blocking(move || call(&ledger)).await;
    called.map_err(|error| GcError::at(place)(error.to_string()))
}

/// Why a run whose master lives is not removed.
fn held(record: &RunRecord) -> Option<String> {
    let holder = record.masters.last().filter(|_| record.held)?;
    Some(format!(
        "{} has run {}; stop it, or wait for its end",
        holder.master, record.run
    ))
}

/// The payloads of a run on this machine.
#[cfg(feature = "payload")]
async fn remove_payloads(places: &Places, run: &RunId) -> Result<Removed, GcError> {
    let url = crate::broker::run_payloads::asked_for(places.payload_store.clone());
    let mut removed = Removed::default();
    let Some(url) = url else {
        return Ok(removed);
    };
    let there = super::look::payloads(&url, &[run.clone()].into()).await?;
    for leftover in there {
        match super::look::delete_payloads(&url, run).await {
            Ok(()) => removed.removed.push(leftover),
            Err(why) => removed.failed.push((leftover, why)),
        }
    }
    Ok(removed)
}

/// Refuses a store.
#[cfg(not(feature = "payload"))]
async fn remove_payloads(places: &Places, _: &RunId) -> Result<Removed, GcError> {
    match crate::broker::run_payloads::asked_for(places.payload_store.clone()) {
        None => Ok(Removed::default()),
        Some(url) => Err(GcError::at(url)(super::look::NO_STORE.to_owned())),
    }
}

#[cfg(test)]
mod tests;
