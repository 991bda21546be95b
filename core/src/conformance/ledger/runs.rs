//! Checks of runs: how they are made, found, listed and deleted.

use crate::ledger::{Ledger, LedgerError, Opening, Record, UnfinishedRun};

use super::Place;
use super::samples::{a_task, a_type, at, done};
use super::steps::{
    KEY, append, begun, existing, id, master, name, named, ok, opened, read, refused, runs, tasks,
};

/// The run of a name is made where there is none, with the id and the key that its first opener states. Every later
/// opener gets the same run, and another name is another run.
///
/// # Panics
/// When that is not so.
pub fn a_name_is_one_run(place: &Place) {
    let first = opened(&*place.ledger, &named("nightly", "nightly-0"));
    assert_eq!(first.run, id("nightly-0"), "the id of a fresh run");
    assert_eq!(first.mac_key, KEY, "the key of a fresh run");
    drop(first);
    let mut again = named("nightly", "nightly-1");
    if let crate::ledger::Which::Named { mac_key, .. } = &mut again.which {
        *mac_key = [8; 32];
    }
    for ledger in [&place.ledger, &place.other] {
        let second = opened(&**ledger, &again);
        assert_eq!(second.run, id("nightly-0"), "the name has a run");
        assert_eq!(second.mac_key, KEY, "the run has a key");
    }
    let other = opened(&*place.other, &named("nightly-1", "nightly-1-0"));
    assert_eq!(other.run, id("nightly-1-0"), "another name is another run");
    let by_id = opened(&*place.ledger, &existing(&id("nightly-0")));
    assert_eq!(by_id.run, id("nightly-0"), "a run is opened by its id");
    assert_eq!(by_id.mac_key, KEY);
    let listed = runs(&*place.ledger);
    let names: Vec<_> = listed.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// A run that the ledger does not have is neither read nor opened by its id; deleting it is no error. An empty ledger
/// lists nothing.
///
/// # Panics
/// When that is not so.
pub fn an_unknown_run_is_an_error(place: &Place) {
    let unknown = id("nightly-9");
    let is_unknown = |error| matches!(error, LedgerError::Unknown(run) if run == unknown);
    for made in [false, true] {
        let held = made.then(|| begun(&*place.ledger));
        let error = refused(place.other.read(&unknown), "an unknown run");
        assert!(is_unknown(error), "read names the run");
        let error = refused(place.other.open(&existing(&unknown)), "an unknown run");
        assert!(is_unknown(error), "open names the run");
        ok(place.other.delete(&unknown), "delete an unknown run");
        assert_eq!(runs(&*place.other).len(), usize::from(made));
        drop(held);
    }
}

/// The runs are listed youngest first, each with its masters, oldest first, and with whether it is held.
///
/// # Panics
/// When that is not so.
pub fn runs_are_listed_youngest_first(place: &Place) {
    let made_at = |run: &str, fresh: &str, seconds| Opening {
        now: at(seconds),
        master: master(seconds as u32),
        ..named(run, fresh)
    };
    let mut middle = opened(&*place.ledger, &made_at("b", "b-0", 20));
    drop(opened(&*place.ledger, &made_at("c", "c-0", 10)));
    let _held = opened(&*place.ledger, &made_at("a", "a-0", 30));
    ok(middle.ledger.release(), "release");
    drop(middle);
    // A second master makes a run no younger.
    let _held = opened(&*place.other, &made_at("c", "c-1", 40));
    let listed = runs(&*place.other);
    let shown: Vec<_> = listed
        .iter()
        .map(|run| {
            let pids: Vec<_> = run.masters.iter().map(|it| it.master.pid).collect();
            (run.run.as_str(), run.held, pids)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("a-0", true, vec![30]),
            ("b-0", false, vec![20]),
            ("c-0", true, vec![10, 40]),
        ]
    );
    assert_eq!(listed[2].created, at(10), "when the run was made");
    assert_eq!(listed[2].name, name("c"));
    assert!(listed[1].masters[0].until.is_some(), "it released the run");
    let one = ok(read(&*place.other, &id("c-0")).run(), "run");
    assert_eq!(one, listed[2], "a run reads of itself what the list shows");
}

/// Unfinished are the runs whose master is gone, however it went, and that have tasks which have not ended.
///
/// # Panics
/// When others are, or one of them is not.
pub fn unfinished_runs_are_found(place: &Place) {
    let made = |name: &str, tasks: u64, ended: u64| {
        let mut run = opened(&*place.ledger, &named(name, &format!("{name}-0")));
        append(&mut *run.ledger, &[Record::Type(a_type(0))]);
        let tasks: Vec<_> = (0..tasks).map(|it| Record::Task(a_task(it))).collect();
        append(&mut *run.ledger, &tasks);
        let ends: Vec<_> = (0..ended).map(done).collect();
        append(&mut *run.ledger, &ends);
        run
    };
    let found = |ledger: &dyn Ledger| {
        let found = ok(ledger.unfinished(10), "unfinished runs");
        assert_eq!(found.left_out, 0);
        let short = |it: UnfinishedRun| {
            assert!(!it.run.held, "{it:?}");
            (it.run.run.as_str().to_owned(), it.unended)
        };
        let mut found: Vec<_> = found.runs.into_iter().map(short).collect();
        found.sort();
        found
    };
    let of = |run: &str, unended| (run.to_owned(), unended);
    assert_eq!(found(&*place.other), [], "an empty ledger");
    let held = made("held", 3, 1);
    let mut left = made("left", 4, 1);
    ok(left.ledger.release(), "release");
    drop(left);
    let mut all_done = made("done", 2, 2);
    ok(all_done.ledger.release(), "release");
    drop(all_done);
    let mut without_tasks = made("empty", 0, 0);
    ok(without_tasks.ledger.release(), "release");
    drop(without_tasks);
    // Killed.
    drop(made("killed", 5, 3));
    drop(made("killed-when-done", 1, 1));
    for ledger in [&place.ledger, &place.other] {
        assert_eq!(found(&**ledger), [of("killed-0", 2), of("left-0", 3)]);
    }
    let mut next = opened(&*place.ledger, &named("left", "left-1"));
    assert_eq!(found(&*place.other), [of("killed-0", 2)], "it is picked up");
    append(&mut *next.ledger, &[done(1), done(2), done(3)]);
    ok(next.ledger.release(), "release");
    drop(next);
    drop(held);
    assert_eq!(found(&*place.other), [of("held-0", 2), of("killed-0", 2)]);
    ok(place.ledger.delete(&id("killed-0")), "delete");
    assert_eq!(found(&*place.other), [of("held-0", 2)]);
}

/// A run whose master lives is not deleted, and keeps what it has.
///
/// # Panics
/// When it is.
pub fn a_held_run_is_not_deleted(place: &Place) {
    let mut run = begun(&*place.ledger);
    append(&mut *run.ledger, &[Record::Task(a_task(0))]);
    for ledger in [&place.ledger, &place.other] {
        let error = refused(ledger.delete(&run.run), "deleting a held run");
        let LedgerError::Held {
            run: held, holder, ..
        } = error
        else {
            panic!("deleting a held run: {error}");
        };
        assert_eq!((held, holder.epoch), (run.run.clone(), 1));
    }
    append(&mut *run.ledger, &[Record::Task(a_task(1))]);
    assert_eq!(tasks(&mut *run.ledger).len(), 2);
    assert_eq!(tasks(&mut *read(&*place.other, &run.run)).len(), 2);
}

/// Of a deleted run nothing is left, and its name makes a fresh one. Deleting it twice is no error.
///
/// # Panics
/// When something is left.
pub fn a_deleted_run_is_gone(place: &Place) {
    let mut run = begun(&*place.ledger);
    append(&mut *run.ledger, &[Record::Task(a_task(0))]);
    drop(run);
    let other = opened(&*place.ledger, &named("weekly", "weekly-0"));
    let deleted = id("nightly-0");
    for _ in 0..2 {
        ok(place.other.delete(&deleted), "delete");
    }
    for ledger in [&place.ledger, &place.other] {
        assert!(ledger.read(&deleted).is_err(), "a deleted run is read");
        let error = refused(ledger.open(&existing(&deleted)), "a deleted run");
        assert!(matches!(error, LedgerError::Unknown(_)), "{error}");
        let left: Vec<_> = runs(&**ledger).into_iter().map(|it| it.run).collect();
        assert_eq!(left, [id("weekly-0")], "the other run stays");
    }
    drop(other);
    let mut fresh = opened(&*place.ledger, &named("nightly", "nightly-1"));
    assert_eq!(fresh.run, id("nightly-1"), "the name is free");
    assert_eq!(fresh.epoch, 1);
    assert_eq!(tasks(&mut *fresh.ledger), []);
}
