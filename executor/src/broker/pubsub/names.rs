//! The names of a run's topics and subscriptions: podpool's own, or an administrator's.

use podpool_core::id::RunId;
use serde::{Deserialize, Serialize};

use crate::broker::given_names::{ControlNames, GivenNames};

/// Longest name that Pub/Sub accepts, in bytes.
const LONGEST: usize = 255;
/// Longest prefix: a run's name and a worker's numbers follow it.
// 127 bytes are left for a run's id, `-control` and two numbers of 10 digits; a test builds the longest name.
const LONGEST_PREFIX: usize = 128;

/// The two ends of one queue. A name without slashes is in the connection's project; a full one
/// (`projects/P/topics/T`) is in the project that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueNames {
    /// Where messages are put; none for a queue that is only taken from.
    pub topic: Option<String>,
    /// Where messages are taken; none for a queue that is only put to.
    pub subscription: Option<String>,
}

impl QueueNames {
    /// Both ends.
    #[must_use]
    pub fn new(topic: impl Into<String>, subscription: impl Into<String>) -> Self {
        Self {
            topic: Some(topic.into()),
            subscription: Some(subscription.into()),
        }
    }
}

/// The names of all topics and subscriptions of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNames {
    tasks: Pair,
    results: Pair,
    control: Option<ControlNames>,
    own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) topic: String,
    pub(super) subscription: String,
}

/// Why names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNames {
    /// The prefix.
    #[error(
        "invalid prefix {0:?}: use at most {LONGEST_PREFIX} lower-case letters, digits and '-', with a letter first and no 'goog' before anything else"
    )]
    Prefix(String),
    /// A topic or subscription.
    #[error(
        "invalid name {0:?}: use 3 to {LONGEST} letters, digits, '-', '_', '.', '~', '+' and '%', with a letter first and no 'goog' before anything else, or a full name such as projects/P/topics/T"
    )]
    Name(String),
}

impl RunNames {
    /// The names of a run that podpool makes: `<prefix>-<run>-tasks`, `-results`, `-control`.
    ///
    /// # Errors
    /// [`InvalidNames::Prefix`].
    pub fn own(prefix: &str, run: &RunId) -> Result<Self, InvalidNames> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !begins_well(prefix) || prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(allowed) {
            return Err(InvalidNames::Prefix(prefix.to_owned()));
        }
        // A topic and its subscription have the same name: they are of two kinds, so the names do not collide.
        let named = |what: &str| format!("{prefix}-{run}-{what}");
        let pair = |what: &str| Pair {
            topic: named(what),
            subscription: named(what),
        };
        Ok(Self {
            tasks: pair("tasks"),
            results: pair("results"),
            control: Some(ControlNames {
                topic: named("control"),
                subscriptions: named("control"),
            }),
            own: true,
        })
    }

    /// Names that an administrator made.
    ///
    /// # Errors
    /// [`InvalidNames::Name`], with the first that Pub/Sub would refuse.
    pub fn given(names: GivenNames) -> Result<Self, InvalidNames> {
        let pair = |topic, subscription| -> Result<Pair, InvalidNames> {
            Ok(Pair {
                topic: checked(topic, "topics")?,
                subscription: checked(subscription, "subscriptions")?,
            })
        };
        let control = names.control.map(|control| -> Result<_, InvalidNames> {
            Ok(ControlNames {
                topic: checked(control.topic, "topics")?,
                subscriptions: checked(control.subscriptions, "subscriptions")?,
            })
        });
        Ok(Self {
            tasks: pair(names.tasks_topic, names.tasks_subscription)?,
            results: pair(names.results_topic, names.results_subscription)?,
            control: control.transpose()?,
            own: false,
        })
    }

    /// Whether podpool makes and deletes them.
    #[must_use]
    pub const fn are_own(&self) -> bool {
        self.own
    }

    /// Tasks: the master puts, workers take and put back.
    #[must_use]
    pub fn tasks(&self) -> QueueNames {
        self.tasks.queue()
    }

    /// Results: workers put, the master takes.
    #[must_use]
    pub fn results(&self) -> QueueNames {
        self.results.queue()
    }

    /// Where the master puts control; none when there is no such topic.
    #[must_use]
    pub fn control(&self) -> Option<QueueNames> {
        let control = self.control.as_ref()?;
        Some(QueueNames {
            topic: Some(control.topic.clone()),
            subscription: None,
        })
    }

    /// Where one worker takes control; none when there is no such topic.
    #[must_use]
    pub fn control_of(&self, cohort: u32, index: u32) -> Option<QueueNames> {
        let control = self.control.as_ref()?;
        Some(QueueNames {
            topic: None,
            subscription: Some(control.subscription(cohort, index)),
        })
    }

    pub(super) fn pairs(&self) -> [&Pair; 2] {
        [&self.tasks, &self.results]
    }

    pub(super) const fn control_names(&self) -> Option<&ControlNames> {
        self.control.as_ref()
    }
}

impl ControlNames {
    pub(super) fn subscription(&self, cohort: u32, index: u32) -> String {
        format!("{}-{cohort}-{index}", self.subscriptions)
    }
}

impl Pair {
    fn queue(&self) -> QueueNames {
        QueueNames::new(&self.topic, &self.subscription)
    }
}

/// The full name of a topic.
pub(super) fn topic_path(project: &str, name: &str) -> String {
    path(project, "topics", name)
}

/// The full name of a subscription.
pub(super) fn subscription_path(project: &str, name: &str) -> String {
    path(project, "subscriptions", name)
}

fn path(project: &str, kind: &str, name: &str) -> String {
    if name.starts_with("projects/") {
        name.to_owned()
    } else {
        format!("projects/{project}/{kind}/{name}")
    }
}

/// `topic T of project P`, for people, from a full name.
pub(crate) fn spoken(path: &str) -> String {
    let mut parts = path.split('/');
    let (Some("projects"), Some(project), Some(kind), Some(name), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return path.to_owned();
    };
    let kind = kind.strip_suffix('s').unwrap_or(kind);
    format!("{kind} {name} of project {project}")
}

// Pub/Sub reserves names that begin with `goog`. <https://cloud.google.com/pubsub/docs/pubsub-basics>
fn begins_well(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && !name.starts_with("goog")
}

/// A name that Pub/Sub takes, short or full.
fn checked(name: String, kind: &str) -> Result<String, InvalidNames> {
    let short = match name.strip_prefix("projects/") {
        Some(rest) => match rest.split('/').collect::<Vec<_>>()[..] {
            [project, of, short] if of == kind && !project.is_empty() => short,
            _ => return Err(InvalidNames::Name(name)),
        },
        None => &name,
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
    let sound =
        begins_well(short) && (3..=LONGEST).contains(&short.len()) && short.bytes().all(allowed);
    if sound {
        Ok(name)
    } else {
        Err(InvalidNames::Name(name))
    }
}

#[cfg(test)]
mod tests;
