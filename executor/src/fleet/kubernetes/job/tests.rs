//! The objects as they are sent, compared with the files that are checked in. `PODPOOL_BLESS=1` writes the files again.

mod agreement;
mod everything;
mod kept;

use std::fs;
use std::path::Path;

use podpool_core::id::{MAX_RUN_ID, MAX_RUN_NAME};
use serde::Serialize;

use self::everything::everything;
use super::*;

fn run() -> RunId {
    RunId::new("backfill-2026-11").unwrap()
}

fn cohort(run: &RunId) -> Cohort<'_> {
    Cohort {
        run,
        number: 3,
        class: ClassId::DEFAULT,
        size: 12,
        lasts: Duration::from_secs(7 * 86_400),
        deadline: 1_796_000_000,
        secret: "00112233445566778899aabbccddeeff",
        owner: None,
        suspended: true,
    }
}

fn same(name: &str, object: &impl Serialize) {
    let made = serde_json::to_string_pretty(object).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/fleet/kubernetes/job/golden")
        .join(name);
    if std::env::var_os("PODPOOL_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap();
    assert_eq!(
        made, known,
        "{name} has changed; look at it, then PODPOOL_BLESS=1"
    );
}

#[test]
fn a_job_with_every_setting_equals_its_file() {
    let run = run();
    let owner = OwnerReference {
        uid: "6f1c".to_owned(),
        ..owned_by_job("nightly", "6f1c")
    };
    let cohort = Cohort {
        owner: Some(&owner),
        ..cohort(&run)
    };
    same("job-everything.json", &job(&everything(), &cohort).unwrap());
}

#[test]
fn a_job_of_an_image_alone_equals_its_file() {
    let run = run();
    same(
        "job-plain.json",
        &job(&WorkerSpec::of_image("prices:1"), &cohort(&run)).unwrap(),
    );
}

#[test]
fn a_secret_equals_its_file() {
    let content = RunSecret {
        descriptor: b"descriptor".to_vec(),
        key: b"key".to_vec(),
    };
    let owners = vec![owned_by_job("pp-backfill-2026-11-c0", "6f1c")];
    same(
        "secret.json",
        &secret(&everything(), &run(), &content, owners),
    );
}

#[test]
fn the_rule_for_disruptions_comes_before_exit_codes_and_codes_are_sorted() {
    let rules = failure_policy().rules;
    assert!(rules[0].on_pod_conditions.is_some());
    let codes: Vec<&[i32]> = rules
        .iter()
        .filter_map(|rule| Some(rule.on_exit_codes.as_ref()?.values.as_slice()))
        .collect();
    assert_eq!(codes.len(), 2);
    for codes in codes {
        assert!(codes.is_sorted() && !codes.contains(&0), "{codes:?}");
    }
}

#[test]
fn the_longest_run_name_fits_where_kubernetes_allows_63() {
    let name = RunName::new(&"x".repeat(MAX_RUN_NAME)).unwrap();
    let run = RunId::of(&name);
    assert_eq!(run.as_str().len(), MAX_RUN_ID);
    // A pod's host name is the Job's name and the index.
    assert!(job_name(&run, 99_999).len() + "-99999".len() <= 63);
    assert!(secret_name(&run).len() <= 63);
    // Both are values of labels.
    assert!(run.as_str().len() <= 63 && name.as_str().len() <= 63);
}

#[test]
fn two_runs_of_one_name_share_no_object() {
    let name = RunName::new("nightly").unwrap();
    let (one, other) = (RunId::of(&name), RunId::of(&name));
    assert_ne!(secret_name(&one), secret_name(&other));
    assert_ne!(job_name(&one, 0), job_name(&other, 0));
    assert_ne!(run_selector(&one), run_selector(&other));
    assert_eq!(
        name_selector(&name),
        "app.kubernetes.io/managed-by=podpool,podpool.dev/run-name=nightly"
    );
}

#[test]
fn a_secrets_fingerprint_distinguishes_secrets_and_reveals_nothing_of_them() {
    let secret = |descriptor: &str, key: &str| RunSecret {
        descriptor: descriptor.into(),
        key: key.into(),
    };
    let one = secret("ab", "c");
    assert_eq!(one.fingerprint(), one.fingerprint());
    assert_ne!(one.fingerprint(), secret("a", "bc").fingerprint());
    assert_ne!(one.fingerprint(), secret("ab", "d").fingerprint());
    assert!(!format!("{one:?}").contains("99"), "{one:?}");
}
