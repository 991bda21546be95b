//! A check within seconds that Pub/Sub is there and accepts this program, before anything is made.
//!
//! The official credentials repeat a request without an answer for minutes, and administration a call for one: both may
//! be transient. At the start of a run they mostly are not: a variable is wrong.

use std::env;
use std::time::Duration;

use google_cloud_auth::credentials::Credentials;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Status, TimeoutExpired};

use super::error::{ConnectError, Refusal, causes, chain};
use super::names::topic_path;
use super::settings::Settings;
use super::stub::{Resource, Stub};

/// How long a connection to the address may take, and an access token.
// The retransmissions of a lost SYN come after 1 s and 3 s, so two packets may be lost. At half only one may be; at
// double, each start with a wrong address would take 8 s.
const WAY: Duration = Duration::from_secs(4);
/// The same for a token in a pod, whose metadata server takes some seconds to start.
/// <https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity#limitations>
const WAY_IN_POD: Duration = Duration::from_secs(15);
/// How long the answer to one call may take.
const ANSWER: Duration = Duration::from_secs(10);
/// A topic that is read to identify the service that answers; it is never made.
const PROBE: &str = "podpool-probe";

/// The check of [`Connection::reach`](super::Connection::reach).
pub(super) async fn look(
    settings: &Settings,
    endpoint: Endpoint,
    credentials: Option<&Credentials>,
    stub: &Stub,
) -> Result<(), ConnectError> {
    // Both at once, for each may use up its whole time. This connection is only tried and dropped: the stub's own
    // channel is opened by its first call.
    let (token, way) = tokio::join!(token(credentials), connect(settings, endpoint));
    // Both fail on a machine that was set up for neither, and the credentials are the first thing to give.
    token?;
    way?;
    let topic = Resource::topic(topic_path(&settings.project, PROBE));
    // `NotFound` is the expected answer, and `PermissionDenied` is as good: both come from Pub/Sub.
    let mut answer = stub.knock(&topic, ANSWER).await;
    if answer.as_ref().is_err_and(is_cut) {
        answer = stub.knock(&topic, ANSWER).await;
    }
    judge(settings, answer)
}

async fn token(credentials: Option<&Credentials>) -> Result<(), ConnectError> {
    let Some(credentials) = credentials else {
        return Ok(());
    };
    let in_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let patience = if in_pod { WAY_IN_POD } else { WAY };
    match timeout(patience, credentials.headers(http::Extensions::new())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(ConnectError::Credentials(chain(&error))),
        Err(_) => Err(ConnectError::Credentials(format!(
            "no access token within {patience:?}: where no key is named, the metadata server of Google's machines is asked, and it does not answer here"
        ))),
    }
}

async fn connect(settings: &Settings, endpoint: Endpoint) -> Result<(), ConnectError> {
    match timeout(WAY, endpoint.connect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unreachable(settings, chain(&error))),
        Err(_) => Err(unreachable(
            settings,
            format!("no connection within {WAY:?}"),
        )),
    }
}

/// Whether the connection broke under a call: the first time may be chance.
fn is_cut(status: &Status) -> bool {
    // A status that the service sent has no source; one that tonic made of a local error has.
    let local = std::error::Error::source(status).is_some();
    local && !is_late(status)
}

/// Whether the timeout of this process ended the call.
fn is_late(status: &Status) -> bool {
    causes(status).any(|cause| cause.is::<TimeoutExpired>())
}

/// Judges by an answer whether the service is Pub/Sub.
fn judge(settings: &Settings, answer: Result<(), Status>) -> Result<(), ConnectError> {
    let Err(status) = answer else {
        return Ok(());
    };
    // Before the conversion: a refusal has the text of its sources, and not the sources.
    let (late, cut) = (is_late(&status), is_cut(&status));
    let Refusal { code, message } = Refusal::from(status);
    let reason = if late {
        format!("it is connected, and gives no answer within {ANSWER:?}")
    } else if cut {
        format!("the server there does not use gRPC ({message})")
    } else if code == Code::Unimplemented {
        format!("what answers there is not Pub/Sub ({message})")
    } else if code == Code::Unauthenticated {
        return Err(ConnectError::Credentials(message));
    } else {
        // Rights, quotas and transient errors are left to the calls that follow.
        return Ok(());
    };
    Err(unreachable(settings, reason))
}

fn unreachable(settings: &Settings, reason: String) -> ConnectError {
    ConnectError::Unreachable {
        endpoint: settings.endpoint.clone(),
        reason,
        advice: if settings.emulator {
            "start the emulator there, or correct PUBSUB_EMULATOR_HOST"
        } else {
            "look at the way from this machine to it; set PUBSUB_EMULATOR_HOST if an emulator is meant"
        },
    }
}

#[cfg(test)]
mod tests;
