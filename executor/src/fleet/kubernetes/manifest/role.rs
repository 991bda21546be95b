//! The rights of master and workers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::rights::rules;
use super::yaml::{document, joined};
use super::{Manifest, ManifestError};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn text(manifest: &Manifest) -> Result<String, ManifestError> {
    let mut documents = Vec::new();
    if manifest.makes_namespace {
        documents.push(namespace(manifest)?);
    }
    documents.extend(accounts(manifest)?);
    let comments = [
        "All that a master asks of the API. It makes a run's Secret, gives it owners and deletes it, and never reads one.",
    ];
    documents.push(document(&comments, &role(manifest))?);
    documents.push(document(&[], &binding(manifest))?);
    Ok(joined(&documents))
}

fn namespace(manifest: &Manifest) -> Result<String, ManifestError> {
    let comments = [
        "Whoever may create Jobs here can run pods with every service account, and read every Secret by mounting it: keep",
        "the namespace for podpool alone.",
    ];
    let standard = |mode: &str| {
        let key = format!("pod-security.kubernetes.io/{mode}");
        (key, "restricted".to_owned())
    };
    let mut labels = manifest.labels("namespace");
    labels.extend(BTreeMap::from(["enforce", "warn"].map(standard)));
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(manifest.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    document(&comments, &namespace)
}

/// Two accounts, with the commands for the cloud's roles above them.
fn accounts(manifest: &Manifest) -> Result<[String; 2], ManifestError> {
    let (master, worker) = (manifest.master(), manifest.worker());
    let role = |account: &str, role: &str| {
        let project = manifest.project.as_deref().unwrap_or("PROJECT");
        let namespace = &manifest.namespace;
        format!(
            "  gcloud projects add-iam-policy-binding {project} --role={role} --member=principal://iam.googleapis.com/projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/{project}.svc.id.goog/subject/ns/{namespace}/sa/{account}"
        )
    };
    let editor = role(&master, "roles/pubsub.editor");
    let of_master = [
        "The master. It speaks to the API. On GKE its identity in the cloud is granted by these commands, with the number of",
        "the project; editor, for it makes and removes topics and subscriptions:",
        &editor,
    ];
    let subscriber = role(&worker, "roles/pubsub.subscriber");
    let publisher = role(&worker, "roles/pubsub.publisher");
    let of_worker = [
        "The workers. An identity for the cloud, without rights and without a token in the pod. On GKE:",
        &subscriber,
        &publisher,
        "and, for payloads and outputs in a bucket, roles/storage.objectUser on it.",
    ];
    let account = |name: &str, component: &str, token: Option<bool>| ServiceAccount {
        metadata: manifest.meta(name, component),
        automount_service_account_token: token,
        ..ServiceAccount::default()
    };
    Ok([
        document(&of_master, &account(&master, "master", None))?,
        document(&of_worker, &account(&worker, "worker", Some(false)))?,
    ])
}

fn role(manifest: &Manifest) -> Role {
    Role {
        metadata: manifest.meta(&manifest.master(), "master"),
        rules: Some(rules()),
    }
}

fn binding(manifest: &Manifest) -> RoleBinding {
    let master = manifest.master();
    RoleBinding {
        metadata: manifest.meta(&master, "master"),
        role_ref: RoleRef {
            api_group: GROUP.to_owned(),
            kind: "Role".to_owned(),
            name: master.clone(),
        },
        subjects: Some(vec![Subject {
            api_group: None,
            kind: "ServiceAccount".to_owned(),
            name: master,
            namespace: Some(manifest.namespace.clone()),
        }]),
    }
}
