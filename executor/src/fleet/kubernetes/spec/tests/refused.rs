//! A bad value of every setting, and the words of its error.

use super::*;
use crate::client::builder::cluster_option;

/// A variable, a value that cannot be used, and what the error says of it.
const BAD: &[(&str, &str, &str)] = &[
    (
        "PODPOOL_POD_TEMPLATE",
        "/no/such/pod.yaml",
        "cannot be read",
    ),
    ("PODPOOL_IMAGE", "two words", "registry.example"),
    ("PODPOOL_PULL_POLICY", "Sometimes", "IfNotPresent"),
    ("PODPOOL_PULL_SECRETS", "ok,-x", "at both ends"),
    #[cfg(feature = "image")]
    ("PODPOOL_REGISTRY", "team", "registry.example/team"),
    #[cfg(feature = "image")]
    ("PODPOOL_BASE_IMAGE", "debian:12", "digest"),
    #[cfg(feature = "image")]
    (
        "PODPOOL_REGISTRY_INSECURE",
        "http://localhost:5000",
        "without a path",
    ),
    ("PODPOOL_NAMESPACE", "Team", "lower-case"),
    ("PODPOOL_NAMESPACE", "a.b", "lower-case"),
    ("PODPOOL_SERVICE_ACCOUNT", "a b", "lower-case"),
    ("PODPOOL_PRIORITY_CLASS", "High", "lower-case"),
    ("PODPOOL_RUNTIME_CLASS", "gVisor", "lower-case"),
    ("PODPOOL_CPU", "0", "1m or more"),
    ("PODPOOL_CPU", "many", "500m"),
    (
        "PODPOOL_CPU_LIMIT",
        "500m",
        "below the request, cpu, which is 1000m",
    ),
    ("PODPOOL_CPU_LIMIT", "2000", "2000 cores"),
    ("PODPOOL_MEMORY", "4 gigs", "512Mi"),
    ("PODPOOL_MEMORY", "1Mi", "16Mi or more"),
    (
        "PODPOOL_MEMORY_LIMIT",
        "1Gi",
        "below the request, memory, which is 2048Mi",
    ),
    ("PODPOOL_SCRATCH", "100", "1Mi"),
    ("PODPOOL_SCRATCH_LIMIT", "2000Ti", "1 PiB"),
    ("PODPOOL_GPU", "0", "1 to 64"),
    ("PODPOOL_GPU", "-1", "whole number"),
    ("PODPOOL_GPU_VENDOR", "voodoo", "nvidia, amd, intel"),
    ("PODPOOL_GPU_VENDOR", "amd", "PODPOOL_GPU"),
    ("PODPOOL_GPU_TYPE", "nvidia-l4", "PODPOOL_GPU"),
    ("PODPOOL_RESOURCES", "cpu=1", "extended resource"),
    ("PODPOOL_RESOURCES", "example.com/dongle=0", "1 or more"),
    (
        "PODPOOL_RESOURCES",
        "example.com/dongle=x",
        "of example.com/dongle",
    ),
    ("PODPOOL_QOS", "BestEffort", "Guaranteed, Burstable"),
    ("PODPOOL_SLOTS_PER_WORKER", "0", "1 to 1024"),
    ("PODPOOL_SLOTS_PER_WORKER", "-1", "1 to 1024"),
    ("PODPOOL_LABELS", "team", "no '='"),
    ("PODPOOL_LABELS", "team=a,team=b", "twice"),
    ("PODPOOL_LABELS", "podpool.dev/run=x", "choose another"),
    ("PODPOOL_LABELS", "sub.podpool.dev/run=x", "choose another"),
    ("PODPOOL_LABELS", "job-name=x", "choose another"),
    (
        "PODPOOL_LABELS",
        "batch.kubernetes.io/job-name=x",
        "choose another",
    ),
    ("PODPOOL_LABELS", "team=two words", "the value of team"),
    (
        "PODPOOL_ANNOTATIONS",
        "podpool.dev/secret=x",
        "choose another",
    ),
    ("PODPOOL_ANNOTATIONS", "two words=x", "a key is at most"),
    ("PODPOOL_ENV_FROM_SECRETS", "A", "lower-case"),
    ("PODPOOL_ENV_FROM_CONFIG_MAPS", "A", "lower-case"),
    ("PODPOOL_SECRET_ENV", "NAME=secret", "name/key"),
    ("PODPOOL_SECRET_ENV", "PODPOOL_X=secret/key", "PODPOOL_"),
    ("PODPOOL_CONFIG_MAP_ENV", "NAME=map/k y", "letters"),
    ("PODPOOL_WORKER_ENV", "1ST=x", "begins with no digit"),
    ("PODPOOL_WORKER_ENV", "PODPOOL_ROLE=x", "PODPOOL_"),
    ("PODPOOL_SECRET_FILES", "secret/key", "name/key=/path"),
    ("PODPOOL_SECRET_FILES", "secret/key=relative", "absolute"),
    (
        "PODPOOL_SECRET_FILES",
        "secret/key=/etc/podpool/run/key",
        "outside of",
    ),
    (
        "PODPOOL_CONFIG_MAP_FILES",
        "map/key=/tmp/x",
        "outside of /tmp",
    ),
    ("PODPOOL_PVCS", "data", "claim=/path"),
    (
        "PODPOOL_PVCS",
        "data=/etc/podpool",
        "outside of /etc/podpool",
    ),
    ("PODPOOL_PVCS", "data=/mnt/../x", "'..'"),
    ("PODPOOL_EPHEMERAL_VOLUMES", "/work=lots", "512Mi"),
    ("PODPOOL_EPHEMERAL_VOLUMES", "/work=10", "1Mi or more"),
    ("PODPOOL_EPHEMERAL_VOLUMES", "/work=1Gi:Fast", "lower-case"),
    ("PODPOOL_TMPFS", "/fast=1Gi:quick", "temp_dir"),
    ("PODPOOL_TMPFS", "/fast=4Gi", "raise memory"),
    (
        "PODPOOL_TMPFS",
        "/a=1Gi:temp_dir,/b=1Gi:temp_dir",
        "only one directory",
    ),
    ("PODPOOL_TMPFS", "/a=1Gi,/a=1Gi", "at this path already"),
    ("PODPOOL_SHM", "3Gi", "raise memory"),
    ("PODPOOL_NODE_SELECTOR", "a", "no '='"),
    ("PODPOOL_NODE_SELECTOR", "a b=c", "a key is at most"),
    ("PODPOOL_TOLERATIONS", "key:Sometimes", "NoSchedule"),
    ("PODPOOL_TOLERATIONS", "=x", "key=value"),
    (
        "PODPOOL_TOLERATIONS",
        r#"[{"value": "x"}]"#,
        "a value needs a key",
    ),
    (
        "PODPOOL_TOLERATIONS",
        r#"[{"key": "x", "seconds": 5}]"#,
        "NoExecute",
    ),
    (
        "PODPOOL_TOLERATIONS",
        r#"[{"efect": "x"}]"#,
        "is effect meant?",
    ),
    ("PODPOOL_NODE_AFFINITY", "zone", "a list of"),
    ("PODPOOL_NODE_AFFINITY", "[{", "no JSON"),
    (
        "PODPOOL_NODE_AFFINITY",
        r#"[{"key": "a"}]"#,
        "needs a value",
    ),
    (
        "PODPOOL_NODE_AFFINITY",
        r#"[{"key": "a", "operator": "Gt", "values": ["x"]}]"#,
        "whole number",
    ),
    (
        "PODPOOL_NODE_AFFINITY",
        r#"[{"key": "a", "values": ["x"], "weight": 101}]"#,
        "1 to 100",
    ),
    ("PODPOOL_POD_AFFINITY", "[{}]", "either near or apart"),
    (
        "PODPOOL_POD_AFFINITY",
        r#"[{"apart": "a", "weight": 0}]"#,
        "1 to 100",
    ),
    ("PODPOOL_SPREAD", "zone=0", "1 worker at least"),
    ("PODPOOL_SPREAD", "zone=x", "whole number"),
    ("PODPOOL_SPOT", "azure", "any, gke, karpenter, eks, aks"),
    (
        "PODPOOL_COMPUTE_CLASS",
        "a b",
        "the value of cloud.google.com/compute-class",
    ),
    ("PODPOOL_RUN_AS_USER", "nobody", "whole number"),
    ("PODPOOL_RUN_AS_USER", "4294967295", "2147483647"),
    ("PODPOOL_RUN_AS_GROUP", "4294967295", "2147483647"),
    ("PODPOOL_FS_GROUP", "4294967295", "2147483647"),
    ("PODPOOL_READ_ONLY_ROOT", "maybe", "true or false"),
    ("PODPOOL_SECCOMP", "Strict", "RuntimeDefault"),
    ("PODPOOL_SECCOMP", "Localhost/../x", "relative path"),
    ("PODPOOL_DROP_CAPABILITIES", "CAP_CHOWN", "without CAP_"),
    ("PODPOOL_ADD_CAPABILITIES", "chown", "NET_BIND_SERVICE"),
    ("PODPOOL_PORTS", "metrics=70000", "whole number"),
    ("PODPOOL_PORTS", "a-very-long-port-name=1", "at most 15"),
    ("PODPOOL_PORTS", "metrics=0", "1 to 65535"),
    ("PODPOOL_HOST_ALIASES", "db=10.0.0.1", "IP address"),
    ("PODPOOL_HOST_ALIASES", "10.0.0.1=", "needs a name"),
    ("PODPOOL_INIT_CONTAINERS", "busybox", "a list of"),
    (
        "PODPOOL_INIT_CONTAINERS",
        r#"[{"name": "worker", "image": "a"}]"#,
        "has this name",
    ),
    (
        "PODPOOL_INIT_CONTAINERS",
        r#"[{"name": "a"}]"#,
        "image is missing",
    ),
    (
        "PODPOOL_SIDECARS",
        r#"[{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]"#,
        "has this name",
    ),
    (
        "PODPOOL_SIDECARS",
        r#"[{"name": "a", "image": "a", "env": {"1": "x"}}]"#,
        "no digit",
    ),
    ("PODPOOL_GRACE", "1s", "6 s to 3600 s"),
    ("PODPOOL_RUN_DEADLINE", "31d", "60 s to"),
    ("PODPOOL_KEEP_FINISHED", "31d", "0 s to"),
    ("PODPOOL_IDLE_TIMEOUT", "1s", "10 s or more"),
    ("PODPOOL_START_TIMEOUT", "0s", "1 s or more"),
    ("PODPOOL_SCHEDULE_TIMEOUT", "5", "a unit"),
    ("PODPOOL_WORKER_OUTPUT_RATE", "4Mi", "1 KiB to 2 MiB"),
    ("PODPOOL_REQUIRE_SAME_BUILD", "perhaps", "true or false"),
    ("PODPOOL_KUEUE_QUEUE", "Team", "lower-case"),
    ("PODPOOL_KUEUE_PRIORITY", "high", "PODPOOL_KUEUE_QUEUE"),
];

fn error_of(variable: &str, text: &str) -> SpecError {
    // The image of the program would come before the variable's.
    let image = Some("backfill:1".to_owned()).filter(|_| variable != "PODPOOL_IMAGE");
    let spec = WorkerSpec {
        image,
        ..WorkerSpec::default()
    };
    let read = spec
        .or_environment(|name| (name == variable).then(|| text.to_owned()))
        .and_then(WorkerSpec::with_template);
    let checked = read.and_then(|spec| spec.check());
    checked.expect_err(&format!("{variable}={text} should be refused"))
}

#[test]
fn a_bad_value_of_every_setting_is_refused_by_its_name() {
    for (variable, text, words) in BAD {
        let row = rows().find(|row| row.variable == *variable).unwrap();
        let shown = cluster_option(error_of(variable, text)).to_string();
        let named = shown.contains(row.variable) || shown.contains(row.option);
        assert!(named, "{variable}={text}: {shown}");
        assert!(shown.contains(words), "{variable}={text}: {shown}");
    }
    // Without the feature that needs them, three settings are refused by its name.
    let groundless = |row: &Row| {
        let of_image = ["registry", "base_image", "registry_insecure"];
        !cfg!(feature = "image") && of_image.contains(&row.option)
    };
    for row in rows().filter(|row| !groundless(row)) {
        let listed = BAD.iter().any(|(variable, ..)| *variable == row.variable);
        assert!(listed, "no bad value of {} is tried", row.variable);
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let both = |pairs: &'static [(&'static str, &'static str)]| {
        let spec = WorkerSpec::of_image("backfill:1").or_environment(|name| {
            let pair = pairs.iter().find(|(set, _)| *set == name);
            pair.map(|(_, text)| (*text).to_owned())
        });
        spec.unwrap().check()
    };
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[("PODPOOL_QOS", "Guaranteed"), ("PODPOOL_CPU_LIMIT", "2")],
            "qos",
        ),
        (
            &[
                ("PODPOOL_QOS", "Guaranteed"),
                ("PODPOOL_MEMORY_LIMIT", "4Gi"),
            ],
            "qos",
        ),
        (
            &[("PODPOOL_PVCS", "a=/data"), ("PODPOOL_TMPFS", "/data=1Gi")],
            "tmpfs",
        ),
        (
            &[
                ("PODPOOL_WORKER_ENV", "TMPDIR=/x"),
                ("PODPOOL_TMPFS", "/fast=1Gi:temp_dir"),
            ],
            "tmpfs",
        ),
        (
            &[
                ("PODPOOL_WORKER_ENV", "TOKEN=/x"),
                ("PODPOOL_SECRET_ENV", "TOKEN=a/b"),
            ],
            "env",
        ),
        (
            &[("PODPOOL_SCRATCH", "2Gi"), ("PODPOOL_SCRATCH_LIMIT", "1Gi")],
            "scratch_limit",
        ),
    ];
    for (pairs, option) in cases {
        let error = both(pairs).expect_err("they should be refused");
        assert_eq!(error.setting, option, "{error}");
        assert!(!error.to_string().contains("/x"), "{error}");
    }
}
