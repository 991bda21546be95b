//! Checks of masters: one at a time, and each knows whether a later one has come.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::id::TaskId;
use crate::ledger::{Ledger, LedgerError, NUMBERS, Record};
use crate::lock::lock;

use super::Place;
use super::samples::{a_task, at, done};
use super::steps::{
    append, begun, existing, id, master, named, ok, opened, read, refused, runs, taking_over, tasks,
};

/// How many openers race for one name.
const OPENERS: usize = 8;

/// The masters of a run are counted from 1, each with what it states of itself.
///
/// # Panics
/// When that is not so.
pub fn epochs_count_the_masters(place: &Place) {
    for epoch in 1..=4 {
        let mut opening = named("nightly", "nightly-0");
        opening.master = master(epoch);
        opening.now = at(u64::from(epoch));
        let mut run = opened(&*place.ledger, &opening);
        assert_eq!(run.epoch, u64::from(epoch));
        let record = ok(run.ledger.run(), "run");
        assert!(record.held, "the master itself lives");
        assert_eq!(record.masters.len(), epoch as usize);
        // Released, and killed.
        if epoch % 2 == 0 {
            ok(run.ledger.release(), "release");
        }
    }
    let record = runs(&*place.other).remove(0);
    assert!(!record.held);
    for (holder, epoch) in record.masters.iter().zip(1..) {
        assert_eq!(holder.epoch, u64::from(epoch));
        assert_eq!(holder.master, master(epoch), "epoch {epoch}");
        assert_eq!(holder.since, at(u64::from(epoch)), "epoch {epoch}");
        let released = epoch % 2 == 0;
        assert_eq!(holder.until.is_some(), released, "epoch {epoch}");
    }
}

/// A number of a task that a master may have given is given by no later one, whether its task was stored or not. What a
/// master gives back is given by the next.
///
/// # Panics
/// When that is not so.
pub fn no_number_is_given_twice(place: &Place) {
    let next = |ledger: &dyn Ledger| opened(ledger, &named("nightly", "nightly-0"));
    let mut first = begun(&*place.ledger);
    assert_eq!(first.first, TaskId(0));
    append(&mut *first.ledger, &[Record::Task(a_task(3))]);
    // Killed: it may have given any number that was its own.
    drop(first);
    let mut second = next(&*place.other);
    assert_eq!(second.first, TaskId(NUMBERS));
    let (task, more) = (a_task(8 * NUMBERS), TaskId(9 * NUMBERS));
    append(
        &mut *second.ledger,
        &[Record::Task(task), Record::Reserved(more)],
    );
    drop(second);
    let mut third = next(&*place.ledger);
    assert_eq!(third.first, more);
    let (task, back) = (a_task(more.0), TaskId(more.0 + 2));
    append(
        &mut *third.ledger,
        &[Record::Task(task), Record::Reserved(back)],
    );
    ok(third.ledger.release(), "release");
    drop(third);
    let mut fourth = next(&*place.other);
    assert_eq!(fourth.first, back, "the others were given back");
    let beyond = a_task(back.0 + 5);
    append(
        &mut *fourth.ledger,
        &[Record::Reserved(TaskId(0)), Record::Task(beyond)],
    );
    drop(fourth);
    let fifth = next(&*place.ledger);
    assert_eq!(
        fifth.first,
        TaskId(back.0 + 6),
        "a stored task has its number"
    );
}

/// While a master lives no other process gets its run, and is told who has it since when.
///
/// # Panics
/// When another gets it.
pub fn a_living_master_holds_its_run(place: &Place) {
    let mut run = begun(&*place.ledger);
    for ledger in [&place.ledger, &place.other] {
        for mut opening in [named("nightly", "nightly-1"), existing(&run.run)] {
            opening.now = at(90);
            opening.master = master(2);
            let error = refused(ledger.open(&opening), "a held run");
            let text = error.to_string();
            let LedgerError::Held {
                run: held,
                holder,
                elapsed,
            } = error
            else {
                panic!("a held run: {error}");
            };
            assert_eq!(held, run.run);
            assert_eq!((holder.epoch, &holder.master), (1, &master(1)));
            assert_eq!((holder.since, holder.until), (at(0), None));
            assert_eq!(elapsed.as_secs(), 90);
            assert!(
                text.contains("atlas") && text.contains("nightly-0"),
                "{text}"
            );
        }
    }
    append(&mut *run.ledger, &[Record::Task(a_task(0))]);
    assert_eq!(
        runs(&*place.other)[0].masters.len(),
        1,
        "a refused one is no master"
    );
}

/// A run that its master has released is free, also while that process lives.
///
/// # Panics
/// When it is not.
pub fn a_released_run_is_free(place: &Place) {
    let mut run = begun(&*place.ledger);
    ok(run.ledger.release(), "release");
    let record = runs(&*place.other).remove(0);
    assert!(!record.held, "it is released");
    assert!(record.masters[0].until.is_some(), "it is released");
    let mut second = opened(&*place.other, &existing(&run.run));
    assert_eq!(second.epoch, 2);
    drop(run);
    append(&mut *second.ledger, &[Record::Task(a_task(0))]);
    let error = refused(place.ledger.open(&existing(&id("nightly-0"))), "a held run");
    assert!(matches!(error, LedgerError::Held { .. }), "{error}");
}

/// What a master stored is there for the next one when the first is killed at any moment.
///
/// # Panics
/// When it is not.
pub fn what_a_killed_master_stored_is_there(place: &Place) {
    let mut run = begun(&*place.ledger);
    append(&mut *run.ledger, &[Record::Task(a_task(0)), done(0)]);
    append(&mut *run.ledger, &[Record::Task(a_task(1))]);
    drop(run);
    assert!(!runs(&*place.other)[0].held, "the master is dead");
    let mut second = opened(&*place.other, &named("nightly", "nightly-1"));
    assert_eq!(second.epoch, 2);
    assert_eq!(tasks(&mut *second.ledger).len(), 2);
    append(&mut *second.ledger, &[done(1)]);
    assert!(
        runs(&*place.ledger)[0].masters[0].until.is_none(),
        "it never released the run"
    );
}

/// A run that is taken over obeys the later master alone: whatever the first one appends is refused and not stored, and
/// its end does not free the run.
///
/// # Panics
/// When the first one writes, or frees the run.
pub fn a_run_that_is_taken_over_is_fenced(place: &Place) {
    let mut first = begun(&*place.ledger);
    append(&mut *first.ledger, &[Record::Task(a_task(0))]);
    let mut second = opened(&*place.other, &taking_over(&first.run));
    assert_eq!(second.epoch, 2);
    let is_superseded = |error: &LedgerError| match error {
        LedgerError::Superseded { run, epoch } => (run, *epoch) == (&second.run, 2),
        _ => false,
    };
    for records in [vec![Record::Task(a_task(1))], vec![done(0)], Vec::new()] {
        let error = refused(first.ledger.append(&records, at(2)), "a fenced master");
        assert!(is_superseded(&error), "{error}");
        assert!(!error.is_transient(), "it is superseded for ever");
    }
    let error = refused(first.ledger.release(), "a fenced master");
    assert!(is_superseded(&error), "{error}");
    assert_eq!(tasks(&mut *second.ledger).len(), 1, "nothing was stored");
    append(&mut *second.ledger, &[done(0), Record::Task(a_task(1))]);
    drop(first);
    assert!(runs(&*place.ledger)[0].held, "the second one lives");
    let error = refused(place.ledger.open(&existing(&second.run)), "a held run");
    let LedgerError::Held { holder, .. } = error else {
        panic!("a held run: {error}");
    };
    assert_eq!((holder.epoch, holder.master), (2, master(2)));
    append(&mut *second.ledger, &[done(1)]);
    assert_eq!(tasks(&mut *read(&*place.ledger, &second.run)).len(), 2);
}

/// Of many that open the run of one name at the same time one becomes its master, and makes it; all others are told.
///
/// # Panics
/// When it is not one.
pub fn of_many_openers_one_wins(place: &Place) {
    let together = Barrier::new(OPENERS);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for opener in 0..OPENERS {
            let ledger = [&place.ledger, &place.other][opener % 2];
            let (together, outcomes) = (&together, &outcomes);
            let ledger = Arc::clone(ledger);
            scope.spawn(move || {
                let opening = named("nightly", &format!("nightly-{opener}"));
                together.wait();
                let outcome = ledger.open(&opening);
                lock(outcomes).push(outcome);
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    assert_eq!(outcomes.len(), OPENERS);
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "one becomes the master; the others: {lost:?}");
    let won = won.into_iter().flatten().next();
    let won = won.unwrap_or_else(|| panic!("one becomes the master"));
    assert_eq!(won.epoch, 1);
    for outcome in lost {
        match outcome {
            Err(LedgerError::Held { run, .. }) => assert_eq!(run, won.run),
            other => panic!("another opener: {other:?}"),
        }
    }
    assert_eq!(runs(&*place.ledger).len(), 1, "one run is made");
}
