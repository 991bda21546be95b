//! The objects that workers name: they exist, with the keys that are named. A key's value is never shown.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, PodSpec, Secret, ServiceAccount,
};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::super::client::Cluster;
use super::references::{self, Kind, Reference};
use crate::doctor::{Line, bounded};
use crate::error::start::chain;

pub(super) const OBJECT: &str = "kubernetes.object";

pub(super) async fn look(cluster: &Cluster, pod: Option<&PodSpec>, own: &str) -> Vec<Line> {
    let named = pod.map_or_else(Vec::new, |pod| references::of(pod, own));
    if named.is_empty() {
        return vec![Line::pass(OBJECT, "workers name no other object")];
    }
    let asked = named.iter().map(|it| {
        let about = title(it);
        let late = move |why| Line::skipped(OBJECT, why).about(about);
        bounded(late, ask(cluster, it))
    });
    join_all(asked).await.concat()
}

fn title(it: &Reference) -> String {
    format!("{}/{}", it.kind.word(), it.name)
}

type Keys = BTreeSet<String>;

async fn ask(cluster: &Cluster, it: &Reference) -> Vec<Line> {
    let name = &it.name;
    let found = match it.kind {
        Kind::ServiceAccount => get(cluster, name, |_: ServiceAccount| Keys::new()).await,
        Kind::Claim => get(cluster, name, |_: PersistentVolumeClaim| Keys::new()).await,
        Kind::Secret => get(cluster, name, of_secret).await,
        Kind::ConfigMap => get(cluster, name, of_map).await,
        Kind::PriorityClass => {
            let all: Api<PriorityClass> = Api::all(cluster.client().clone());
            all.get(name).await.map(|_| Keys::new())
        }
    };
    vec![judge(it, found, cluster.namespace()).about(title(it))]
}

async fn get<K>(
    cluster: &Cluster,
    name: &str,
    keys: impl FnOnce(K) -> Keys,
) -> Result<Keys, kube::Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource<Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(cluster.client().clone(), cluster.namespace());
    api.get(name).await.map(keys)
}

fn of_secret(secret: Secret) -> Keys {
    secret.data.unwrap_or_default().into_keys().collect()
}

fn of_map(map: ConfigMap) -> Keys {
    let binary = map.binary_data.unwrap_or_default().into_keys();
    map.data
        .unwrap_or_default()
        .into_keys()
        .chain(binary)
        .collect()
}

fn judge(it: &Reference, found: Result<Keys, kube::Error>, namespace: &str) -> Line {
    let (kind, name) = (it.kind.word(), &it.name);
    let look = format!("kubectl -n {namespace} get {kind} {name}");
    match found {
        Ok(keys) => {
            let missing: Vec<_> = it.keys.difference(&keys).map(String::as_str).collect();
            if missing.is_empty() {
                return Line::pass(OBJECT, "it exists");
            }
            let seen = format!("it has no key {}", missing.join(", "));
            Line::fail(
                OBJECT,
                seen,
                format!("kubectl -n {namespace} edit {kind} {name}"),
            )
        }
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let seen = format!("there is no {kind} {name}; pods that name it do not start");
            Line::fail(OBJECT, seen, creation(it, namespace))
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Line::skipped(OBJECT, "it may not be read").with_fix(look)
        }
        Err(error) => Line::skipped(OBJECT, chain(error)).with_fix(look),
    }
}

fn creation(it: &Reference, namespace: &str) -> String {
    let name = &it.name;
    let literals = |keys: &Keys| -> String {
        keys.iter()
            .map(|key| format!(" --from-literal={key}=VALUE"))
            .collect()
    };
    match it.kind {
        Kind::ServiceAccount => {
            format!("kubectl -n {namespace} create serviceaccount {name}")
        }
        Kind::Secret => format!(
            "kubectl -n {namespace} create secret generic {name}{}",
            literals(&it.keys)
        ),
        Kind::ConfigMap => format!(
            "kubectl -n {namespace} create configmap {name}{}",
            literals(&it.keys)
        ),
        Kind::PriorityClass => format!("kubectl create priorityclass {name} --value=1000"),
        Kind::Claim => format!("kubectl -n {namespace} apply -f CLAIM.yaml, with the name {name}"),
    }
}
