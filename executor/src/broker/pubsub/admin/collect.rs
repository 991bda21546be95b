//! Deleting the topics and subscriptions of a run, and those that killed runs left behind.

use std::collections::HashMap;
use std::time::SystemTime;

use futures_util::{FutureExt, StreamExt, TryFutureExt};
use podpool_core::broker::Which;
use podpool_core::id::{RunId, RunName};

use super::{Admin, in_order, told};
use crate::broker::pubsub::error::{AdminError, Refusal};
use crate::broker::pubsub::labels::{Tag, seconds};
use crate::broker::pubsub::names::{RunNames, spoken, subscription_path, topic_path};

type Labels = HashMap<String, String>;

/// The entry of a topic or subscription that may be deleted by these labels. One whose labels cannot be read stays.
fn taken(which: &Which, path: String, labels: &Labels, now: SystemTime) -> Option<Labelled> {
    let tag = Tag::read(labels)?;
    let taken = which.takes(&tag.run, tag.name.as_ref(), tag.deadline, now);
    taken.then_some(Labelled {
        path,
        run: tag.run,
        name: tag.name,
        deadline: tag.deadline,
    })
}

/// A topic or subscription that a run made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labelled {
    /// Its full name.
    pub(crate) path: String,
    pub(crate) run: RunId,
    pub(crate) name: Option<RunName>,
    pub(crate) deadline: Option<SystemTime>,
}

/// How the topics and subscriptions of a run are recognised.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) run: RunId,
    /// When it began, if another master may have its id; None accepts every label with the id.
    pub(crate) created: Option<SystemTime>,
}

/// Those of some paths that a run made, and those whose labels could not be read. Paths that are gone are in neither.
type Sorted = (Vec<String>, Vec<(String, AdminError)>);

impl Made {
    /// Everything that is labelled with this run's id.
    fn by(run: &RunId) -> Self {
        Self {
            run: run.clone(),
            created: None,
        }
    }

    fn sort(&self, paths: Vec<String>, read: Vec<Result<Labels, AdminError>>) -> Sorted {
        let (mut own, mut unread) = (Vec::new(), Vec::new());
        for (path, labels) in paths.into_iter().zip(read) {
            match labels {
                Ok(labels) if self.takes(&labels) => own.push(path),
                Ok(_) | Err(AdminError::Missing { .. }) => {}
                Err(error) => unread.push((spoken(&path), error)),
            }
        }
        (own, unread)
    }

    fn takes(&self, labels: &Labels) -> bool {
        Tag::read(labels).is_some_and(|tag| {
            // Compared in whole seconds, as the label holds them: a `SystemTime` has a fraction that no label has.
            let created = self.created.map(seconds);
            tag.run == self.run && (created.is_none() || tag.created == created)
        })
    }
}

/// The topics and subscriptions that were deleted, and those that could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Full names of deleted topics and subscriptions, subscriptions first, each kind in order.
    pub deleted: Vec<String>,
    /// Names that are still there, and why.
    pub failed: Vec<(String, AdminError)>,
}

impl Admin {
    /// Deletes by label, in the whole project. Names without podpool's labels are never touched.
    ///
    /// # Errors
    /// [`AdminError`] when topics or subscriptions cannot be listed; nothing was deleted then.
    pub async fn collect(&self, now: SystemTime, which: &Which) -> Result<Collected, AdminError> {
        // Both listings before the first deletion: a listing that is refused must leave everything as it was.
        let subscriptions = self.labelled_subscriptions(now, which).await?;
        let topics = self.labelled_topics(now, which).await?;
        let paths = |found: Vec<Labelled>| found.into_iter().map(|it| it.path).collect();
        Ok(self.delete_all(paths(subscriptions), paths(topics)).await)
    }

    /// Empties the tasks' and the results' subscriptions of a run's names: every message that any run published before
    /// `now` is removed. Meant for names of an administrator on which a run left messages behind. A run that still
    /// works there loses its tasks, and publishes them again only after it has detected the loss.
    ///
    /// # Errors
    /// [`AdminError`] for the first that cannot be emptied.
    pub async fn purge(&self, names: &RunNames, now: SystemTime) -> Result<(), AdminError> {
        for pair in names.pairs() {
            let path = subscription_path(&self.project, &pair.subscription);
            // A seek to a time marks the messages published before it as acknowledged, leased ones among them.
            // <https://cloud.google.com/pubsub/docs/replay-overview>
            // Pub/Sub refuses a time past year 9999.
            let sought = self.calls.seek(&path, now.into()).await;
            sought.map_err(|refusal| told("empty", &path, refusal))?;
        }
        Ok(())
    }

    /// Deletes the control subscriptions of a cohort's workers, `0..size`, if they have the run's label. One that is
    /// gone already counts as deleted.
    pub async fn delete_control(
        &self,
        names: &RunNames,
        run: &RunId,
        cohort: u32,
        size: u32,
    ) -> Collected {
        self.delete_made_control(names, &Made::by(run), cohort, size)
            .await
    }

    /// The same, of a run whose id another master may have.
    pub(crate) async fn delete_made_control(
        &self,
        names: &RunNames,
        made: &Made,
        cohort: u32,
        size: u32,
    ) -> Collected {
        let Some(control) = names.control_names() else {
            return Collected::default();
        };
        let name = |index| subscription_path(&self.project, &control.subscription(cohort, index));
        let subscriptions = (0..size).map(name).collect();
        let (subscriptions, unread) = self.own_subscriptions(made, subscriptions).await;
        let mut collected = self.delete_all(subscriptions, Vec::new()).await;
        collected.failed.extend(unread);
        collected
    }

    /// Deletes the topics of a run and their subscriptions, without listing the project. Only those with the run's
    /// label are touched, and names of an administrator stay whatever their labels are. One that is gone already counts
    /// as deleted.
    pub async fn delete_run(&self, names: &RunNames, run: &RunId) -> Collected {
        self.delete_made(names, &Made::by(run)).await
    }

    /// The same, of a run whose id another master may have.
    pub(crate) async fn delete_made(&self, names: &RunNames, made: &Made) -> Collected {
        if !names.are_own() {
            return Collected::default();
        }
        let path = |name: &str| subscription_path(&self.project, name);
        let mut subscriptions: Vec<_> = names.pairs().map(|pair| path(&pair.subscription)).into();
        let mut topics: Vec<_> = names
            .pairs()
            .map(|pair| topic_path(&self.project, &pair.topic))
            .into();
        let mut unlisted = None;
        if let Some(control) = names.control_names() {
            let topic = topic_path(&self.project, &control.topic);
            match self.subscriptions_of(&topic).await {
                Ok(found) => {
                    // Listed from the topic: after a takeover this master does not have the sizes of all cohorts.
                    let ours = format!("{}-", path(&control.subscriptions));
                    subscriptions.extend(found.into_iter().filter(|name| name.starts_with(&ours)));
                }
                // Control subscriptions without their topic are not found here; their labels have the deadline for
                // `collect`.
                Err(AdminError::Missing { .. }) => {}
                // Not an early return: everything else of the run can be deleted all the same.
                Err(error) => unlisted = Some((topic.clone(), error)),
            }
            topics.push(topic);
        }
        tracing::debug!(run = %made.run, "deleting topics and subscriptions");
        // Pub/Sub has no deletion under a condition. Between this read and the deletion another run could only make a
        // name that contains this run's id, and ids are not used twice.
        let (subscriptions, unread) = self.own_subscriptions(made, subscriptions).await;
        let (topics, unread_topics) = self.own_topics(made, topics).await;
        let mut collected = self.delete_all(subscriptions, topics).await;
        let failed = unread.into_iter().chain(unread_topics).chain(unlisted);
        collected.failed.extend(failed);
        collected
    }

    async fn own_subscriptions(&self, made: &Made, paths: Vec<String>) -> Sorted {
        let read = paths
            .iter()
            .map(|path| self.read_subscription(path).map_ok(|it| it.labels).boxed());
        let read = in_order(read).collect().await;
        made.sort(paths, read)
    }

    async fn own_topics(&self, made: &Made, paths: Vec<String>) -> Sorted {
        let read = paths
            .iter()
            .map(|path| self.read_topic(path).map_ok(|it| it.labels).boxed());
        let read = in_order(read).collect().await;
        made.sort(paths, read)
    }

    /// Deletes subscriptions first: one that outlives its topic still costs, and no listing of its topic finds it.
    async fn delete_all(&self, subscriptions: Vec<String>, topics: Vec<String>) -> Collected {
        let mut collected = Collected::default();
        let deleted = subscriptions
            .iter()
            .map(|path| self.delete_subscription(path).boxed());
        let answers: Vec<_> = in_order(deleted).collect().await;
        sort(&mut collected, answers, subscriptions);
        let deleted = topics.iter().map(|path| self.delete_topic(path).boxed());
        let answers: Vec<_> = in_order(deleted).collect().await;
        sort(&mut collected, answers, topics);
        collected
    }

    pub(crate) async fn labelled_subscriptions(
        &self,
        now: SystemTime,
        which: &Which,
    ) -> Result<Vec<Labelled>, AdminError> {
        let listed = self.calls.subscriptions(&self.project_path()).await;
        let listed = listed.map_err(|refusal| self.unlisted(refusal))?;
        let of_runs = listed.into_iter();
        let of_runs = of_runs.filter_map(|it| taken(which, it.name, &it.labels, now));
        Ok(of_runs.collect())
    }

    pub(crate) async fn labelled_topics(
        &self,
        now: SystemTime,
        which: &Which,
    ) -> Result<Vec<Labelled>, AdminError> {
        let listed = self.calls.topics(&self.project_path()).await;
        let listed = listed.map_err(|refusal| self.unlisted(refusal))?;
        let of_runs = listed.into_iter();
        let of_runs = of_runs.filter_map(|it| taken(which, it.name, &it.labels, now));
        Ok(of_runs.collect())
    }

    /// The full names of a topic's subscriptions.
    pub(super) async fn subscriptions_of(&self, topic: &str) -> Result<Vec<String>, AdminError> {
        let listed = self.calls.subscriptions_of(topic).await;
        listed.map_err(|refusal| told("list the subscriptions of", topic, refusal))
    }

    pub(crate) async fn delete_subscription(&self, path: &str) -> Result<(), AdminError> {
        let deleted = self.calls.delete_subscription(path).await;
        deleted.map_err(|refusal| told("delete", path, refusal))
    }

    pub(crate) async fn delete_topic(&self, path: &str) -> Result<(), AdminError> {
        let deleted = self.calls.delete_topic(path).await;
        deleted.map_err(|refusal| told("delete", path, refusal))
    }

    fn project_path(&self) -> String {
        format!("projects/{}", self.project)
    }

    fn unlisted(&self, refusal: Refusal) -> AdminError {
        let what = format!("topics and subscriptions of project {}", self.project);
        refusal.into_admin_error("list", what)
    }
}

/// Sorts answers into deleted and failed. A missing one is in neither list: another process deleted it first, or an
/// earlier try of the same call did.
fn sort(collected: &mut Collected, answers: Vec<Result<(), AdminError>>, paths: Vec<String>) {
    for (answer, path) in answers.into_iter().zip(paths) {
        match answer {
            Ok(()) => collected.deleted.push(path),
            Err(AdminError::Missing { .. }) => {}
            Err(error) => collected.failed.push((spoken(&path), error)),
        }
    }
}

#[cfg(test)]
mod tests;
