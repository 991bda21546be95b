//! The program, variables and the file give the same Job; a template gives the one that is checked in.

use std::path::Path;

use super::everything::{VARIABLES, everything};
use super::*;
use crate::fleet::kubernetes::spec::{ConfigFile, rows};
use crate::fleet::worker_spec::Sources;

fn variable(name: &str) -> Option<String> {
    let pair = VARIABLES.iter().find(|(set, _)| *set == name);
    pair.map(|(_, text)| (*text).to_owned())
}

fn file() -> ConfigFile {
    let text = include_str!("../golden/podpool.toml");
    ConfigFile::parse(Path::new("podpool.toml"), text).unwrap()
}

/// Without the sources, which differ.
fn bare(spec: WorkerSpec) -> WorkerSpec {
    WorkerSpec {
        sources: Sources::new(),
        ..spec
    }
}

#[test]
fn the_three_ways_agree() {
    let program = everything();
    let variables = WorkerSpec::default().or_environment(variable).unwrap();
    let of_file = WorkerSpec::default().or_file(Some(&file())).unwrap();
    for spec in [&program, &variables, &of_file] {
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(check(spec), Ok(()));
    }
    let run = run();
    let job = |spec: &WorkerSpec| job(spec, &cohort(&run)).unwrap();
    assert_eq!(job(&variables), job(&program));
    assert_eq!(job(&of_file), job(&program));
    // Also what is no part of a pod.
    assert_eq!(bare(variables), program);
    assert_eq!(bare(of_file), program);
}

#[test]
fn all_settings_are_tried() {
    let mut everything = everything();
    everything.pod_template = Some("pod.yaml".into());
    let default = WorkerSpec::default();
    let settings = everything.settings();
    for row in rows() {
        let own = |name: &str| {
            let rest = name.strip_prefix(row.option);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let set = settings.iter().any(|setting| {
            own(&setting.name) && setting.source == crate::fleet::worker_spec::Source::Program
        });
        assert!(set, "{} is not set", row.option);
        let by_default = default.settings();
        let mut by_default = by_default.iter().filter(|setting| own(&setting.name));
        assert!(
            by_default.all(|setting| setting.source == crate::fleet::worker_spec::Source::Default)
        );
    }
}

#[test]
fn the_program_precedes_variables_and_they_the_file() {
    let text = "[kubernetes]\nimage = \"file:1\"\ncpu = 3\nmemory = \"3Gi\"\nports = { a = 3, b = 3, c = 3 }";
    let file = ConfigFile::parse(Path::new("podpool.toml"), text).unwrap();
    let mut spec = WorkerSpec::of_image("program:1");
    spec.ports.insert("a".to_owned(), 1);
    let spec = spec
        .or_environment(|name| match name {
            "PODPOOL_IMAGE" => Some("variable:1".to_owned()),
            "PODPOOL_CPU" => Some("2".to_owned()),
            "PODPOOL_PORTS" => Some("a=2,b=2".to_owned()),
            _ => None,
        })
        .unwrap()
        .or_file(Some(&file))
        .unwrap();
    assert_eq!(spec.image.as_deref(), Some("program:1"));
    assert_eq!((spec.cpu, spec.memory), (Some(2_000), Some(3 << 30)));
    let ports: Vec<_> = spec.ports.values().copied().collect();
    assert_eq!(ports, [1, 2, 3]);
}

fn of_template() -> WorkerSpec {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/kubernetes/job/golden/template.yaml");
    WorkerSpec {
        pod_template: Some(path),
        ..WorkerSpec::default()
    }
    .with_template()
    .unwrap()
}

#[test]
fn a_job_of_a_template_equals_its_file() {
    let spec = of_template();
    assert_eq!(spec.check(), Ok(()));
    same("job-template.json", &job(&spec, &cohort(&run())).unwrap());
}

#[test]
fn a_job_of_a_template_and_options_equals_its_file() {
    let spec = WorkerSpec {
        cpu: Some(500),
        memory: Some(1 << 30),
        env: vec![("REGION".to_owned(), "eu".to_owned())],
        labels: BTreeMap::from([("stage".to_owned(), "live".to_owned())]),
        run_as_user: Some(0),
        spot: Some(crate::options::Spot::Gke),
        scratch: Some(1 << 30),
        ephemeral_volumes: vec![crate::options::EphemeralVolume::new("/tmp", 1 << 30)],
        ..of_template()
    };
    assert_eq!(spec.check(), Ok(()));
    same(
        "job-template-options.json",
        &job(&spec, &cohort(&run())).unwrap(),
    );
}
