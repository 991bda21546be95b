//! Why a pod or a Job does not start, and for how long that is accepted.

use podpool_core::instant::after;
use tokio::time::Instant;

use super::super::diagnose::Patience;
use super::Limits;

/// Why something does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: Instant,
    /// None while nothing is wrong except that the start takes time.
    pub(super) patience: Option<Patience>,
    /// Empty while nothing is wrong.
    pub(super) reason: String,
    source: Source,
}

/// Where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// In the status, which shows it as long as it lasts.
    Status,
    /// In a warning, which is not repeated; the status does not show it.
    // Events are best-effort by their API: the cluster may aggregate, drop or delete them.
    // <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>
    Warning,
}

impl Trouble {
    pub(super) const fn new(since: Instant, patience: Option<Patience>, reason: String) -> Self {
        Self {
            since,
            patience,
            reason,
            source: Source::Status,
        }
    }

    /// Nothing is wrong so far.
    pub(super) const fn none(since: Instant) -> Self {
        Self::new(since, None, String::new())
    }

    /// The same, read in a warning.
    pub(super) fn by_warning(self) -> Self {
        Self {
            source: Source::Warning,
            ..self
        }
    }

    /// Whether it stays when a status shows nothing wrong.
    pub(super) const fn lasts(&self) -> bool {
        self.patience.is_none() || matches!(self.source, Source::Warning)
    }

    /// It is held, and may be released at any time.
    pub(super) const fn is_hold(&self) -> bool {
        self.patience.is_none() && !self.reason.is_empty()
    }

    /// Takes the newer reason. The time goes on while it is about the same failure, so that reasons which alternate
    /// cannot extend it.
    pub(super) fn renewed(self, newer: Self) -> Self {
        // The reason is not compared: a node alternates between ErrImagePull and ImagePullBackOff for one missing
        // image. <https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff>
        match (self.patience, newer.patience) {
            (Some(known), Some(Patience::AsBefore)) if known.continues(Patience::AsBefore) => self,
            (Some(known), Some(kind)) if known.continues(kind) => Self {
                patience: newer.patience,
                reason: newer.reason,
                ..self
            },
            (None, None) => Self {
                reason: newer.reason,
                ..self
            },
            _ => newer,
        }
    }

    /// When it has lasted too long; none for a pod that is held. `pulled`: workers of its class have had their image.
    pub(super) fn end(&self, limits: &Limits, pulled: bool) -> Option<Instant> {
        match self.patience {
            Some(kind) => Some(after(self.since, limits.patience(kind, pulled))),
            None if self.reason.is_empty() => Some(after(self.since, limits.schedule)),
            None => None,
        }
    }
}
