//! Topics and subscriptions that an administrator made. Compiled with and without the feature, so that a program that names
//! them compiles either way.

use serde::{Deserialize, Serialize};

/// The control topic, and how its subscriptions are called: `<subscriptions>-<cohort>-<index>`, one for each worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlNames {
    /// The topic.
    pub topic: String,
    /// The prefix of the subscriptions' names, without the `-` after it.
    pub subscriptions: String,
}

/// Names that an administrator made: podpool deletes none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
