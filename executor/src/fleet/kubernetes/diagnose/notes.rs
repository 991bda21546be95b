//! Warnings about pods: what a node reports in events alone.

use super::options::{CONFIG_MAP_FILE, SECRET_FILE};
use super::waiting::cannot;
use super::{Patience, Verdict};

/// Judges a warning about a pod that has not started; none if it adds nothing to the status.
// The trouble of a mount, of an attachment and of the network is in no status: the container is `ContainerCreating`.
#[must_use]
pub fn judge_pod_note(reason: &str, message: &str) -> Option<Verdict> {
    match reason {
        "FailedMount" => Some(mount(message)),
        // A volume that is still attached elsewhere is detached in time.
        "FailedAttachVolume" => Some(cannot(
            Patience::Schedule,
            format!(
                "a volume of a worker cannot be attached to its node: {message}; the cluster tries again"
            ),
        )),
        "FailedCreatePodSandBox" | "FailedCreatePodContainer" => Some(cannot(
            Patience::Schedule,
            format!(
                "a node cannot make the network or the container of a worker's pod: {message}; the node tries again"
            ),
        )),
        _ => None,
    }
}

fn mount(message: &str) -> Verdict {
    // The volume of the run's own Secret, which the fleet makes before the first pod.
    if message.contains("volume \"run\"") && message.contains("not found") {
        return cannot(
            Patience::SecondLook,
            format!(
                "the Secret of the run is missing: {message}; it was deleted by hand, so restart the run"
            ),
        );
    }
    let lower = message.to_ascii_lowercase();
    let missing = ["not found", "non-existent"];
    if !missing.iter().any(|word| lower.contains(word)) {
        return cannot(
            Patience::Schedule,
            format!("a volume of a worker cannot be mounted: {message}; the node tries again"),
        );
    }
    let (what, option) = if lower.contains("configmap") || lower.contains("config key") {
        (
            "a ConfigMap of a volume, or a key of one, is missing",
            CONFIG_MAP_FILE,
        )
    } else {
        (
            "a Secret of a volume, or a key of one, is missing",
            SECRET_FILE,
        )
    };
    cannot(
        Patience::SecondLook,
        format!(
            "{what}: {message}; create it in the namespace of the workers, or correct {option}"
        ),
    )
}
