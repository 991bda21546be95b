//! A namespace of a test's own, with the strictest rules for pods, and masters with few rights in it.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, Resource, ResourceExt};
use podpool::kubernetes::client::Cluster;
use podpool_core::id::WorkerId;
use serde_json::json;
use tokio::time::timeout;

use super::BOUND;

/// A namespace.
pub struct Own {
    client: Client,
    /// Its name.
    pub name: String,
    /// The cluster, with this namespace and all rights.
    pub cluster: Cluster,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("name", &self.name).finish()
    }
}

impl Own {
    /// Makes a namespace, and waits until pods can be made in it.
    pub async fn new() -> Self {
        let name = format!("podpool-test-{}", WorkerId::random());
        let cluster = Cluster::with_config(config().await, Some(&name))
            .await
            .unwrap();
        let client = Client::try_from(config().await).unwrap();
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }))
        .unwrap();
        let all: Api<Namespace> = Api::all(client.clone());
        all.create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        // The cluster refuses pods until the namespace's default service account exists; a controller makes it later.
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
        let there = await_condition(accounts, "default", |account: Option<&ServiceAccount>| {
            account.is_some()
        });
        timeout(BOUND, there).await.unwrap().unwrap();
        Self {
            client,
            name,
            cluster,
        }
    }

    /// An object that can own others: a config map of this name.
    pub async fn owner(&self, name: &str) -> OwnerReference {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.name);
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let made = maps.create(&PostParams::default(), &map).await.unwrap();
        OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: name.to_owned(),
            uid: made.uid().unwrap(),
            ..OwnerReference::default()
        }
    }

    /// The cluster as a user sees it who has only this Role in the namespace.
    pub async fn master(&self, rules: serde_json::Value) -> Cluster {
        let role: Role = serde_json::from_value(json!({
            "metadata": {"name": "podpool-master"},
            "rules": rules,
        }))
        .unwrap();
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "podpool-master"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "podpool-master"},
            "subjects": [{"kind": "ServiceAccount", "name": "podpool-master", "namespace": self.name}],
        }))
        .unwrap();
        let params = PostParams::default();
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.name);
        roles.create(&params, &role).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.name);
        bindings.create(&params, &binding).await.unwrap();
        let mut config = config().await;
        let account = format!("system:serviceaccount:{}:podpool-master", self.name);
        config.auth_info.impersonate = Some(account);
        config.auth_info.impersonate_groups = Some(vec!["system:authenticated".to_owned()]);
        Cluster::with_config(config, Some(&self.name))
            .await
            .unwrap()
    }

    /// Takes its Role away from [`master`](Self::master).
    pub async fn revoke(&self) {
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.name);
        let params = DeleteParams::default();
        bindings.delete("podpool-master", &params).await.unwrap();
    }

    /// The text of a kubeconfig with the rights of a service account of the namespace: none, where the account was
    /// granted none.
    #[must_use]
    pub fn kubeconfig(&self, account: &str) -> String {
        let path = PathBuf::from(std::env::var_os("KUBECONFIG").unwrap());
        let mut file = Kubeconfig::read_from(path).unwrap();
        for user in &mut file.auth_infos {
            let user = user.auth_info.get_or_insert_default();
            user.impersonate = Some(format!("system:serviceaccount:{}:{account}", self.name));
        }
        // A kubeconfig is read as YAML, and JSON is valid YAML.
        serde_json::to_string(&file).unwrap()
    }

    /// Makes an object in the namespace.
    pub async fn make<K>(&self, object: serde_json::Value)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let all: Api<K> = Api::namespaced(self.client.clone(), &self.name);
        all.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Makes an object of the whole cluster; what it does must be limited to this namespace.
    pub async fn make_in_cluster<K>(&self, object: serde_json::Value)
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        let all: Api<K> = Api::all(self.client.clone());
        all.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Removes an object of the whole cluster.
    pub async fn remove_from_cluster<K>(&self, name: &str)
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let all: Api<K> = Api::all(self.client.clone());
        all.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Allows no more than so many pods.
    pub async fn quota(&self, pods: u32) {
        self.quota_of(json!({"pods": pods.to_string()})).await;
    }

    /// Allows no more than these amounts. Returns when the quota is in force: it is once its use was counted.
    pub async fn quota_of(&self, hard: serde_json::Value) {
        let quota: ResourceQuota = serde_json::from_value(json!({
            "metadata": {"name": "small"},
            "spec": {"hard": hard},
        }))
        .unwrap();
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &self.name);
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        let counted = await_condition(quotas, "small", |quota: Option<&ResourceQuota>| {
            quota
                .and_then(|quota| quota.status.as_ref())
                .is_some_and(|status| status.used.is_some())
        });
        timeout(BOUND, counted).await.unwrap().unwrap();
    }

    /// Changes the quota to so many pods.
    pub async fn change_quota(&self, pods: u32) {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &self.name);
        let change = Patch::Merge(json!({"spec": {"hard": {"pods": pods.to_string()}}}));
        quotas
            .patch("small", &PatchParams::default(), &change)
            .await
            .unwrap();
    }

    /// Requests the removal of the namespace, without a wait.
    pub async fn begin_removal(&self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until the namespace is gone.
    pub async fn until_gone(&self) {
        let all: Api<Namespace> = Api::all(self.client.clone());
        let gone = await_condition(all, &self.name, |found: Option<&Namespace>| found.is_none());
        timeout(BOUND, gone)
            .await
            .expect("the namespace stays")
            .unwrap();
    }

    /// Removes the namespace at the end of a test, without a wait.
    pub async fn remove(self) {
        self.begin_removal().await;
    }
}

async fn config() -> Config {
    let path = PathBuf::from(std::env::var_os("KUBECONFIG").unwrap());
    let file = Kubeconfig::read_from(path).unwrap();
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .unwrap()
}
