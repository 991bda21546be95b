//! Preflights against an API server that answers as a test says.

use serde_json::json;

use super::fake::{Fake, Given};
use super::*;
use crate::doctor::{Outcome, Report};
use crate::fleet::kubernetes::spec::SecretFile;

fn subject() -> Subject {
    Subject {
        spec: WorkerSpec {
            namespace: Some("etl".to_owned()),
            ..WorkerSpec::of_image("registry.example/prices:1.4")
        },
        name: RunName::new("nightly").ok(),
        max_workers: 10,
    }
}

async fn examined(fake: &Fake, subject: &Subject) -> Report {
    Report::new(examine_at(&fake.cluster().await, subject).await)
}

/// The one line of this id and thing.
fn line<'a>(report: &'a Report, id: &str, about: &str) -> &'a Line {
    let mut found = report.lines.iter();
    let found = found.find(|line| line.id == id && line.about == about);
    found.unwrap_or_else(|| panic!("no line {id} {about} in\n{report}"))
}

#[tokio::test]
async fn a_sound_cluster_passes_and_nothing_is_made() {
    let fake = Fake::start().await;
    let report = examined(&fake, &subject()).await;
    let failed: Vec<_> = report
        .lines
        .iter()
        .filter(|line| !matches!(line.outcome, Outcome::Pass | Outcome::Skipped))
        .collect();
    assert!(report.is_ok() && failed.is_empty(), "{report}");
    // The fake sends no date, and that alone is skipped.
    let skipped: Vec<_> = report.of(Outcome::Skipped).map(|line| line.id).collect();
    assert_eq!(skipped, [server::CLOCK]);
    let reached = line(&report, REACHED, "");
    let user = "as system:serviceaccount:etl:podpool-master";
    assert!(reached.seen.contains(user), "{reached:?}");
    for asked in fake.asked() {
        let review = asked.path.contains("subject");
        let dry =
            asked.path.contains("dryRun=All") && asked.path.contains("fieldValidation=Strict");
        assert!(asked.method == "GET" || review || dry, "{asked:?}");
    }
}

#[tokio::test]
async fn the_very_job_of_the_run_is_sent() {
    let fake = Fake::start().await;
    examined(&fake, &subject()).await;
    let asked = fake.asked();
    let job = asked.iter().find(|it| it.path.contains("/jobs?")).unwrap();
    assert_eq!(job.body["spec"]["completions"], 10);
    assert_eq!(job.body["spec"]["suspend"], true);
    assert_eq!(job.body["metadata"]["labels"][NAME_LABEL], "nightly");
    let image = &job.body["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, "registry.example/prices:1.4");
}

#[tokio::test]
async fn a_missing_right_fails_its_own_line_with_its_command() {
    let fake = Fake::start().await;
    fake.deny("delete secrets");
    fake.deny("get pods/log");
    let report = examined(&fake, &subject()).await;
    let failed: Vec<_> = report.of(Outcome::Fail).collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert_eq!(failed[0].about, "delete secrets");
    let fix = failed[0].fix.as_deref().unwrap();
    assert!(fix.contains("--verb=delete --resource=secrets"), "{fix}");
    assert!(
        fix.ends_with("--serviceaccount=etl:podpool-master"),
        "{fix}"
    );
    let log = line(&report, access::RIGHT, "get pods/log");
    assert_eq!(log.outcome, Outcome::Warn);
}

#[tokio::test]
async fn refusals_of_the_job_are_read_as_the_fleet_reads_them() {
    let jobs = "POST /apis/batch/v1/namespaces/etl/jobs";
    for (code, reason, message, expected) in [
        (
            403,
            "Forbidden",
            "jobs.batch \"a\" is forbidden: exceeded quota: small",
            "raise the ResourceQuota",
        ),
        (
            403,
            "Forbidden",
            "admission webhook \"p\" denied the request: no such registry",
            "a policy of the cluster rejects it",
        ),
        (
            403,
            "Forbidden",
            "jobs.batch is forbidden: User \"x\" cannot create",
            "grant the master create on jobs",
        ),
        (
            404,
            "NotFound",
            "namespaces \"etl\" not found",
            "PODPOOL_NAMESPACE",
        ),
        (
            422,
            "Invalid",
            "Job is invalid: spec",
            "correct the setting",
        ),
        (
            400,
            "BadRequest",
            "strict decoding error: unknown field",
            "correct the setting",
        ),
    ] {
        let fake = Fake::start().await;
        fake.answer(jobs, Given::refused(code, reason, message));
        let report = examined(&fake, &subject()).await;
        let job = line(&report, dry_run::DRY_RUN, "job");
        assert_eq!(job.outcome, Outcome::Fail);
        assert!(
            job.seen.contains(message) && job.seen.contains(expected),
            "{job:?}"
        );
        let secret = line(&report, dry_run::DRY_RUN, "secret");
        assert_eq!(secret.outcome, Outcome::Pass);
    }
}

#[tokio::test]
async fn what_the_server_warns_of_is_a_warning() {
    let fake = Fake::start().await;
    let taken = Given::ok(json!({"metadata": {}}));
    let taken = taken.with_header("warning", "299 - \"would violate PodSecurity\"");
    fake.answer("POST /apis/batch/v1/namespaces/etl/jobs", taken);
    let report = examined(&fake, &subject()).await;
    let job = line(&report, dry_run::DRY_RUN, "job");
    assert_eq!(job.outcome, Outcome::Warn);
    assert!(job.seen.ends_with("would violate PodSecurity"), "{job:?}");
}

#[tokio::test]
async fn an_old_server_and_a_clock_that_is_off_are_lines_of_their_own() {
    let fake = Fake::start().await;
    let version = json!({"major": "1", "minor": "30", "gitVersion": "v1.30.1", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let past = Given::ok(version).with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    fake.answer("GET /version", past);
    let report = examined(&fake, &subject()).await;
    assert_eq!(line(&report, server::VERSION, "").outcome, Outcome::Fail);
    let clock = line(&report, server::CLOCK, "");
    assert_eq!(clock.outcome, Outcome::Fail);
    assert!(clock.seen.contains("ahead of"), "{clock:?}");
}

#[tokio::test]
async fn a_namespace_that_is_missing_removed_or_unreadable_is_told_apart() {
    let path = "GET /api/v1/namespaces/etl";
    let ending = json!({"metadata": {"name": "etl"}, "status": {"phase": "Terminating"}});
    for (given, outcome, words) in [
        (
            Given::refused(404, "NotFound", "not found"),
            Outcome::Fail,
            "kubectl create namespace etl",
        ),
        (Given::ok(ending), Outcome::Fail, "kubectl wait"),
        (
            Given::refused(403, "Forbidden", "no"),
            Outcome::Skipped,
            "kubectl get namespace etl",
        ),
    ] {
        let fake = Fake::start().await;
        fake.answer(path, given);
        let report = examined(&fake, &subject()).await;
        let line = line(&report, namespace::NAMESPACE, "");
        assert_eq!(line.outcome, outcome, "{line:?}");
        assert!(line.fix.as_deref().unwrap().contains(words), "{line:?}");
    }
}

fn named() -> Subject {
    let mut subject = subject();
    subject.spec.service_account = Some("worker".to_owned());
    subject.spec.pull_secrets = vec!["registry".to_owned()];
    subject.spec.env_from_secrets = vec!["prices-api".to_owned()];
    subject.spec.secret_files = vec![SecretFile {
        secret: "db".to_owned(),
        key: "password".to_owned(),
        path: "/etc/db/password".to_owned(),
    }];
    subject
}

#[tokio::test]
async fn objects_that_workers_name_are_looked_for_with_their_keys() {
    let fake = Fake::start().await;
    let secrets = "GET /api/v1/namespaces/etl/secrets";
    fake.answer(
        "GET /api/v1/namespaces/etl/serviceaccounts/worker",
        Given::ok(json!({"metadata": {"name": "worker"}})),
    );
    let refused = Given::refused(403, "Forbidden", "no");
    fake.answer(&format!("{secrets}/registry"), refused);
    let db = json!({"metadata": {"name": "db"}, "data": {"user": "c2VjcmV0"}});
    fake.answer(&format!("{secrets}/db"), Given::ok(db));
    let report = examined(&fake, &named()).await;
    let of = |about: &str| line(&report, objects::OBJECT, about);
    assert_eq!(of("serviceaccount/worker").outcome, Outcome::Pass);
    assert_eq!(of("secret/registry").outcome, Outcome::Skipped);
    assert_eq!(of("secret/db").outcome, Outcome::Fail);
    assert!(of("secret/db").seen.contains("password"));
    let missing = of("secret/prices-api");
    assert_eq!(missing.outcome, Outcome::Fail);
    let expected = "kubectl -n etl create secret generic prices-api";
    assert_eq!(missing.fix.as_deref(), Some(expected));
    assert!(!report.to_string().contains("c2VjcmV0"));
    // The run's own Secret does not exist yet, and is not missed.
    let own = report
        .lines
        .iter()
        .any(|line| line.about.contains("secret/pp-"));
    assert!(!own, "{report}");
}

#[tokio::test]
async fn quotas_and_nodes_that_may_not_be_listed_are_skipped() {
    let fake = Fake::start().await;
    let no = || Given::refused(403, "Forbidden", "no");
    fake.answer("GET /api/v1/namespaces/etl/resourcequotas", no());
    fake.answer("GET /api/v1/nodes", no());
    let report = examined(&fake, &subject()).await;
    assert_eq!(line(&report, quota::QUOTA, "").outcome, Outcome::Skipped);
    assert_eq!(line(&report, nodes::NODE, "").outcome, Outcome::Skipped);
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn a_full_quota_fails_by_its_name() {
    let fake = Fake::start().await;
    let small = json!({"metadata": {"name": "small"}, "spec": {},
        "status": {"hard": {"pods": "4"}, "used": {"pods": "4"}}});
    let list = json!({"metadata": {}, "items": [small]});
    fake.answer("GET /api/v1/namespaces/etl/resourcequotas", Given::ok(list));
    let report = examined(&fake, &subject()).await;
    assert_eq!(line(&report, quota::QUOTA, "small").outcome, Outcome::Fail);
}

#[test]
fn a_cluster_that_is_not_reached_fails_one_line_and_skips_the_rest() {
    let report = Report::new(lost("nothing listens there"));
    assert_eq!(report.of(Outcome::Fail).count(), 1);
    assert_eq!(report.of(Outcome::Skipped).count(), OTHERS.len());
}
