//! Topics and subscriptions that an administrator made. Compiled with and without the feature, so that a program that names
//! them compiles either way.

use serde::{Deserialize, Serialize};

/// The control topic, and how its subscriptions are called: `<subscriptions>-<cohort>-<index>`, one for each worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ControlNames {
    /// The topic.
    pub topic: String,
    /// The prefix of the subscriptions' names, without the `-` after it.
    pub subscriptions: String,
}

/// Names that an administrator made: podpool deletes none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GivenNames {
    /// Tasks are put here.
    pub tasks_topic: String,
    /// Workers take them here.
    pub tasks_subscription: String,
    /// Workers put results here.
    pub results_topic: String,
    /// The master takes them here.
    pub results_subscription: String,
    /// None: workers receive no cancellations, and detect the end of the run by other means.
    pub control: Option<ControlNames>,
}

impl ControlNames {
    /// A control topic, and the prefix of the names of its subscriptions.
    pub fn new(topic: impl Into<String>, subscriptions: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            subscriptions: subscriptions.into(),
        }
    }
}

impl GivenNames {
    /// Topic and subscription of the tasks, then those of the results; without control.
    pub fn new(
        (tasks_topic, tasks_subscription): (impl Into<String>, impl Into<String>),
        (results_topic, results_subscription): (impl Into<String>, impl Into<String>),
    ) -> Self {
        Self {
            tasks_topic: tasks_topic.into(),
            tasks_subscription: tasks_subscription.into(),
            results_topic: results_topic.into(),
            results_subscription: results_subscription.into(),
            control: None,
        }
    }

    /// With control, so that workers receive cancellations and the end of the run.
    #[must_use]
    pub fn control(mut self, control: ControlNames) -> Self {
        self.control = Some(control);
        self
    }
}
