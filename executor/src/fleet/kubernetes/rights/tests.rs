//! The table against the requests of the fleet, and against the Role that runner-image has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::Role;

use super::*;

/// Requests that need no right, or that `gc` alone makes: it is a person's tool, and leaves out what it may not list.
const OTHERS: [(&str, &str); 3] = [("get", "version"), ("list", "secrets"), ("delete", "pods")];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            // A preflight asks for more than a run does, and is content with less.
            if name != "doctor" {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
    found
}

/// The requests that the fleet's source names, as `Ask("verb", "resource")`.
fn requests() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fleet/kubernetes");
    let mut found = BTreeSet::new();
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for request in code.split("Ask(\"").skip(1) {
            let mut quoted = request.split('"');
            let (verbs, _, resource) = (
                quoted.next().unwrap(),
                quoted.next().unwrap(),
                quoted.next().unwrap(),
            );
            for verb in verbs.split(" and ") {
                found.insert((verb.to_owned(), resource.to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_request_of_the_fleet_is_in_the_table() {
    let requests = requests();
    assert!(requests.len() >= 10, "only {requests:?} were found");
    for (verb, resource) in &requests {
        let is_right = |right: &Right| right.verb == verb && right.resource() == *resource;
        let other = OTHERS.contains(&(verb.as_str(), resource.as_str()));
        let known = other || RIGHTS.iter().any(is_right);
        assert!(known, "{verb} on {resource} is no right of the table");
    }
    // Watches are made by `kube`, without an `Ask`, and name what they need only where they are refused.
    let watched = |right: &&Right| right.resource == "events";
    for right in RIGHTS.iter().filter(|right| !watched(right)) {
        let request = (right.verb.to_owned(), right.resource());
        assert!(requests.contains(&request), "nothing asks for {request:?}");
    }
}

#[test]
fn the_role_of_the_runner_image_has_the_same_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runner-image/manifests/role.yaml");
    let text = fs::read_to_string(path).unwrap();
    let role: Role = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(role.rules.unwrap(), rules());
}

#[test]
fn a_kind_is_named_as_kubectl_and_roles_write_it() {
    assert_eq!(RIGHTS[0].qualified(), "jobs.batch");
    let log = RIGHTS.iter().find(|right| right.subresource == "log");
    assert_eq!(log.unwrap().qualified(), "pods/log");
    assert!(RIGHTS.iter().all(|right| right.resource != "nodes"));
}
