//! Whether a run could make and use its topics and subscriptions: Pub/Sub's lines of a preflight. Nothing is made.
//!
//! The right to make a topic cannot be asked for: `testIamPermissions` of a project belongs to another service, and that
//! of a topic needs one. So topics and subscriptions are listed and one is read, which needs the rights of a reader.

use podpool_core::id::RunId;

use super::super::admin::Admin;
use super::super::connect::to_project;
use super::super::connection::Connection;
use super::super::error::{AdminError, ConnectError};
use super::super::names::{RunNames, spoken, subscription_path, topic_path};
use super::super::settings::EMULATOR;
use super::PubSubBroker;
use crate::doctor::{Line, bounded};

const SETTINGS: &str = "pubsub.settings";
const PROJECT: &str = "pubsub.project";
const REACHED: &str = "pubsub.reached";
const TOPICS: &str = "pubsub.topics";
const NAMES: &str = "pubsub.names";
const EMULATED: &str = "pubsub.emulator";

impl PubSubBroker {
    /// Looks at Pub/Sub as a run of this broker would use it.
    pub(crate) async fn doctor(&self) -> Vec<Line> {
        use podpool_core::broker::Broker as _;

        let names = match self.check().await {
            Ok(()) => self.names_of(&RunId::random()),
            Err(error) => Err(error),
        };
        let names = match names {
            Ok(names) => names,
            Err(error) => return vec![Line::fail(SETTINGS, error.to_string(), None)],
        };
        let connection = match to_project(self.project.as_deref()).open() {
            Ok(connection) => connection,
            Err(error) => return vec![unopened(&error), skipped(REACHED), skipped(TOPICS)],
        };
        let project = connection.project().to_owned();
        let mut lines = vec![Line::pass(PROJECT, &project)];
        lines.extend(self.emulated(&connection));
        let late = |why| Line::fail(REACHED, why, None);
        let reached = bounded(late, async { vec![reach(&connection, &project).await] }).await;
        let is_reached = reached
            .iter()
            .all(|line| line.outcome == crate::doctor::Outcome::Pass);
        lines.extend(reached);
        let id = if names.are_own() { TOPICS } else { NAMES };
        if is_reached {
            let late = |why| Line::fail(id, why, None);
            let administered = async { vec![administer(&connection, &names).await] };
            lines.extend(bounded(late, administered).await);
        } else {
            lines.push(skipped(id));
        }
        lines
    }

    /// Where pods find the emulator, if one is used.
    fn emulated(&self, connection: &Connection) -> Option<Line> {
        let own = std::env::var(EMULATOR).ok().filter(|it| !it.is_empty())?;
        let endpoint = connection.endpoint();
        let seen = match &self.worker_emulator {
            Some(emulator) => format!(
                "{endpoint}, and {} for pods: messages are lost when the emulator ends",
                emulator.host
            ),
            None => format!("{own}; pods use what their own variables name"),
        };
        let fix = format!("unset {EMULATOR}, to use Google's service");
        Some(Line::warn(EMULATED, seen, fix))
    }
}

fn skipped(id: &'static str) -> Line {
    Line::skipped(id, "Pub/Sub is not reached")
}

fn unopened(error: &ConnectError) -> Line {
    let id = match error {
        ConnectError::NoProject => PROJECT,
        _ => REACHED,
    };
    Line::fail(id, error.to_string(), command(error, "PROJECT"))
}

/// What a shell can do about it.
fn command(error: &ConnectError, project: &str) -> Option<String> {
    match error {
        ConnectError::NoProject => {
            Some("export GOOGLE_CLOUD_PROJECT=$(gcloud config get-value project)".to_owned())
        }
        ConnectError::Credentials(_) => Some("gcloud auth application-default login".to_owned()),
        ConnectError::Unreachable { .. } => Some(format!(
            "gcloud services enable pubsub.googleapis.com --project={project}"
        )),
        _ => None,
    }
}

async fn reach(connection: &Connection, project: &str) -> Line {
    match connection.reach().await {
        Ok(()) => Line::pass(REACHED, connection.endpoint()),
        Err(error) => Line::fail(REACHED, error.to_string(), command(&error, project)),
    }
}

async fn administer(connection: &Connection, names: &RunNames) -> Line {
    let project = connection.project();
    let admin = match Admin::new(connection).await {
        Ok(admin) => admin,
        Err(error) => return Line::fail(TOPICS, error.to_string(), None),
    };
    if names.are_own() {
        let seen = admin.look().await;
        return judge_own(seen, project);
    }
    match admin.check(names).await {
        Ok(_) => Line::pass(NAMES, "the given topics and subscriptions exist and fit"),
        Err(error) => {
            let fix = made(&error, names, project).or_else(|| granted(&error, project));
            Line::fail(NAMES, error.to_string(), fix)
        }
    }
}

fn judge_own(seen: Result<(), AdminError>, project: &str) -> Line {
    match seen {
        Ok(()) => Line::pass(
            TOPICS,
            "topics and subscriptions can be listed and read; the right to make them shows when a run does",
        ),
        // An account that may make topics, and may not list them, is rare and works.
        Err(error @ AdminError::Denied { .. }) => {
            let fix = granted(&error, project);
            Line::warn(TOPICS, error.to_string(), fix)
        }
        Err(error) => Line::fail(TOPICS, error.to_string(), None),
    }
}

/// The command that grants what is missing.
fn granted(error: &AdminError, project: &str) -> Option<String> {
    matches!(error, AdminError::Denied { .. }).then(|| {
        format!(
            "gcloud projects add-iam-policy-binding {project} --role=roles/pubsub.editor --member=ACCOUNT, where ACCOUNT is the one that this program runs as"
        )
    })
}

/// The command that makes what is missing.
fn made(error: &AdminError, names: &RunNames, project: &str) -> Option<String> {
    let AdminError::Missing { what } = error else {
        return None;
    };
    let queues = [names.tasks(), names.results()];
    let commands = queues.into_iter().chain(names.control()).flat_map(|queue| {
        let topic = queue.topic.unwrap_or_default();
        let one = (
            spoken(&topic_path(project, &topic)),
            format!("gcloud pubsub topics create {topic} --project={project}"),
        );
        let other = queue.subscription.map(|subscription| {
            let command = format!(
                "gcloud pubsub subscriptions create {subscription} --topic={topic} --ack-deadline=60 --project={project}"
            );
            (spoken(&subscription_path(project, &subscription)), command)
        });
        [Some(one), other].into_iter().flatten()
    });
    let mut commands = commands;
    commands.find_map(|(named, command)| (named == *what).then_some(command))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::given_names::GivenNames;
    use crate::doctor::Outcome;

    fn missing(what: &str) -> AdminError {
        AdminError::Missing {
            what: what.to_owned(),
        }
    }

    #[test]
    fn a_given_name_that_is_missing_is_made_by_its_command() {
        let given = GivenNames::new(("tasks-t", "tasks-s"), ("results-t", "results-s"));
        let names = RunNames::given(given).unwrap();
        let error = missing("subscription results-s of project p");
        let expected = "gcloud pubsub subscriptions create results-s --topic=results-t --ack-deadline=60 --project=p";
        assert_eq!(made(&error, &names, "p").as_deref(), Some(expected));
        let error = missing("topic tasks-t of project p");
        let expected = "gcloud pubsub topics create tasks-t --project=p";
        assert_eq!(made(&error, &names, "p").as_deref(), Some(expected));
        assert_eq!(made(&missing("topic x of project p"), &names, "p"), None);
    }

    #[test]
    fn a_right_to_list_that_is_missing_is_no_proof_that_topics_cannot_be_made() {
        assert_eq!(judge_own(Ok(()), "p").outcome, Outcome::Pass);
        let denied = AdminError::Denied {
            action: "list",
            what: "topics".to_owned(),
            reason: "no".to_owned(),
        };
        let line = judge_own(Err(denied), "my-project");
        assert_eq!(line.outcome, Outcome::Warn);
        assert!(line.fix.unwrap().contains("my-project"));
        assert_eq!(judge_own(Err(missing("p")), "p").outcome, Outcome::Fail);
    }

    #[test]
    fn a_connection_that_cannot_be_made_names_its_command() {
        let line = unopened(&ConnectError::NoProject);
        assert_eq!((line.id, line.outcome), (PROJECT, Outcome::Fail));
        assert!(line.fix.unwrap().contains("GOOGLE_CLOUD_PROJECT"));
        let line = unopened(&ConnectError::Credentials("none".to_owned()));
        assert!(line.fix.unwrap().starts_with("gcloud auth"));
    }
}
