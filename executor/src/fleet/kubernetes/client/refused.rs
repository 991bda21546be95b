//! What a refusal of the API means, and what to do about it.

use kube::core::Status;

use super::super::diagnose::of_field;
use super::{Ask, Refused};

/// The cause that the API names when it makes nothing more in a namespace.
/// <https://github.com/kubernetes/api/blob/v0.34.0/core/v1/types.go>, `NamespaceTerminatingCause`.
const TERMINATING: &str = "NamespaceTerminating";

/// The kind of a refusal, and what to do about it.
pub(in super::super) fn judge(ask: Ask, namespace: &str, status: &Status) -> (Refused, String) {
    let kind = kind(status);
    (kind, advice(kind, ask, namespace, status))
}

/// The order matters: a refusal by quota or by a webhook is a 403 as well, although no right is missing. Both 409s have
/// the code in common, and differ in their reason.
fn kind(status: &Status) -> Refused {
    match status {
        status if status.is_already_exists() => Refused::Exists,
        status if status.is_conflict() => Refused::Another,
        status if terminates(status) => Refused::Ending,
        status if is_by_quota(status) => Refused::Passing,
        status if is_by_webhook(status) => Refused::Invalid,
        status if status.is_forbidden() => Refused::Forbidden,
        status if status.code == 401 => Refused::Unauthorized,
        status if status.is_not_found() => Refused::NotFound,
        status if status.is_invalid() || status.code == 400 => Refused::Invalid,
        _ => Refused::Passing,
    }
}

fn advice(kind: Refused, Ask(verb, resource): Ask, namespace: &str, status: &Status) -> String {
    match kind {
        Refused::Ending => format!(
            "namespace {namespace} is being removed, so nothing can be started in it; create it again when it is gone, or set another one with PODPOOL_NAMESPACE"
        ),
        Refused::Passing if is_by_quota(status) => format!(
            "raise the ResourceQuota of namespace {namespace}, or delete objects that use it"
        ),
        Refused::Invalid if is_by_webhook(status) => {
            "a policy of the cluster rejects it; correct the setting, or ask the cluster's administrator"
                .to_owned()
        }
        Refused::Forbidden => format!(
            "grant the master {verb} on {resource} in namespace {namespace}, by a Role and its RoleBinding"
        ),
        Refused::Unauthorized => {
            "the cluster does not accept these credentials; renew those in the kubeconfig".to_owned()
        }
        Refused::NotFound => format!(
            "check that namespace {namespace} exists; PODPOOL_NAMESPACE or KubernetesOptions::namespace sets it, else the kubeconfig"
        ),
        Refused::Invalid => correct(status),
        Refused::Exists | Refused::Another | Refused::Passing => String::new(),
    }
}

/// The options behind the fields that the API names: in its causes, or in its message where it gives none.
fn correct(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut options: Vec<&str> = Vec::new();
    for cause in causes {
        if let Some(option) = of_field(&cause.field).filter(|option| !options.contains(option)) {
            options.push(option);
        }
    }
    if options.is_empty() {
        options.extend(of_field(&status.message));
    }
    if options.is_empty() {
        "correct the setting".to_owned()
    } else {
        format!("correct {}", options.join(" and "))
    }
}

// The API has no code of its own for a quota or an admission webhook: only the message distinguishes them from missing
// rights. <https://kubernetes.io/docs/concepts/policy/resource-quotas/>
fn is_by_quota(status: &Status) -> bool {
    status.message.contains("exceeded quota")
}

fn is_by_webhook(status: &Status) -> bool {
    status.message.contains("admission webhook")
}

fn terminates(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == TERMINATING)
        || (status.is_forbidden() && status.message.contains("because it is being terminated"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(code: u16, reason: &str, message: &str, cause: Option<&str>) -> (Refused, String) {
        let causes: Vec<_> = cause.iter().map(|cause| json!({"reason": cause})).collect();
        let status = serde_json::from_value(json!({
            "status": "Failure", "code": code, "reason": reason, "message": message,
            "details": {"kind": "jobs", "causes": causes},
        }));
        judge(Ask("create", "jobs"), "etl", &status.unwrap())
    }

    /// Recorded from Kubernetes 1.34.
    #[test]
    fn a_removed_namespace_is_no_missing_right() {
        let message = "jobs.batch \"pp-a-c0\" is forbidden: unable to create new content in namespace etl because it is being terminated";
        for cause in [None, Some(TERMINATING)] {
            let (kind, advice) = judged(403, "Forbidden", message, cause);
            assert_eq!(kind, Refused::Ending);
            assert!(!advice.contains("grant"), "{advice}");
            assert!(
                advice.contains("namespace etl is being removed"),
                "{advice}"
            );
        }
    }

    #[test]
    fn only_missing_rights_lead_to_advice_about_rights() {
        let message = "jobs.batch is forbidden: User \"x\" cannot create resource \"jobs\"";
        let (kind, advice) = judged(403, "Forbidden", message, None);
        assert_eq!(kind, Refused::Forbidden);
        assert!(
            advice.starts_with("grant the master create on jobs"),
            "{advice}"
        );
        let quota =
            "jobs.batch \"a\" is forbidden: exceeded quota: small, requested: count/jobs.batch=1";
        let (kind, advice) = judged(403, "Forbidden", quota, None);
        assert_eq!(kind, Refused::Passing);
        assert!(advice.contains("ResourceQuota"), "{advice}");
        let hook = "admission webhook \"policy\" denied the request: no image of that name";
        let (kind, advice) = judged(403, "Forbidden", hook, None);
        assert_eq!(kind, Refused::Invalid);
        assert!(advice.contains("policy of the cluster"), "{advice}");
    }

    #[test]
    fn credentials_that_are_not_accepted_are_no_missing_rights() {
        let (kind, advice) = judged(401, "Unauthorized", "Unauthorized", None);
        assert_eq!(kind, Refused::Unauthorized);
        assert!(advice.contains("credentials"), "{advice}");
    }
}
