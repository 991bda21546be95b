//! Refusals of Pub/Sub as podpool's errors: the cause, and what to do.

use std::error::Error;

use google_cloud_auth::errors::CredentialsError;
use podpool_core::queue::QueueError;
use tonic::{Code, Status, TimeoutExpired};

use super::names::spoken;

/// Why no connection can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No setting names a project.
    #[error(
        "no project for pub/sub: set PubSubOptions::project, PODPOOL_PROJECT or GOOGLE_CLOUD_PROJECT, or PUBSUB_EMULATOR_HOST to use an emulator"
    )]
    NoProject,
    /// The text is no address.
    #[error("invalid pub/sub endpoint {endpoint:?}: {reason}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// There are no credentials, or they cannot be used.
    #[error(
        "no credentials for pub/sub: {0}; set GOOGLE_APPLICATION_CREDENTIALS to a key file, run `gcloud auth application-default login`, give the pod's service account a workload identity, or set PUBSUB_EMULATOR_HOST to use an emulator"
    )]
    Credentials(String),
    /// No service with Pub/Sub's interface answers at the address.
    #[error("pub/sub is not reached at {endpoint}: {reason}; {advice}")]
    Unreachable {
        /// The address, with its scheme.
        endpoint: String,
        /// What was observed.
        reason: String,
        /// Which variable or setting to correct.
        advice: &'static str,
    },
    /// This machine refuses something.
    #[error("cannot start the thread that calls Pub/Sub: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why something could not be made, found or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Rights or credentials are missing; the reason names them.
    #[error("cannot {action} {what}: {reason}")]
    Denied {
        /// The action that failed: `create`, `read`, `delete`, `list`.
        action: &'static str,
        /// The topic or subscription, and its project.
        what: String,
        /// What is missing.
        reason: String,
    },
    /// It does not exist.
    #[error("{what} does not exist: create it, or leave the names to podpool")]
    Missing {
        /// The topic or subscription, and its project.
        what: String,
    },
    /// It exists, and belongs to another run or program.
    #[error("{what} exists already and {owner}: delete it, or choose another prefix")]
    Taken {
        /// The topic or subscription, and its project.
        what: String,
        /// Whose it is: `belongs to run R`.
        owner: String,
    },
    /// It exists, and podpool cannot work with it.
    #[error("{what} cannot be used: {reason}")]
    Unfit {
        /// The topic or subscription, and its project.
        what: String,
        /// Why not, and what to change.
        reason: String,
    },
    /// A transient error or an exhausted quota, after several tries.
    #[error("cannot {action} {what} now: {reason}; try again later")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The topic or subscription, and its project.
        what: String,
        /// The answer of Pub/Sub.
        reason: String,
    },
    /// Pub/Sub does not accept the request.
    #[error("cannot {action} {what}: {reason}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// The topic or subscription, and its project.
        what: String,
        /// The answer of Pub/Sub.
        reason: String,
    },
}

/// The role that a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Publisher,
    Subscriber,
    Editor,
}

impl Role {
    const fn grant(self) -> &'static str {
        match self {
            Self::Publisher => "roles/pubsub.publisher on the topic",
            Self::Subscriber => "roles/pubsub.subscriber on the subscription",
            Self::Editor => "roles/pubsub.editor on the project",
        }
    }
}

/// How the text of a refusal begins where no access token was there to sign the call.
pub(super) const NO_TOKEN: &str = "no access token";

/// A call that was not carried out: gRPC's code, and the text of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Refusal {
    /// Whether a single message or lease among many may be the cause.
    // Other codes concern the call as a whole (rights, quota, availability): its parts would be refused in the same
    // way.
    pub(super) fn may_be_one_of_many(&self) -> bool {
        matches!(self.code, Code::InvalidArgument | Code::FailedPrecondition)
    }

    /// Whether a message was refused for its size.
    // Pub/Sub has no code of its own for it, so the text decides. A wrong yes makes another invalid message `TooLarge`,
    // which is as permanent as `Denied`.
    pub(super) fn is_about_size(&self) -> bool {
        let text = self.message.to_ascii_lowercase();
        self.code == Code::InvalidArgument
            && ["too large", "too big", "size", "exceed", "maximum"]
                .iter()
                .any(|word| text.contains(word))
    }

    /// For a caller of the queue. `path` is the full name of topic or subscription.
    pub(super) fn into_queue_error(self, path: &str, role: Role) -> QueueError {
        let queue = spoken(path);
        let (code, reason) = (self.code, self.reason(role));
        match code {
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => QueueError::Denied { queue, reason },
            Code::NotFound => QueueError::Gone { queue, reason },
            // Every other code is taken for transient: the callers' own limit, 10 minutes of refusals, ends it if it is
            // not.
            _ => QueueError::Unavailable { queue, reason },
        }
    }

    /// The last refusal of a call of administration. Without a token a person must act, whether or not the cause may
    /// pass: the call was repeated already, and administration has no loop that would go on.
    pub(super) fn final_for_administration(self) -> Self {
        let code = match self.message.starts_with(NO_TOKEN) {
            true => Code::Unauthenticated,
            false => self.code,
        };
        Self { code, ..self }
    }

    /// For the administrator.
    pub(super) fn into_admin_error(self, action: &'static str, what: String) -> AdminError {
        let code = self.code;
        // A creation that finds something missing misses the project or the topic, and not the name to be made.
        let makes = code == Code::NotFound && action == "create";
        let reason = if makes {
            format!(
                "its project or its topic does not exist; look at PODPOOL_PROJECT and GOOGLE_CLOUD_PROJECT; Pub/Sub answered: {}",
                self.message
            )
        } else {
            self.reason(Role::Editor)
        };
        match code {
            Code::PermissionDenied | Code::Unauthenticated => AdminError::Denied {
                action,
                what,
                reason,
            },
            Code::NotFound if !makes => AdminError::Missing { what },
            Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::AlreadyExists => AdminError::Refused {
                action,
                what,
                reason,
            },
            _ => AdminError::Unavailable {
                action,
                what,
                reason,
            },
        }
    }

    /// For a caller of a queue whose names podpool makes, where one of them is not there.
    pub(super) fn vanished(&self, path: &str) -> QueueError {
        QueueError::Vanished {
            queue: spoken(path),
            reason: format!("Pub/Sub answered: {}", self.said()),
        }
    }

    fn said(&self) -> &str {
        match self.message.trim_end_matches('.') {
            "" => self.code.description(),
            said => said,
        }
    }

    fn reason(self, role: Role) -> String {
        let said = self.said();
        match self.code {
            Code::PermissionDenied => format!(
                "the account that calls needs {}; Pub/Sub answered: {said}",
                role.grant()
            ),
            Code::Unauthenticated => format!(
                "its credentials were not accepted: set GOOGLE_APPLICATION_CREDENTIALS to a key file, or give the pod's service account a workload identity; Pub/Sub answered: {said}"
            ),
            Code::NotFound => {
                format!("create it or leave the names to podpool; Pub/Sub answered: {said}")
            }
            Code::ResourceExhausted => format!("a quota is exhausted: {said}"),
            Code::DeadlineExceeded => format!("no answer in time: {said}"),
            _ => said.to_owned(),
        }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        // The text of a broken connection is "transport error"; its cause is in the chain of sources.
        let cause = status.source().map(chain);
        let message = match cause {
            Some(cause) if !status.message().contains(&cause) => {
                format!("{}: {cause}", status.message())
            }
            _ => status.message().to_owned(),
        };
        // The timeout of this process ended the call; tonic reports that as `Cancelled`.
        let code = if causes(&status).any(|cause| cause.is::<TimeoutExpired>()) {
            Code::DeadlineExceeded
        } else {
            status.code()
        };
        Self { code, message }
    }
}

impl From<&CredentialsError> for Refusal {
    fn from(error: &CredentialsError) -> Self {
        let code = if error.is_transient() {
            Code::Unavailable
        } else {
            Code::Unauthenticated
        };
        Self {
            code,
            message: format!("{NO_TOKEN}: {}", chain(error)),
        }
    }
}

/// The error and its sources.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}

/// The same as one text, each part once.
// Many errors print their source as well: a part that is contained already would be there twice.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for said in causes(error).map(ToString::to_string) {
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
