//! Every manifest on a real cluster, as a dry run that refuses fields which the API server does not know.

#![cfg(feature = "kubernetes")]

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use podpool::manifest::{self, Manifest};
use podpool::options::KubernetesOptions;
use podpool_tests::kubernetes::namespace::Own;
use podpool_tests::kubernetes::ready;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fleet-pod");
const IMAGE: &str = "registry.example/prices:1.4";

/// Applies a document as a dry run.
async fn applied(client: &Client, namespace: &str, document: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&document["apiVersion"]), text(&document["kind"]));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let kind = GroupVersionKind::gvk(group, version, &kind);
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match kind.kind.as_str() {
        "Namespace" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let name = text(&document["metadata"]["name"]);
    let params = PatchParams::apply("podpool-test");
    let params = params.dry_run().validation_strict();
    let applied = api.patch(&name, &params, &Patch::Apply(document)).await;
    applied.unwrap_or_else(|error| panic!("{} {name}: {error}", kind.kind));
}

#[tokio::test]
async fn the_api_server_takes_every_document() {
    if !ready(PROGRAM) {
        return;
    }
    let own = Own::new().await;
    let client = Client::try_default().await.unwrap();
    let plain = Manifest::new("backfill", &own.name, IMAGE).schedule("15 2 * * *");
    let workers = KubernetesOptions::default()
        .pull_secret("registry")
        .env("RUST_LOG", "info");
    let full = plain
        .clone()
        .namespace_too()
        .arg("--year=2026")
        .env_from_secret("prices-api")
        .time_zone("Europe/Berlin")
        .project("my-project")
        .emulator("172.18.0.1:8085")
        .ledger("1Gi")
        .label("team", "prices")
        .workers(workers);
    let mut documents = 0;
    for manifest in [&plain, &full] {
        for text in [
            manifest::rbac(manifest),
            manifest::job(manifest),
            manifest::cronjob(manifest),
            manifest::networkpolicy(manifest),
            manifest::template(manifest),
        ] {
            for document in serde_saphyr::from_multiple::<Value>(&text.unwrap()).unwrap() {
                applied(&client, &own.name, &document).await;
                documents += 1;
            }
        }
    }
    assert!(documents > 18, "{documents}");
    own.remove().await;
}
