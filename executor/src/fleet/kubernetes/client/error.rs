//! A request that failed: of which kind, and with what message.

use super::super::cohorts::OpenError;

/// A request to the API: a verb and a resource, as a Role writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask(pub &'static str, pub &'static str);

/// A request that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ClusterError {
    /// What kind of failure it is.
    pub kind: Refused,
    pub(super) reason: String,
}

/// Kinds of failures, by what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// No right to do this.
    Forbidden,
    /// There is no such object, or no such namespace.
    NotFound,
    /// The object breaks a rule.
    Invalid,
    /// The credentials are not accepted.
    Unauthorized,
    /// The namespace is being removed.
    Ending,
    /// An object of this name exists.
    Exists,
    /// The object of this name is another than the one that was meant.
    Another,
    /// Not reached, not answered, or answered with an error that may pass.
    Passing,
}

impl ClusterError {
    /// The same in the form in which the fleet decides about it.
    #[must_use]
    pub fn refusal(self) -> OpenError {
        OpenError {
            // `Unauthorized` is not lasting: a token expires, and a credential program or the kubelet renews it.
            lasting: matches!(
                self.kind,
                Refused::Forbidden | Refused::NotFound | Refused::Invalid | Refused::Ending
            ),
            over: self.kind == Refused::Ending,
            reason: self.reason,
        }
    }
}

impl ClusterError {
    /// The same with advice where the cluster was not reached.
    pub(super) fn advised(self, inside: bool) -> Self {
        let advice = match (self.kind, inside) {
            (Refused::Passing, true) => "this is the cluster that this pod runs in",
            (Refused::Passing, false) => {
                "check that the cluster runs, and its address in the file that KUBECONFIG names, else ~/.kube/config"
            }
            _ => return self,
        };
        Self {
            reason: format!("{}; {advice}", self.reason),
            ..self
        }
    }

    pub(super) fn passing(reason: String) -> Self {
        Self::of(Refused::Passing, reason)
    }

    /// A failure of this kind.
    pub(in super::super) const fn of(kind: Refused, reason: String) -> Self {
        Self { kind, reason }
    }
}

/// An error with its causes, each once.
// Some error types repeat the text of their source in their own: such a cause would appear twice.
pub(in super::super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
