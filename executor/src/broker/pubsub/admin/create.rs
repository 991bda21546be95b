//! Making the topics and subscriptions of a run, and the control subscriptions of its workers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    ExpirationPolicy, Subscription, Topic,
};
use tonic::Code;
use tracing::debug;

use super::{Admin, in_order};
use crate::broker::pubsub::error::{AdminError, Refusal};
use crate::broker::pubsub::labels::{RunLabels, Tag};
use crate::broker::pubsub::names::{RunNames, spoken, subscription_path, topic_path};

/// How long messages are kept, and how long an unused subscription exists: as long as Pub/Sub allows, and
/// longer than any run.
// A run lasts 30 days at most (`run_deadline`). A shorter retention would drop tasks that wait for a worker, and a
// shorter expiration could remove the subscription of a run without workers, with all that is in it.
const KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);
/// The same for services of an older limit, the emulator among them.
const KEPT_SHORTER: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long control messages are kept: only the newest counts, and it is sent every ten seconds.
// The least that Pub/Sub accepts is 10 minutes. A subscription whose worker starts late holds 60 heartbeats then, and
// 3,000 more messages where the state changes all the time (five a second): the worker reads them and keeps the newest.
const CONTROL_KEPT: Duration = Duration::from_secs(600);
/// How long results are leased: the shortest that Pub/Sub has
/// (<https://cloud.google.com/pubsub/docs/lease-management>). A master acknowledges within moments, and a result that
/// is delivered again changes nothing. A result that was on its way to a master whose connection broke is delivered
/// again after this time.
// With the default lease of 60 s such a broken connection would delay results by a minute.
pub(crate) const RESULTS_LEASE: Duration = Duration::from_secs(10);
/// The topic of a subscription whose topic was deleted.
// Deleting a topic does not delete its subscriptions, and a new topic of the same name does not get them back.
const NO_TOPIC: &str = "_deleted-topic_";

/// A subscription that is to be made.
struct Plan {
    path: String,
    topic: String,
    kept: Duration,
    /// Its ack deadline.
    lease: Duration,
}

/// Whether a topic or subscription existed before it was made.
enum Was {
    There,
    /// It did not exist; the full name.
    Missing(String),
}

/// The topics and subscriptions that were made, and the first failure.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Making {
    /// Full names of those that did not exist before.
    pub(crate) made: Vec<String>,
    pub(crate) failed: Option<AdminError>,
}

impl Making {
    /// Ends with the first failure.
    async fn of(mut answers: impl Stream<Item = Result<Was, AdminError>> + Unpin) -> Self {
        let mut making = Self::default();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(Was::There) => {}
                Ok(Was::Missing(what)) => making.made.push(what),
                Err(error) => {
                    making.failed = Some(error);
                    // The calls still under way are dropped, and may be carried out without being listed in `made`.
                    // Deletion does not rely on that list: it goes by names and labels.
                    break;
                }
            }
        }
        making
    }

    fn add(&mut self, later: Self) {
        self.made.extend(later.made);
        self.failed = self.failed.take().or(later.failed);
    }

    fn into_result(self) -> Result<Vec<String>, AdminError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.made),
        }
    }
}

impl Admin {
    /// Makes the topics of a run, and the subscriptions of its tasks, with `lease` as ack deadline, and of its results,
    /// with 10 s at most. A topic or subscription that the same run made before is accepted; a subscription that lost
    /// its topic is made again. Names of an administrator are not made.
    ///
    /// # Errors
    /// [`AdminError`] for the first that cannot be made. Those that were made stay, for a second try or
    /// [`collect`](Self::collect).
    pub async fn create(
        &self,
        names: &RunNames,
        labels: &RunLabels,
        lease: Duration,
    ) -> Result<(), AdminError> {
        self.make(names, labels, lease)
            .await
            .into_result()
            .map(drop)
    }

    /// The same; returns what did not exist before, topics first.
    pub(crate) async fn make(
        &self,
        names: &RunNames,
        labels: &RunLabels,
        lease: Duration,
    ) -> Making {
        if !names.are_own() {
            return Making::default();
        }
        let control = names.control_names().map(|control| &control.topic);
        let topics = names.pairs().map(|pair| &pair.topic);
        let topics: Vec<_> = topics.into_iter().chain(control).collect();
        let made = topics.into_iter().map(|topic| {
            let path = topic_path(&self.project, topic);
            self.create_topic(path, labels).boxed()
        });
        let mut making = Making::of(in_order(made)).await;
        // All topics before the first subscription: a subscription is made on an existing topic. Nothing is published
        // before this function has returned, because a topic without a subscription drops its messages.
        if making.failed.is_none() {
            let [tasks, results] = names.pairs();
            let leases = [(tasks, lease), (results, lease.min(RESULTS_LEASE))];
            let plans = leases.map(|(pair, lease)| Plan {
                path: subscription_path(&self.project, &pair.subscription),
                topic: topic_path(&self.project, &pair.topic),
                kept: KEPT,
                lease,
            });
            let rest = self.create_subscriptions(plans.into(), labels, true);
            making.add(rest.await);
        }
        making
    }

    /// Makes a run's own topics, and the subscriptions of its tasks and results, again where they vanished. Returns
    /// those that had vanished, as `topic T of project P`: their messages are lost.
    ///
    /// # Errors
    /// [`AdminError`] when one cannot be read, or cannot be made again.
    pub async fn restore(
        &self,
        names: &RunNames,
        labels: &RunLabels,
        lease: Duration,
    ) -> Result<Vec<String>, AdminError> {
        if !self.has_vanished(names).await? {
            return Ok(Vec::new());
        }
        let made = self.make(names, labels, lease).await.into_result()?;
        self.check(names).await?;
        Ok(made.iter().map(|path| spoken(path)).collect())
    }

    /// Whether one of a run's own topics, or of the subscriptions of its tasks and results, vanished.
    pub(crate) async fn has_vanished(&self, names: &RunNames) -> Result<bool, AdminError> {
        match self.check(names).await {
            // A subscription that lost its topic is unfit: it would never deliver a message. On the run's own names
            // there is no other reason to be unfit, for podpool made them as `fit` demands.
            Err(AdminError::Missing { .. } | AdminError::Unfit { .. }) if names.are_own() => {
                Ok(true)
            }
            seen => seen.map(|_| false),
        }
    }

    /// Those of these cohorts, with their sizes, of which at least one control subscription is missing.
    pub(crate) async fn missing_control(
        &self,
        names: &RunNames,
        cohorts: &BTreeMap<u32, u32>,
    ) -> Result<Vec<(u32, u32)>, AdminError> {
        let Some(control) = names.control_names().filter(|_| !cohorts.is_empty()) else {
            return Ok(Vec::new());
        };
        let topic = topic_path(&self.project, &control.topic);
        // One listing of the topic, 1,000 names a page, in place of a read for each worker. It omits subscriptions that
        // lost the topic, so those count as missing, and are made again.
        let found: HashSet<_> = self.subscriptions_of(&topic).await?.into_iter().collect();
        let is_there = |cohort, index| {
            let name = control.subscription(cohort, index);
            found.contains(&subscription_path(&self.project, &name))
        };
        let cohorts = cohorts.iter().map(|(cohort, size)| (*cohort, *size));
        Ok(cohorts
            .filter(|&(cohort, size)| !(0..size).all(|index| is_there(cohort, index)))
            .collect())
    }

    /// Makes the control subscriptions of a cohort's workers, `0..size`. With given names one that exists on the
    /// control topic is accepted, whatever its origin. Does nothing where there is no control topic.
    ///
    /// # Errors
    /// [`AdminError`] for the first that cannot be made.
    pub async fn create_control(
        &self,
        names: &RunNames,
        labels: &RunLabels,
        lease: Duration,
        cohort: u32,
        size: u32,
    ) -> Result<(), AdminError> {
        self.make_control(names, labels, lease, cohort, size)
            .await
            .into_result()
            .map(drop)
    }

    /// The same; returns what did not exist before.
    pub(crate) async fn make_control(
        &self,
        names: &RunNames,
        labels: &RunLabels,
        lease: Duration,
        cohort: u32,
        size: u32,
    ) -> Making {
        let Some(control) = names.control_names() else {
            return Making::default();
        };
        let plans = (0..size).map(|index| Plan {
            path: subscription_path(&self.project, &control.subscription(cohort, index)),
            topic: topic_path(&self.project, &control.topic),
            kept: CONTROL_KEPT,
            lease,
        });
        self.create_subscriptions(plans.collect(), labels, names.are_own())
            .await
    }

    async fn create_topic(&self, path: String, labels: &RunLabels) -> Result<Was, AdminError> {
        let wanted = Topic {
            name: path.clone(),
            labels: labels.pairs().collect(),
            ..Topic::default()
        };
        let Err(refusal) = self.calls.create_topic(wanted).await else {
            return Ok(Was::Missing(path));
        };
        // Tried first and read second: a read before would leave a gap in which another process makes the name. The
        // refusal also answers a repeated try whose first one was carried out.
        if refusal.code != Code::AlreadyExists {
            return Err(refusal.into_admin_error("create", spoken(&path)));
        }
        // The label decides whose topic it is: the prefix is free to choose, so another program may have the same name.
        let found = self.read_topic(&path).await?;
        ours(&path, &found.labels, labels)?;
        if let Some(renewed) = labels.renewed(&found.labels) {
            let wanted = Topic {
                name: path.clone(),
                labels: renewed,
                ..Topic::default()
            };
            let updated = self.calls.relabel_topic(wanted).await;
            updated.err().inspect(|refusal| not_renewed(&path, refusal));
        }
        Ok(Was::There)
    }

    async fn create_subscriptions(
        &self,
        plans: Vec<Plan>,
        labels: &RunLabels,
        own: bool,
    ) -> Making {
        let made = plans
            .into_iter()
            .map(|plan| self.create_subscription(plan, labels, own).boxed());
        Making::of(in_order(made)).await
    }

    async fn create_subscription(
        &self,
        plan: Plan,
        labels: &RunLabels,
        own: bool,
    ) -> Result<Was, AdminError> {
        let Some(refusal) = self.try_subscription(&plan, labels).await else {
            return Ok(Was::Missing(plan.path));
        };
        if refusal.code != Code::AlreadyExists {
            return Err(refusal.into_admin_error("create", spoken(&plan.path)));
        }
        let found = self.read_subscription(&plan.path).await?;
        // Before the topic is compared: a foreign subscription must never be deleted below, whatever its topic.
        if own {
            ours(&plan.path, &found.labels, labels)?;
        }
        if found.topic == plan.topic {
            if own && let Some(renewed) = labels.renewed(&found.labels) {
                let wanted = Subscription {
                    name: plan.path.clone(),
                    labels: renewed,
                    ..Subscription::default()
                };
                let updated = self.calls.relabel_subscription(wanted).await;
                updated
                    .err()
                    .inspect(|refusal| not_renewed(&plan.path, refusal));
            }
            return Ok(Was::There);
        }
        if !own || found.topic != NO_TOPIC {
            return Err(AdminError::Unfit {
                what: spoken(&plan.path),
                reason: format!("it belongs to {}", spoken(&found.topic)),
            });
        }
        // It is the run's, and its topic was deleted: it would never deliver a message, and it cannot be attached to
        // another topic. Its backlog is lost; the caller reports that, because the name counts as missing.
        self.delete_subscription(&plan.path).await?;
        match self.try_subscription(&plan, labels).await {
            None => Ok(Was::Missing(plan.path)),
            Some(refusal) => Err(refusal.into_admin_error("create", spoken(&plan.path))),
        }
    }

    async fn try_subscription(&self, plan: &Plan, labels: &RunLabels) -> Option<Refusal> {
        let refusal = self.ask(plan, labels, plan.kept).await?;
        // The code alone does not name the field: every other invalid argument would be tried twice.
        let too_long = refusal.code == Code::InvalidArgument
            && refusal.message.contains("retention")
            && plan.kept > KEPT_SHORTER;
        if !too_long {
            return Some(refusal);
        }
        debug!(subscription = %plan.path, "messages are kept for 7 days: the service refuses 31");
        self.ask(plan, labels, KEPT_SHORTER).await
    }

    async fn ask(&self, plan: &Plan, labels: &RunLabels, kept: Duration) -> Option<Refusal> {
        // Both conversions hold for any time below 10,000 years.
        let wanted = Subscription {
            name: plan.path.clone(),
            topic: plan.topic.clone(),
            labels: labels.pairs().collect(),
            ack_deadline_seconds: i32::try_from(plan.lease.as_secs()).unwrap_or(i32::MAX),
            expiration_policy: Some(ExpirationPolicy {
                ttl: KEPT.try_into().ok(),
            }),
            message_retention_duration: kept.try_into().ok(),
            ..Subscription::default()
        };
        self.calls.create_subscription(wanted).await.err()
    }
}

/// What a later master of a run found keeps the deadline of an earlier one.
// No error: nothing but `gc` reads the label, and `gc` spares runs that have a Job with a later deadline. The emulator
// updates no labels.
fn not_renewed(path: &str, refusal: &Refusal) {
    debug!(
        what = spoken(path),
        ?refusal,
        "the deadline in its labels is not renewed"
    );
}

/// Checks that an existing topic or subscription belongs to the same run.
// By the run alone, and not by its creation time: a master that takes a run over goes on with what the first one made.
fn ours(path: &str, found: &HashMap<String, String>, labels: &RunLabels) -> Result<(), AdminError> {
    let owner = match Tag::read(found) {
        Some(tag) if tag.run == labels.run => return Ok(()),
        Some(tag) => format!("belongs to run {}", tag.run),
        None => "was not made by podpool".to_owned(),
    };
    Err(AdminError::Taken {
        what: spoken(path),
        owner,
    })
}
