//! Images that nodes cannot pull, by the words of container runtimes and registries.

use super::options::{IMAGE, NODE_SELECTOR, PULL_POLICY, PULL_SECRET};
use super::waiting::cannot;
use super::{Patience, Verdict};

/// The beginning of the message of `ImagePullBackOff`, which names the cause behind it since Kubernetes 1.32.
const BACK_OFF: &str = "Back-off pulling image";

/// Why a pull failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The registry limits how many pulls it serves.
    Rate,
    /// The registry does not answer, or has trouble of its own.
    Unanswered,
    /// Nothing listens at its address.
    Unreached,
    /// The node has no disk left for it.
    Disk,
    /// The image has no variant for the node's processor.
    Platform,
    /// The registry does not know the node's user.
    Denied,
    /// The registry has no such image.
    NotFound,
    /// There is no such registry.
    NoRegistry,
    /// The node does not trust the registry.
    Untrusted,
    /// Anything else.
    Unknown,
}

/// The words of each failure, in lower case.
// Each runtime and registry spells these in its own way; the status has no code for them. Passing causes are tested
// first: to wait too long for an image that is denied costs less than to give up where a pull may succeed. Numbers
// count with their words alone: a digest may hold any three digits.
const WORDS: [(Failure, &[&str]); 9] = [
    (
        Failure::Rate,
        &[
            "toomanyrequests",
            "too many requests",
            "rate limit",
            "rate exceeded",
            "pull qps exceeded",
        ],
    ),
    (
        Failure::Unanswered,
        &[
            "timeout",
            "timed out",
            "connection reset",
            "temporary failure",
            "server misbehaving",
            "unexpected eof",
            "deadline exceeded",
            "internal server error",
            "bad gateway",
            "service unavailable",
            "registry is unavailable",
        ],
    ),
    (
        Failure::Unreached,
        &[
            "connection refused",
            "no route to host",
            "network is unreachable",
        ],
    ),
    (Failure::Disk, &["no space left on device"]),
    (
        Failure::Platform,
        &["no match for platform", "no matching manifest"],
    ),
    (
        Failure::Denied,
        &[
            "unauthorized",
            "denied",
            "forbidden",
            "authorization failed",
            "no basic auth",
        ],
    ),
    (
        Failure::Untrusted,
        &["x509", "tls:", "http response to https client", "signature"],
    ),
    (Failure::NoRegistry, &["no such host"]),
    (
        Failure::NotFound,
        &[
            "not found",
            "manifest unknown",
            "name unknown",
            "does not exist",
        ],
    ),
];

/// The verdict on a pull that failed.
pub(super) fn pull(message: &str, image: &str) -> Verdict {
    if message.starts_with(BACK_OFF) && !message.contains(": ") {
        return cannot(
            Patience::AsBefore,
            format!(
                "nodes cannot pull the image {image:?}, and do not report why; check {IMAGE}, and that it is pushed"
            ),
        );
    }
    let failure = failure(message);
    let (because, patience) = cause(failure);
    let advice = advice(failure);
    cannot(
        patience,
        format!("nodes cannot pull the image{because} {image:?} ({message}); {advice}"),
    )
}

fn failure(message: &str) -> Failure {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let known = WORDS.iter().find(|(_, words)| has(words));
    known.map_or(Failure::Unknown, |(failure, _)| *failure)
}

/// The cause, which the image's name follows, and how long it is accepted.
const fn cause(failure: Failure) -> (&'static str, Patience) {
    match failure {
        Failure::Rate => (
            " for now, because its registry limits their rate:",
            Patience::Registry,
        ),
        Failure::Unanswered => (
            " for now, because its registry does not answer:",
            Patience::Registry,
        ),
        Failure::Disk => (
            " for now, because a node's disk is full:",
            Patience::Registry,
        ),
        Failure::Unreached => (" because they do not reach its registry:", Patience::Pull),
        Failure::Platform => (
            " because it is built for another architecture:",
            Patience::Pull,
        ),
        Failure::Denied => (" because its registry denies it to them:", Patience::Pull),
        Failure::NotFound => (" because its registry does not have it:", Patience::Pull),
        Failure::NoRegistry => (" because its registry does not exist:", Patience::Pull),
        Failure::Untrusted => (" because they do not trust its registry:", Patience::Pull),
        Failure::Unknown => ("", Patience::Pull),
    }
}

fn advice(failure: Failure) -> String {
    match failure {
        Failure::Rate => format!(
            "they try again; an account of their own ({PULL_SECRET}) or a mirror ({IMAGE}) has a higher limit"
        ),
        Failure::Unanswered => {
            format!(
                "they try again; if this lasts, check the registry's name in {IMAGE}, and the nodes' network"
            )
        }
        Failure::Disk => "free some there, or make the image smaller".to_owned(),
        Failure::Unreached | Failure::NoRegistry => {
            format!("correct the registry's name in {IMAGE}, or the nodes' network")
        }
        Failure::Platform => format!(
            "build it for the nodes' architecture too, or choose nodes with {NODE_SELECTOR}(\"kubernetes.io/arch\", …)"
        ),
        Failure::Denied => format!(
            "set a secret that may with {PULL_SECRET}, or allow the nodes' own account; many registries answer so too where {IMAGE} is misspelt"
        ),
        Failure::NotFound => format!("push it, or correct {IMAGE}"),
        Failure::Untrusted => {
            format!("give the nodes the registry's certificate, or use another registry ({IMAGE})")
        }
        Failure::Unknown => format!("check {IMAGE}, and that it is pushed"),
    }
}

/// The verdict on an image that may not be pulled and is not there.
pub(super) fn never(message: &str, image: &str, node: &str) -> Verdict {
    cannot(
        Patience::Final,
        format!(
            "the image is not on its node, and its pull policy is Never: {image:?} on node {node} ({message}); load it on every node, or change {PULL_POLICY}"
        ),
    )
}

/// The verdict on a name that is none.
pub(super) fn misnamed(message: &str, image: &str) -> Verdict {
    cannot(
        Patience::Final,
        format!("the name of the image is invalid: {image:?} ({message}); correct {IMAGE}"),
    )
}

/// The verdict on an image that the node has and cannot read.
pub(super) fn unreadable(message: &str, image: &str, node: &str) -> Verdict {
    cannot(
        Patience::Node,
        format!(
            "a node cannot read its copy of the image: {image:?} on node {node} ({message}); remove it there, and check {IMAGE}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_runtimes_and_registries_are_understood() {
        for (message, expected) in [
            (
                "unexpected status from HEAD request: 429 Too Many Requests",
                Failure::Rate,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit.",
                Failure::Rate,
            ),
            ("pull QPS exceeded", Failure::Rate),
            ("dial tcp 10.0.0.1:443: i/o timeout", Failure::Unanswered),
            (
                "dial tcp 127.0.0.1:5000: connect: connection refused",
                Failure::Unreached,
            ),
            (
                "unexpected status code: 503 Service Unavailable",
                Failure::Unanswered,
            ),
            (
                "write /var/lib/containerd/x: no space left on device",
                Failure::Disk,
            ),
            (
                "no match for platform in manifest: not found",
                Failure::Platform,
            ),
            (
                "failed to fetch oauth token: 401 Unauthorized",
                Failure::Denied,
            ),
            (
                "pull access denied, repository does not exist",
                Failure::Denied,
            ),
            ("403 Forbidden", Failure::Denied),
            (
                "x509: certificate signed by unknown authority",
                Failure::Untrusted,
            ),
            (
                "http: server gave HTTP response to HTTPS client",
                Failure::Untrusted,
            ),
            ("lookup registry.invalid: no such host", Failure::NoRegistry),
            ("docker.io/library/x:1: not found", Failure::NotFound),
            ("manifest unknown", Failure::NotFound),
            ("sha256:4290401403503 is broken", Failure::Unknown),
        ] {
            assert_eq!(failure(message), expected, "{message}");
        }
    }
}
