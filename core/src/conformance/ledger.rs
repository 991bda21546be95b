//! The promises of every [`Ledger`], as checks.
//!
//! [`all`] runs every check, each in an empty [`Place`] of its own. A check is bounded in time.

mod appending;
mod commands;
mod masters;
mod reading;
mod runs;
mod samples;
mod steps;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub use self::appending::{
    a_failed_transaction_leaves_nothing, an_amended_attempt_is_one, every_field_of_a_task_is_kept,
    every_field_of_an_attempt_is_kept, every_field_of_an_end_is_kept, every_type_is_kept,
    long_and_empty_bytes_are_kept, random_records_are_read_as_they_fold, strange_texts_are_kept,
    the_highest_published_attempt_is_kept, the_newest_events_are_kept,
};
pub use self::commands::{
    a_command_is_for_one_master, a_command_reaches_the_master_and_its_answer_comes_back,
    a_run_without_a_master_takes_no_command,
};
pub use self::masters::{
    a_living_master_holds_its_run, a_released_run_is_free, a_run_that_is_taken_over_is_fenced,
    epochs_count_the_masters, no_number_is_given_twice, of_many_openers_one_wins,
    what_a_killed_master_stored_is_there,
};
pub use self::reading::{
    a_list_agrees_with_the_records, a_place_is_that_of_all_its_workers_tasks,
    a_reader_does_not_disturb_the_master, a_reader_sees_what_is_added_meanwhile,
    tasks_come_in_the_order_of_their_numbers, what_is_not_there_is_none,
};
pub use self::runs::{
    a_deleted_run_is_gone, a_held_run_is_not_deleted, a_name_is_one_run,
    an_unknown_run_is_an_error, runs_are_listed_youngest_first, unfinished_runs_are_found,
};
pub use self::samples::valid_records;
use crate::ledger::Ledger;

/// Longest time of one check.
const CHECK_TIME: Duration = Duration::from_secs(120);

/// An empty place for runs, under test.
pub struct Place {
    /// The ledger of this place.
    pub ledger: Arc<dyn Ledger>,
    /// The same place, as another process has it.
    pub other: Arc<dyn Ledger>,
    /// Dropped after the check: it removes what the place consists of.
    pub guard: Box<dyn Any + Send>,
}

impl Place {
    /// A place that nothing has to be removed of.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, other: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            other,
            guard: Box::new(()),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("ledger", &self.ledger)
            .field("other", &self.other)
            .finish_non_exhaustive()
    }
}

/// A check of one promise.
pub type Check = fn(&Place);

/// Runs every check, each in a place that `make` makes.
///
/// # Panics
/// When the ledger breaks a promise, or a check does not end.
pub fn all(make: &dyn Fn() -> Place) {
    macro_rules! check {
        ($($check:ident),* $(,)?) => { $(
            bounded(stringify!($check), make(), $check);
        )* };
    }
    check!(
        a_name_is_one_run,
        an_unknown_run_is_an_error,
        runs_are_listed_youngest_first,
        unfinished_runs_are_found,
        epochs_count_the_masters,
        no_number_is_given_twice,
        a_living_master_holds_its_run,
        a_released_run_is_free,
        what_a_killed_master_stored_is_there,
        a_run_that_is_taken_over_is_fenced,
        of_many_openers_one_wins,
        a_failed_transaction_leaves_nothing,
        every_type_is_kept,
        every_field_of_a_task_is_kept,
        every_field_of_an_attempt_is_kept,
        an_amended_attempt_is_one,
        every_field_of_an_end_is_kept,
        the_highest_published_attempt_is_kept,
        the_newest_events_are_kept,
        long_and_empty_bytes_are_kept,
        strange_texts_are_kept,
        random_records_are_read_as_they_fold,
        tasks_come_in_the_order_of_their_numbers,
        a_list_agrees_with_the_records,
        a_place_is_that_of_all_its_workers_tasks,
        what_is_not_there_is_none,
        a_reader_sees_what_is_added_meanwhile,
        a_reader_does_not_disturb_the_master,
        a_command_reaches_the_master_and_its_answer_comes_back,
        a_run_without_a_master_takes_no_command,
        a_command_is_for_one_master,
        a_held_run_is_not_deleted,
        a_deleted_run_is_gone,
    );
}

/// Fails a check that does not end. Calls of a ledger block, so the check has a thread, which is left behind then.
fn bounded(name: &str, place: Place, check: Check) {
    let (ended, end) = mpsc::channel::<()>();
    let checking = thread::spawn(move || {
        // Dropped at the end of the check also where it panics.
        let _ended = ended;
        check(&place);
    });
    // Nothing is sent: the end is that the sender is gone.
    if end.recv_timeout(CHECK_TIME) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{name} did not end within {CHECK_TIME:?}");
    }
    if let Err(panic) = checking.join() {
        resume_unwind(panic);
    }
}
