//! The promises of every [`Broker`], as checks.
//!
//! [`all`] runs every check on a [`Subject`], each with a run of its own. The [limits](Broker::limits) of a broker
//! decide which of its abilities are checked. Each check is bounded in time.

mod queues;
mod runs;
mod steps;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

pub use self::queues::{
    control_reaches_every_worker, each_class_has_its_queue, tasks_and_results_arrive,
    what_vanished_is_made_again,
};
pub use self::runs::{
    a_cohort_may_be_retired_twice, a_lease_out_of_bounds_is_refused, an_ended_run_leaves_nothing,
    limits_are_sound, nonsense_is_not_opened, runs_share_nothing, what_is_left_is_found,
};
use crate::broker::Broker;
use crate::broker::openers::Opener;
use crate::id::RunId;

/// Longest time of one check.
const CHECK_TIME: Duration = Duration::from_secs(120);

/// Deletes the queues of a run behind the broker's back.
pub type Vanish = Arc<dyn Fn(RunId) -> BoxFuture<'static, ()> + Send + Sync>;

/// A broker under test.
#[derive(Clone)]
pub struct Subject {
    /// The master's side.
    pub broker: Arc<dyn Broker>,
    /// The workers' side.
    pub opener: Arc<dyn Opener>,
    /// Deletes queues from outside; None where that is impossible.
    pub vanish: Option<Vanish>,
    /// The longest time that a message may take, or the repair of vanished queues.
    pub patience: Duration,
}

impl Subject {
    /// A broker whose queues cannot be deleted from outside. Messages may take 10 s.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, opener: Arc<dyn Opener>) -> Self {
        Self {
            broker,
            opener,
            vanish: None,
            patience: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("broker", &self.broker)
            .field("opener", &self.opener)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Runs every check.
///
/// # Panics
/// When the broker breaks a promise, or a check does not end.
pub async fn all(subject: &Subject) {
    macro_rules! check {
        ($($check:ident),* $(,)?) => { $(
            bounded(stringify!($check), subject, $check(subject)).await;
        )* };
    }
    check!(
        limits_are_sound,
        a_lease_out_of_bounds_is_refused,
        nonsense_is_not_opened,
        tasks_and_results_arrive,
        control_reaches_every_worker,
        a_cohort_may_be_retired_twice,
        runs_share_nothing,
        each_class_has_its_queue,
        what_vanished_is_made_again,
        what_is_left_is_found,
        an_ended_run_leaves_nothing,
    );
}

/// Fails a check that does not end.
async fn bounded(name: &str, subject: &Subject, check: impl Future<Output = ()>) {
    // A check waits for `patience` at several places, and fails there by itself with a more precise message.
    let limit = CHECK_TIME + subject.patience * 4;
    if timeout(limit, check).await.is_err() {
        panic!(
            "{name} did not end within {limit:?} on {:?}",
            subject.broker
        );
    }
}
