//! Making what a run needs, and the subscriptions of its workers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use google_cloud_pubsub::model::{ExpirationPolicy, Subscription};
use tonic::Code;
use tracing::debug;

use super::{Admin, in_order, told};
use crate::broker::pubsub::error::{AdminError, Refusal};
use crate::broker::pubsub::labels::{RunLabels, Tag};
use crate::broker::pubsub::names::{RunNames, spoken, subscription_path, topic_path};

/// How long messages are kept, and how long an unused subscription exists: as long as Pub/Sub allows, and
/// longer than any run.
const KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);
/// The same for services of an older limit, the emulator among them.
const KEPT_SHORTER: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long control messages are kept: only the newest counts, and it is sent every ten seconds.
const CONTROL_KEPT: Duration = Duration::from_secs(600);
/// How long results are leased: the shortest that Pub/Sub has
/// (<https://cloud.google.com/pubsub/docs/lease-management>). A master acknowledges within moments, and a result that
/// comes again changes nothing. What is on its way to a master whose connection breaks is leased for so long, and no worker has it.
pub(crate) const RESULTS_LEASE: Duration = Duration::from_secs(10);
/// The topic of a subscription whose topic was deleted.
const NO_TOPIC: &str = "_deleted-topic_";

/// A subscription to be.
struct Plan {
    path: String,
    topic: String,
    kept: Duration,
    /// Its ack deadline.
    lease: Duration,
}

/// What was at a name before it was made.
enum Was {
    There,
    /// Nothing; the full name.
    Missing(String),
}

/// What was made, and the first failure.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Making {
    /// What was not there before, by full names.
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
    /// with 10 s at most. What the same run made before is fine; a subscription that lost its topic is made again. Names of an
    /// administrator are not made.
    ///
    /// # Errors
    /// [`AdminError`] for the first that cannot be made; what was made stays, for a second try or
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

    /// The same; tells what was not there before, topics first.
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

    /// Makes again what vanished of a run's own topics, and of the subscriptions of its tasks and results. Returns what
    /// had vanished, as `topic T of project P`: what was in it is lost.
    ///
    /// # Errors
    /// [`AdminError`] when it cannot be seen, or cannot be made again.
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

    /// Whether something vanished of a run's own topics, or of the subscriptions of its tasks and results.
    pub(crate) async fn has_vanished(&self, names: &RunNames) -> Result<bool, AdminError> {
        match self.check(names).await {
            // A subscription that lost its topic is unfit: it would never deliver anything.
            Err(AdminError::Missing { .. } | AdminError::Unfit { .. }) if names.are_own() => {
                Ok(true)
            }
            seen => seen.map(|_| false),
        }
    }

    /// Those of these cohorts, with their sizes, of whose control subscriptions one is not there.
    pub(crate) async fn missing_control(
        &self,
        names: &RunNames,
        cohorts: &BTreeMap<u32, u32>,
    ) -> Result<Vec<(u32, u32)>, AdminError> {
        let Some(control) = names.control_names().filter(|_| !cohorts.is_empty()) else {
            return Ok(Vec::new());
        };
        let topic = topic_path(&self.project, &control.topic);
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
    /// control topic is fine, wherever it comes from. Does nothing where there is no control topic.
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

    /// The same; tells what was not there before.
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
        let create = self.topics.create_topic();
        let made = create.set_name(&path).set_labels(labels.pairs()).send();
        let Err(error) = made.await else {
            return Ok(Was::Missing(path));
        };
        let refusal = Refusal::from(error);
        if refusal.code != Code::AlreadyExists {
            return Err(refusal.into_admin_error("create", spoken(&path)));
        }
        let found = self.topics.get_topic().set_topic(&path).send().await;
        let found = found.map_err(|error| told("read", &path, error))?;
        ours(&path, &found.labels, labels)?;
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
        if own {
            ours(&plan.path, &found.labels, labels)?;
        }
        if found.topic == plan.topic {
            return Ok(Was::There);
        }
        if !own || found.topic != NO_TOPIC {
            return Err(AdminError::Unfit {
                what: spoken(&plan.path),
                reason: format!("it belongs to {}", spoken(&found.topic)),
            });
        }
        // Ours, and its topic was deleted under it: it would never deliver anything.
        self.delete_subscription(&plan.path).await?;
        match self.try_subscription(&plan, labels).await {
            None => Ok(Was::Missing(plan.path)),
            Some(refusal) => Err(refusal.into_admin_error("create", spoken(&plan.path))),
        }
    }

    async fn try_subscription(&self, plan: &Plan, labels: &RunLabels) -> Option<Refusal> {
        let refusal = self.ask(plan, labels, plan.kept).await?;
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
        let mut expiration = ExpirationPolicy::new();
        expiration.ttl = KEPT.try_into().ok();
        let mut wanted = Subscription::new()
            .set_name(&plan.path)
            .set_topic(&plan.topic)
            .set_labels(labels.pairs())
            .set_ack_deadline_seconds(i32::try_from(plan.lease.as_secs()).unwrap_or(i32::MAX))
            .set_expiration_policy(expiration);
        wanted.message_retention_duration = kept.try_into().ok();
        let create = self.subscriptions.create_subscription();
        let made = create.with_request(wanted).send().await;
        made.err().map(Refusal::from)
    }
}

/// Whether something that exists is of the same run.
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
