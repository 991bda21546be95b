//! The way to Pub/Sub: it is reached before anything is made.

use std::error::Error;

use podpool_core::broker::BrokerError;

use super::{Admin, Connection, ConnectionBuilder};

/// The connection that carries a run's messages, and the client that makes its topics.
pub(super) async fn connect(project: Option<&str>) -> Result<(Connection, Admin), BrokerError> {
    let connection = to_project(project)
        .open()
        .map_err(failed("connect to Pub/Sub"))?;
    let reached = connection.reach().await;
    reached.map_err(failed("connect to Pub/Sub"))?;
    let admin = Admin::new(&connection);
    Ok((connection, admin))
}

/// A connection to this project, or to the one that the environment names.
pub(super) fn to_project(project: Option<&str>) -> ConnectionBuilder {
    let builder = Connection::builder();
    match project {
        Some(project) => builder.project(project),
        None => builder,
    }
}

/// A step that failed, as an error of the broker.
pub(super) fn failed<E>(what: impl Into<String>) -> impl FnOnce(E) -> BrokerError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let what = what.into();
    move |source| BrokerError::Failed {
        what,
        source: source.into(),
    }
}
