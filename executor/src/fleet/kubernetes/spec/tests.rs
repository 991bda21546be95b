//! Settings: which values are refused and by which name, and which source takes precedence.

mod config_file;
mod refused;
mod shown;
mod template;
mod texts;

use super::*;

fn refused(spec: &WorkerSpec) -> SpecError {
    spec.check().expect_err("the setting should be refused")
}

fn with(change: impl FnOnce(&mut WorkerSpec)) -> WorkerSpec {
    let mut spec = WorkerSpec::of_image("backfill:1");
    change(&mut spec);
    spec
}

#[test]
fn an_image_is_all_that_is_needed() {
    assert_eq!(WorkerSpec::of_image("backfill:1").check(), Ok(()));
    let error = refused(&WorkerSpec::default());
    assert!(error.to_string().contains("PODPOOL_IMAGE"), "{error}");
}

#[test]
fn the_program_precedes_the_environment_and_the_environment_the_default() {
    let environment = |name: &str| {
        Some(
            match name {
                "PODPOOL_IMAGE" => "from-env:2",
                "PODPOOL_CPU" => "1.5",
                "PODPOOL_MEMORY" => "512Mi",
                "PODPOOL_PULL_POLICY" => "never",
                "PODPOOL_PULL_SECRETS" => "one, two",
                "PODPOOL_LABELS" => "team=prices,stage=test",
                "PODPOOL_GRACE" => "45s",
                "PODPOOL_NAMESPACE" => "",
                "PODPOOL_WORKER_ENV" => "RUST_LOG=debug, STAGE=test,URL=http://x/?a=b,",
                _ => return None,
            }
            .to_owned(),
        )
    };
    let spec = with(|spec| {
        spec.memory = Some(1 << 30);
        spec.labels.insert("stage".to_owned(), "live".to_owned());
        spec.env.push(("STAGE".to_owned(), "live".to_owned()));
    })
    .or_environment(environment)
    .unwrap();
    assert_eq!(spec.image.as_deref(), Some("backfill:1"));
    assert_eq!(spec.memory_bytes(), 1 << 30);
    assert_eq!(spec.cpu_millicores(), 1_500);
    assert_eq!(spec.pull_policy, Some(PullPolicy::Never));
    assert_eq!(spec.pull_secrets, ["one", "two"]);
    let variables = [
        ("STAGE", "live"),
        ("RUST_LOG", "debug"),
        ("URL", "http://x/?a=b"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(spec.env, variables);
    assert_eq!(spec.labels["team"], "prices");
    assert_eq!(spec.labels["stage"], "live");
    assert_eq!(spec.grace_time(), Duration::from_secs(45));
    assert_eq!(spec.namespace, None);
    assert_eq!(spec.slots(), 1);
    assert_eq!(spec.run_deadline(), Duration::from_secs(7 * 86_400));
}

#[test]
fn a_variable_that_cannot_be_read_is_named() {
    for (name, value) in [
        ("PODPOOL_CPU", "many"),
        ("PODPOOL_MEMORY", "4 gigs"),
        ("PODPOOL_PULL_POLICY", "Sometimes"),
        ("PODPOOL_GRACE", "30"),
        ("PODPOOL_SLOTS_PER_WORKER", "-1"),
        ("PODPOOL_LABELS", "team"),
        ("PODPOOL_WORKER_ENV", "STAGE"),
    ] {
        let error = WorkerSpec::default()
            .or_environment(|asked| (asked == name).then(|| value.to_owned()))
            .expect_err(name);
        assert_eq!(error.setting, name);
        // Values of the workers' variables may be secret.
        let hidden = name == "PODPOOL_WORKER_ENV";
        assert_ne!(
            error.to_string().contains(&format!("{value:?}")),
            hidden,
            "{error}"
        );
    }
}

#[test]
fn amounts_are_read_as_kubernetes_reads_them() {
    assert_eq!(parse_cores("2"), Ok(2_000));
    assert_eq!(parse_cores("0.25"), Ok(250));
    assert_eq!(parse_cores("50m"), Ok(50));
    let reason = parse_cores("1000").unwrap_err();
    assert!(reason.starts_with("it is 1000 cores"), "{reason}");
    assert_eq!(parse_bytes("1.5Gi"), Ok(3 << 29));
    assert_eq!(parse_bytes("64M"), Ok(64_000_000));
    assert_eq!(parse_bytes("123"), Ok(123));
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5_400)));
    for wrong in ["", "-1", "1e3", "1.", ".5", "Gi", "99999999999999999999Ti"] {
        assert!(parse_bytes(wrong).is_err(), "{wrong:?}");
    }
    assert!(parse_duration("5").is_err());
}

#[test]
fn labels_are_checked_key_and_value() {
    let label = |key: &str, value: &str| {
        with(|spec| {
            spec.labels.insert(key.to_owned(), value.to_owned());
        })
    };
    for (key, value) in [
        ("team", "prices"),
        ("corp.example/team", ""),
        ("a_b.c-d", "X_1.y"),
    ] {
        assert_eq!(label(key, value).check(), Ok(()), "{key}={value}");
    }
    let long = "x".repeat(64);
    for (key, value) in [
        ("", "v"),
        ("-team", "v"),
        ("Corp/team", "v"),
        ("a/b/c", "v"),
        (&long, "v"),
        ("team", "two words"),
        ("team", "ends-"),
        ("team", &long),
        ("podpool.dev/run", "mine"),
        ("app.kubernetes.io/managed-by", "me"),
        ("batch.k8s.io/x", "v"),
    ] {
        assert_eq!(
            refused(&label(key, value)).setting,
            "label",
            "{key}={value}"
        );
    }
}

#[test]
fn names_sizes_and_times_are_checked_by_name() {
    type Change = fn(&mut WorkerSpec);
    let cases: [(&str, Change); 11] = [
        ("namespace", |s| s.namespace = Some("Team".to_owned())),
        ("service_account", |s| {
            s.service_account = Some("a b".to_owned());
        }),
        ("pull_secret", |s| s.pull_secrets = vec!["-x".to_owned()]),
        ("cpu", |s| s.cpu = Some(0)),
        ("cpu", |s| s.cpu = Some(u64::MAX)),
        ("memory", |s| s.memory = Some(4)),
        ("memory", |s| s.memory = Some(u64::MAX)),
        ("slots_per_worker", |s| s.slots_per_worker = Some(0)),
        ("grace", |s| s.grace = Some(Duration::from_secs(1))),
        ("run_deadline", |s| {
            s.deadline = Some(MAX_DEADLINE + Duration::from_secs(1));
        }),
        ("image", |s| s.image = Some("two words".to_owned())),
    ];
    for (setting, change) in cases {
        assert_eq!(refused(&with(change)).setting, setting);
    }
}

#[test]
fn every_refused_time_is_named_and_an_unlimited_one_is_accepted() {
    for zero in [
        (|s| s.idle_timeout = Some(Duration::ZERO)) as fn(&mut WorkerSpec),
        |s| s.start_timeout = Some(Duration::ZERO),
        |s| s.schedule_timeout = Some(Duration::ZERO),
        |s| s.grace = Some(Duration::MAX),
        |s| s.deadline = Some(Duration::MAX),
    ] {
        let setting = refused(&with(zero)).setting;
        let names = [
            "idle_timeout",
            "start_timeout",
            "schedule_timeout",
            "grace",
            "run_deadline",
        ];
        assert!(names.contains(&setting.as_str()), "{setting}");
    }
    let spec = with(|s| {
        s.idle_timeout = Some(Duration::MAX);
        s.start_timeout = Some(Duration::MAX);
        s.schedule_timeout = Some(Duration::MAX);
    });
    assert_eq!(spec.check(), Ok(()));
    for time in [spec.idle_time(), spec.start_time(), spec.schedule_time()] {
        assert_eq!(time, MAX_DEADLINE, "no longer than any run lasts");
    }
}

#[test]
fn variables_and_files_cannot_replace_those_of_the_fleet() {
    let env = |name: &str| with(|spec| spec.env = vec![(name.to_owned(), "v".to_owned())]);
    assert_eq!(env("AWS_REGION").check(), Ok(()));
    for name in ["PODPOOL_ROLE", "", "1ST", "A=B"] {
        assert_eq!(refused(&env(name)).setting, "env");
    }
    let file = |path: &str| {
        with(|spec| {
            spec.secret_files = vec![SecretFile {
                secret: "db".to_owned(),
                key: "password".to_owned(),
                path: path.to_owned(),
            }];
        })
    };
    assert_eq!(file("/etc/db/password").check(), Ok(()));
    for path in [
        "relative",
        "/",
        "/a/../b",
        "/etc/podpool/run/key",
        "/tmp",
        "/a:b",
    ] {
        assert_eq!(refused(&file(path)).setting, "secret_file", "{path}");
    }
}

#[test]
fn a_value_with_a_zero_byte_is_refused_without_being_shown() {
    let spec = with(|spec| spec.env = vec![("TOKEN".to_owned(), "s3cret\0".to_owned())]);
    let error = refused(&spec);
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
