//! Whether workers run the same build as the master: tasks of the same shapes may be older code there.

use std::collections::BTreeSet;

/// Builds of workers that are recorded, so that each is reported once.
// A run has few images. The bound is for what cannot be trusted: it keeps memory and notices small whatever workers
// send.
const KNOWN: usize = 16;

/// The builds that were reported.
#[derive(Debug, Default)]
pub(super) struct Builds {
    reported: BTreeSet<String>,
}

impl Builds {
    /// The line about a worker by this name whose build is another than the master's, once for each build. Without
    /// `required` only builds of the same target are compared: those of two targets are never one.
    pub(super) fn meet(
        &mut self,
        master: &str,
        name: &str,
        worker: &str,
        required: bool,
    ) -> Option<String> {
        if master.is_empty() || worker == master {
            return None;
        }
        let (own, other) = (target(master), target(worker));
        if own != other && !required {
            return None;
        }
        if self.reported.len() >= KNOWN || !self.reported.insert(worker.to_owned()) {
            return None;
        }
        let what =
            format!("worker {name} runs another build than the master ({worker}, not {master})");
        Some(if required {
            format!(
                "{what}, and `KubernetesOptions::require_same_build` is set: no task is run there; build the image from this program's file, and start again"
            )
        } else {
            format!(
                "{what}: its tasks run the code of its image; if that is older, build the image again, or ask for `KubernetesOptions::require_same_build`"
            )
        })
    }
}

fn target(build: &str) -> &str {
    build.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "x86_64-linux-gnu 01ab";
    const STALE: &str = "x86_64-linux-gnu 77ff";
    const OTHER: &str = "aarch64-linux-gnu 55cc";

    #[test]
    fn another_build_of_the_same_target_is_reported_once() {
        let mut builds = Builds::default();
        assert_eq!(builds.meet(OURS, "a", OURS, false), None);
        assert_eq!(builds.meet(OURS, "a", OTHER, false), None);
        let reported = builds.meet(OURS, "a", STALE, false).unwrap();
        assert!(
            reported.starts_with("worker a runs another build"),
            "{reported}"
        );
        assert!(
            reported.contains(STALE) && reported.contains(OURS),
            "{reported}"
        );
        assert_eq!(
            builds.meet(OURS, "b", STALE, false),
            None,
            "reported before"
        );
        assert_eq!(builds.meet("", "b", OTHER, false), None, "not compared");
    }

    #[test]
    fn where_the_same_build_is_required_any_other_is_refused() {
        let mut builds = Builds::default();
        assert_eq!(builds.meet(OURS, "a", OURS, true), None);
        for other in [STALE, OTHER, ""] {
            let reported = builds.meet(OURS, "a", other, true).unwrap();
            assert!(reported.contains("no task is run there"), "{reported}");
        }
    }
}
