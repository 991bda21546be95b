//! The labels on podpool's topics and subscriptions: the run that owns them, and until when they are needed.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use podpool_core::id::{RunId, RunName};

const RUN: &str = "podpool-run";
const NAME: &str = "podpool-run-name";
const CREATED: &str = "podpool-created";
const DEADLINE: &str = "podpool-deadline";

/// The labels of each topic and subscription that podpool makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLabels {
    /// The run.
    pub run: RunId,
    /// The run's name, for people.
    pub name: Option<RunName>,
    /// When the run began, to the second.
    pub created: SystemTime,
    /// When everything of the run may be deleted, to the second.
    pub deadline: SystemTime,
}

impl RunLabels {
    /// As key and value. Times are Unix seconds.
    // Values fit the form of a label: ids and names have at most 63 lower-case letters, digits and `-`, times are
    // digits.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (String, String)> + use<> {
        let name = self.name.as_ref().map(|name| (NAME, name.to_string()));
        let always = [
            (RUN, self.run.to_string()),
            (CREATED, seconds(self.created).to_string()),
            (DEADLINE, seconds(self.deadline).to_string()),
        ];
        let named = always.into_iter().chain(name);
        named.map(|(label, value)| (label.to_owned(), value))
    }

    /// The labels of a topic or subscription of the run with a later deadline; None where it has this one, or a later one.
    /// Labels of others stay.
    pub(super) fn renewed(
        &self,
        found: &HashMap<String, String>,
    ) -> Option<HashMap<String, String>> {
        let until = Tag::read(found).and_then(|tag| tag.deadline);
        // Compared in whole seconds, as the label holds them.
        if until.is_some_and(|until| seconds(until) >= seconds(self.deadline)) {
            return None;
        }
        let mut labels = found.clone();
        labels.insert(DEADLINE.to_owned(), seconds(self.deadline).to_string());
        Some(labels)
    }
}

/// The labels of a topic or subscription, as they are read. Nothing is guessed from a missing label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) run: RunId,
    /// None when the run has no name, or one that no builder accepts.
    pub(super) name: Option<RunName>,
    /// When the run began, in Unix seconds. None when the label is missing or is no number.
    pub(super) created: Option<u64>,
    /// None when the label is missing or is no number.
    pub(super) deadline: Option<SystemTime>,
}

impl Tag {
    /// None for labels that no run of podpool wrote.
    pub(super) fn read(labels: &HashMap<String, String>) -> Option<Self> {
        let run = RunId::new(labels.get(RUN)?).ok()?;
        let deadline = labels.get(DEADLINE).and_then(|text| text.parse().ok());
        Some(Self {
            run,
            name: labels.get(NAME).and_then(|name| RunName::new(name).ok()),
            created: labels.get(CREATED).and_then(|text| text.parse().ok()),
            // A number past the clock's range counts as missing: such a resource is never past its deadline, so it
            // stays.
            deadline: deadline
                .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
        })
    }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        let labels = RunLabels {
            run: RunId::new("nightly-7").unwrap(),
            name: Some(RunName::new("nightly").unwrap()),
            created: at(1_700_000_000),
            deadline: at(1_700_604_800),
        };
        let pairs: Vec<_> = labels.pairs().collect();
        assert_eq!(
            pairs[1],
            ("podpool-created".to_owned(), "1700000000".to_owned())
        );
        let written = pairs.into_iter().collect();
        let tag = Tag::read(&written).unwrap();
        assert_eq!((tag.run, tag.name), (labels.run, labels.name));
        assert_eq!(tag.deadline, Some(labels.deadline));
    }

    #[test]
    fn a_later_deadline_replaces_an_earlier_one_and_nothing_else() {
        let labels = RunLabels {
            run: RunId::new("a").unwrap(),
            name: None,
            created: at(5_000),
            deadline: at(9_000),
        };
        let found = |deadline| {
            let pairs = [
                ("podpool-run", "a"),
                ("podpool-created", "1"),
                ("team", "prices"),
            ];
            let mut found = map(&pairs);
            found.extend(map(&[("podpool-deadline", deadline)]));
            found
        };
        for kept in ["9000", "9001"] {
            assert_eq!(labels.renewed(&found(kept)), None, "{kept}");
        }
        for early in ["8999", "soon"] {
            assert_eq!(
                labels.renewed(&found(early)),
                Some(found("9000")),
                "{early}"
            );
        }
    }

    #[test]
    fn labels_of_other_programs_have_no_tag() {
        assert_eq!(Tag::read(&map(&[])), None);
        assert_eq!(Tag::read(&map(&[("team", "prices")])), None);
        assert_eq!(Tag::read(&map(&[("podpool-run", "Not A Run")])), None);
        assert_eq!(Tag::read(&map(&[("podpool-deadline", "1")])), None);
    }

    #[test]
    fn a_deadline_that_cannot_be_read_is_none() {
        for deadline in ["", "soon", "-1", "18446744073709551615"] {
            let labels = map(&[("podpool-run", "a"), ("podpool-deadline", deadline)]);
            assert_eq!(
                Tag::read(&labels).map(|tag| tag.deadline),
                Some(None),
                "{deadline:?}"
            );
        }
    }
}
