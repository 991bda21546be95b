//! The options by which users change what a cluster refuses.

pub(super) const CONFIG_MAP_FILE: &str = "KubernetesOptions::config_map_file";
pub(super) const CPU: &str = "KubernetesOptions::cpu (PODPOOL_CPU)";
pub(super) const ENV_FROM_CONFIG_MAP: &str = "KubernetesOptions::env_from_config_map";
pub(super) const CONFIG_MAP_ENV: &str = "KubernetesOptions::config_map_env";
pub(super) const ENV_FROM_SECRET: &str =
    "KubernetesOptions::env_from_secret (PODPOOL_ENV_FROM_SECRETS)";
pub(super) const INIT_CONTAINER: &str = "KubernetesOptions::init_container";
pub(super) const IMAGE: &str = "KubernetesOptions::image (PODPOOL_IMAGE)";
pub(super) const MEMORY: &str = "KubernetesOptions::memory (PODPOOL_MEMORY)";
pub(super) const NODE_SELECTOR: &str = "KubernetesOptions::node_selector";
pub(super) const PRIORITY_CLASS: &str = "KubernetesOptions::priority_class";
pub(super) const PULL_POLICY: &str = "KubernetesOptions::pull_policy (PODPOOL_PULL_POLICY)";
pub(super) const PULL_SECRET: &str = "KubernetesOptions::pull_secret (PODPOOL_PULL_SECRETS)";
pub(super) const PVC: &str = "KubernetesOptions::pvc";
pub(super) const QUEUE: &str = "KubernetesOptions::kueue_queue";
pub(super) const RUN_AS_USER: &str = "KubernetesOptions::run_as_user";
pub(super) const RUNTIME_CLASS: &str = "KubernetesOptions::runtime_class";
pub(super) const RUN_DEADLINE: &str = "KubernetesOptions::run_deadline (PODPOOL_RUN_DEADLINE)";
pub(super) const SCRATCH: &str = "KubernetesOptions::scratch";
pub(super) const SECRET_ENV: &str = "KubernetesOptions::secret_env";
pub(super) const SECRET_FILE: &str = "KubernetesOptions::secret_file";
pub(super) const SIDECAR: &str = "KubernetesOptions::sidecar";
pub(super) const SERVICE_ACCOUNT: &str =
    "KubernetesOptions::service_account (PODPOOL_SERVICE_ACCOUNT)";
pub(super) const TOLERATION: &str = "KubernetesOptions::toleration";

/// The option that sets how much of a resource a worker asks for; none for a resource that no option sets.
#[must_use]
pub fn of_resource(resource: &str) -> Option<&'static str> {
    Some(match resource {
        "cpu" => CPU,
        "memory" => MEMORY,
        "ephemeral-storage" => SCRATCH,
        gpu if gpu.ends_with("/gpu") => "KubernetesOptions::gpu",
        extended if extended.contains('/') => "KubernetesOptions::resource",
        _ => return None,
    })
}

/// The option behind a field of a Job, as the API names a field that it refuses:
/// `spec.template.spec.tolerations[0].key`.
#[must_use]
pub fn of_field(field: &str) -> Option<&'static str> {
    // The first that occurs counts, so a part comes before what it is part of.
    const PARTS: [(&str, &str); 20] = [
        ("resources.requests[cpu]", CPU),
        ("resources.limits[cpu]", CPU),
        ("[memory]", MEMORY),
        ("[ephemeral-storage]", SCRATCH),
        ("imagePullSecrets", PULL_SECRET),
        ("imagePullPolicy", PULL_POLICY),
        (".image", IMAGE),
        (".envFrom", ENV_FROM_SECRET),
        (".env[", "KubernetesOptions::env (PODPOOL_WORKER_ENV)"),
        (".configMap", CONFIG_MAP_FILE),
        ("volume", SECRET_FILE),
        ("tolerations", TOLERATION),
        ("nodeSelector", NODE_SELECTOR),
        ("priorityClassName", PRIORITY_CLASS),
        ("serviceAccountName", SERVICE_ACCOUNT),
        ("runtimeClassName", RUNTIME_CLASS),
        (
            "terminationGracePeriodSeconds",
            "KubernetesOptions::grace (PODPOOL_GRACE)",
        ),
        ("activeDeadlineSeconds", RUN_DEADLINE),
        ("labels", "KubernetesOptions::label (PODPOOL_LABELS)"),
        ("parallelism", "Builder::max_workers"),
    ];
    let part = PARTS.iter().find(|(part, _)| field.contains(part));
    part.map(|(_, option)| *option)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::kubernetes::spec::rows;

    #[test]
    fn each_option_is_a_row_of_the_table_of_settings() {
        let of_fields = [
            "envFrom",
            ".env[",
            "terminationGracePeriodSeconds",
            "labels",
        ];
        let of_fields = of_fields.iter().filter_map(|field| of_field(field));
        let of_resources = ["nvidia.com/gpu", "example.com/dongle"];
        let of_resources = of_resources.iter().filter_map(|it| of_resource(it));
        let named = [
            CONFIG_MAP_FILE,
            CPU,
            ENV_FROM_CONFIG_MAP,
            CONFIG_MAP_ENV,
            ENV_FROM_SECRET,
            INIT_CONTAINER,
            IMAGE,
            MEMORY,
            NODE_SELECTOR,
            PRIORITY_CLASS,
            PULL_POLICY,
            PULL_SECRET,
            PVC,
            QUEUE,
            RUN_AS_USER,
            RUNTIME_CLASS,
            RUN_DEADLINE,
            SCRATCH,
            SECRET_ENV,
            SECRET_FILE,
            SIDECAR,
            SERVICE_ACCOUNT,
            TOLERATION,
        ];
        for text in named.into_iter().chain(of_fields).chain(of_resources) {
            let (option, variable) = match text.split_once(" (") {
                Some((option, variable)) => (option, variable.strip_suffix(')')),
                None => (text, None),
            };
            let option = option.strip_prefix("KubernetesOptions::").unwrap();
            let row = rows().find(|row| row.option == option);
            let row = row.unwrap_or_else(|| panic!("no setting is called {option}"));
            assert!(
                variable.is_none_or(|variable| variable == row.variable),
                "{text}"
            );
        }
    }
}
