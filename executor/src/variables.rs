//! The variables that podpool reads, and those that look like them.
//!
//! A misspelt variable silently has no effect: the run starts in the wrong namespace, or with too little memory. So a
//! notice names each variable that is not read.

use std::sync::Once;

use podpool_core::notice::trouble;

/// The prefix of every name.
const PREFIX: &str = "PODPOOL_";

/// All names that are read, without their prefix. README's table explains them; the last ones are set by podpool for
/// its own processes.
const KNOWN: &[&str] = &[
    "ADD_CAPABILITIES",
    "ANNOTATIONS",
    "BACKEND",
    "BASE_IMAGE",
    "COMPUTE_CLASS",
    "CONFIG",
    "CONFIG_MAP_ENV",
    "CONFIG_MAP_FILES",
    "CPU",
    "CPU_LIMIT",
    "DROP_CAPABILITIES",
    "ENV_FROM_CONFIG_MAPS",
    "ENV_FROM_SECRETS",
    "EPHEMERAL_VOLUMES",
    "FS_GROUP",
    "GPU",
    "GPU_TYPE",
    "GPU_VENDOR",
    "GRACE",
    "HOST_ALIASES",
    "IDLE_TIMEOUT",
    "IMAGE",
    "INIT_CONTAINERS",
    "KEEP_FINISHED",
    "KUEUE_PRIORITY",
    "KUEUE_QUEUE",
    "LABELS",
    "LEDGER",
    "LEDGER_DURABILITY",
    "MEMORY",
    "MEMORY_LIMIT",
    "NAMESPACE",
    "NODE_AFFINITY",
    "NODE_SELECTOR",
    "PAYLOAD_STORE",
    "POD_AFFINITY",
    "POD_TEMPLATE",
    "PORTS",
    "PREFIX",
    "PRIORITY_CLASS",
    "PROJECT",
    "PULL_POLICY",
    "PULL_SECRETS",
    "PVCS",
    "QOS",
    "READ_ONLY_ROOT",
    "REGISTRY",
    "REGISTRY_INSECURE",
    "REQUIRE_SAME_BUILD",
    "RESOURCES",
    "RUNTIME_CLASS",
    "RUN_AS_GROUP",
    "RUN_AS_USER",
    "RUN_DEADLINE",
    "SCHEDULE_TIMEOUT",
    "SCRATCH",
    "SCRATCH_LIMIT",
    "SECCOMP",
    "SECRET_ENV",
    "SECRET_FILES",
    "SERVICE_ACCOUNT",
    "SHM",
    "SIDECARS",
    "SLOTS_PER_WORKER",
    "SPOT",
    "SPREAD",
    "START_TIMEOUT",
    "TMPFS",
    "TOLERATIONS",
    "WORKER_EMULATOR_HOST",
    "WORKER_ENV",
    "WORKER_OUTPUT_RATE",
    // Of podpool's own processes.
    "CLASS",
    "COHORT",
    "NODE",
    "POD",
    "POD_UID",
    "ROLE",
    "RUN_DIR",
    "SLOTS",
    "TERMINATION_MESSAGE",
];

/// How alike two names must be, of 1, for one to be meant by the other.
// The measure is 1 less the edits for each letter of the longer name. One wrong letter of four or more (0.75) is found,
// and two of seven; one of three (0.67) is not, for `CPU`, `POD` and the like would be proposed for any short word.
const ALIKE: f64 = 0.7;

/// Emits a notice, once, for each variable of this process that is not read.
pub(crate) fn report_unknown() {
    // Once for the process, and not for each executor: the environment is the same for all of them.
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        // A name that is no Unicode cannot be one of podpool's.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names {
            if let Some(notice) = unknown(&name) {
                trouble(notice);
            }
        }
    });
}

/// Emits a notice if settings of a cluster are present but no back-end was chosen, so that tasks run on this machine.
pub(crate) fn report_unused() {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["PODPOOL_IMAGE", "PODPOOL_REGISTRY"].into_iter().find(set) {
        trouble(format_args!(
            "{name} is set, but no back-end is chosen, so tasks run on this machine; PODPOOL_BACKEND=kubernetes sends them to pods, PODPOOL_BACKEND=local silences this notice"
        ));
    }
}

/// The notice about a variable, if it looks like one of podpool's and is none.
fn unknown(name: &str) -> Option<String> {
    let own = name.strip_prefix(PREFIX)?;
    if KNOWN.contains(&own) || own.starts_with("TEST_") || is_of_a_service(own) {
        return None;
    }
    Some(match nearest(own) {
        Some(meant) => format!(
            "no setting is called {name}, so the variable has no effect; is {PREFIX}{meant} meant?"
        ),
        None => format!("no setting is called {name}, so the variable has no effect"),
    })
}

/// Whether a variable of this whole name is read.
#[cfg(all(test, feature = "kubernetes"))]
pub(crate) fn is_known(name: &str) -> bool {
    let own = name.strip_prefix(PREFIX);
    own.is_some_and(|own| KNOWN.contains(&own))
}

/// The known name that is most like this one.
fn nearest(own: &str) -> Option<&'static str> {
    let own = own.to_ascii_uppercase();
    let alike = |known: &&str| strsim::normalized_damerau_levenshtein(&own, known);
    let (score, known) = KNOWN
        .iter()
        .map(|known| (alike(known), *known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (score >= ALIKE).then_some(known)
}

/// Whether the variable is one that Kubernetes gives every pod for a service of its namespace, such as one called
/// `podpool`:
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
fn is_of_a_service(own: &str) -> bool {
    let port = |name: &str| name == "PORT" || name.starts_with("PORT_");
    let service = |name: &str| name == "SERVICE_HOST" || name.starts_with("SERVICE_PORT");
    // Every tail that begins after a `_`: a service called "podpool-cache-v2" has its name, of any length, in front.
    let parts = || own.match_indices('_').map(|(at, _)| &own[at + 1..]);
    std::iter::once(own)
        .chain(parts())
        .any(|part| port(part) || service(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_reported_with_the_nearest_known_one() {
        for (name, meant) in [
            ("PODPOOL_MEMROY", "PODPOOL_MEMORY"),
            ("PODPOOL_NAMESPCE", "PODPOOL_NAMESPACE"),
            ("PODPOOL_Cpu", "PODPOOL_CPU"),
            ("PODPOOL_PULL_SECRET", "PODPOOL_PULL_SECRETS"),
            ("PODPOOL_SLOT_PER_WORKER", "PODPOOL_SLOTS_PER_WORKER"),
        ] {
            let notice = unknown(name).unwrap();
            assert!(notice.contains(name), "{notice}");
            assert!(notice.ends_with(&format!("is {meant} meant?")), "{notice}");
        }
        let notice = unknown("PODPOOL_COLOUR_SCHEME").unwrap();
        assert!(notice.ends_with("has no effect"), "{notice}");
    }

    #[test]
    fn known_names_services_and_other_programs_have_no_notice() {
        let known = KNOWN.iter().map(|known| format!("{PREFIX}{known}"));
        let others = [
            "PATH",
            "PODPOOL",
            "MY_PODPOOL_MEMROY",
            "PODPOOL_TEST_HOST",
            "PODPOOL_PORT",
            "PODPOOL_PORT_80_TCP_ADDR",
            "PODPOOL_SERVICE_HOST",
            "PODPOOL_SERVICE_PORT_HTTP",
            "PODPOOL_CACHE_SERVICE_HOST",
            "PODPOOL_CACHE_PORT_6379_TCP",
        ];
        for name in known.chain(others.map(str::to_owned)) {
            assert_eq!(unknown(&name), None, "{name}");
        }
    }
}
