//! What a master asks of the API, in one table: the Role of the manifests is made of it, and a preflight asks for each
//! right of it. A test compares it with the requests in the fleet's source.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::PolicyRule;

/// One verb on one kind of objects of the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) verb: &'static str,
    /// The API's group; empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    /// Such as `log` of `pods`; mostly empty.
    pub(crate) subresource: &'static str,
    /// What a run does not do without it. Empty where no run works without it.
    pub(crate) without: &'static str,
}

const fn needed(verb: &'static str, group: &'static str, resource: &'static str) -> Right {
    Right {
        verb,
        group,
        resource,
        subresource: "",
        without: "",
    }
}

const fn useful(
    verb: &'static str,
    resource: &'static str,
    subresource: &'static str,
    without: &'static str,
) -> Right {
    Right {
        verb,
        group: "",
        resource,
        subresource,
        without,
    }
}

const OWNER: &str = "a master in a pod cannot find the Job that owns it, so the workers' Jobs stay when that Job is deleted";
const LOGS: &str =
    "the reason of a worker that runs and does not greet does not show the end of its log";
const EVENTS: &str = "reasons of workers that do not start lack the cluster's own warnings";

/// Everything that a master asks of the API in its namespace. It never reads a Secret.
pub(crate) const RIGHTS: [Right; 15] = [
    needed("create", "batch", "jobs"),
    needed("get", "batch", "jobs"),
    needed("list", "batch", "jobs"),
    needed("watch", "batch", "jobs"),
    needed("patch", "batch", "jobs"),
    needed("delete", "batch", "jobs"),
    useful("get", "pods", "", OWNER),
    needed("list", "", "pods"),
    needed("watch", "", "pods"),
    needed("create", "", "secrets"),
    needed("patch", "", "secrets"),
    needed("delete", "", "secrets"),
    useful("get", "pods", "log", LOGS),
    useful("list", "events", "", EVENTS),
    useful("watch", "events", "", EVENTS),
];

impl Right {
    /// The objects as a Role writes them: `pods/log`.
    pub(crate) fn resource(&self) -> String {
        match self.subresource {
            "" => self.resource.to_owned(),
            part => format!("{}/{part}", self.resource),
        }
    }

    /// The objects as kubectl writes them: `jobs.batch`.
    pub(crate) fn qualified(&self) -> String {
        match self.group {
            "" => self.resource(),
            group => format!("{}.{group}", self.resource()),
        }
    }
}

/// The rules of a Role: one for each kind of objects, in the order of the table.
pub(crate) fn rules() -> Vec<PolicyRule> {
    let mut order: Vec<(&str, String)> = Vec::new();
    let mut verbs: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for right in &RIGHTS {
        let kind = (right.group, right.resource());
        if !order.contains(&kind) {
            order.push(kind.clone());
        }
        verbs.entry(kind).or_default().push(right.verb.to_owned());
    }
    order
        .into_iter()
        .map(|kind| PolicyRule {
            verbs: verbs.remove(&kind).unwrap_or_default(),
            api_groups: Some(vec![kind.0.to_owned()]),
            resources: Some(vec![kind.1]),
            ..PolicyRule::default()
        })
        .collect()
}

#[cfg(test)]
mod tests;
