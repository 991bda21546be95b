//! The way to Pub/Sub: whether it is there is found out before anything is made.

use super::{Admin, Connection};
use crate::error::BuildError;
use crate::error::start::{chain, refused};

/// What carries a run's messages, and what makes its topics.
pub(crate) async fn connect(project: Option<&str>) -> Result<(Connection, Admin), BuildError> {
    let mut builder = Connection::builder();
    if let Some(project) = project {
        builder = builder.project(project);
    }
    let connection = builder
        .open()
        .map_err(chain)
        .map_err(refused("connect to Pub/Sub"))?;
    let reached = connection.reach().await;
    reached
        .map_err(chain)
        .map_err(refused("connect to Pub/Sub"))?;
    let admin = Admin::new(&connection)
        .await
        .map_err(chain)
        .map_err(refused("administer Pub/Sub"))?;
    Ok((connection, admin))
}
