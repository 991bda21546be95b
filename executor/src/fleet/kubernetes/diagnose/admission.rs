//! Pods that the API refuses to a Job: quotas, limits, policies, and what a pod names and does not exist.
//!
//! No status of a Job shows this: the Job controller reports it in events named `FailedCreate`, with the API's words.

use super::options::{
    CPU, MEMORY, PRIORITY_CLASS, RUNTIME_CLASS, SERVICE_ACCOUNT, of_field, of_resource,
};
use super::quantity::thousandths;
use super::waiting::cannot;
use super::{Patience, Verdict};

/// Judges a warning about a Job that creates no pods; none if it is about something else.
#[must_use]
pub fn judge_job_note(reason: &str, message: &str) -> Option<Verdict> {
    (reason == "FailedCreate").then(|| {
        let message = message.strip_prefix("Error creating: ").unwrap_or(message);
        refused(message)
    })
}

/// The order matters: a quota, a policy and a missing object are all "forbidden".
fn refused(message: &str) -> Verdict {
    let has = |words: &str| message.contains(words);
    if has("exceeded quota") {
        return quota(message);
    }
    // <https://kubernetes.io/docs/concepts/policy/resource-quotas/>
    if has("failed quota") {
        return lasting(
            "a ResourceQuota requires an amount that workers do not set",
            message,
            "add a LimitRange with a default to the namespace, or change the quota",
        );
    }
    // <https://kubernetes.io/docs/concepts/policy/limit-range/>
    if has("usage per Container is") || has("usage per Pod is") || has("limit to request ratio per")
    {
        let option = option_of_limit(message);
        let advice = format!("keep within it with {option}, or change the LimitRange");
        return lasting(
            "a LimitRange of the namespace does not allow workers of this size",
            message,
            &advice,
        );
    }
    if has("violates PodSecurity") {
        let advice = "workers are made for the level restricted, so a label, a volume or a webhook makes them differ: ask the administrator of the cluster, or use another namespace (PODPOOL_NAMESPACE)";
        return lasting(
            "the PodSecurity of the namespace forbids workers' pods",
            message,
            advice,
        );
    }
    if has("ValidatingAdmissionPolicy") || (has("admission webhook") && has("denied the request")) {
        let advice = "correct the option that it names, or ask the administrator of the cluster what it allows";
        return lasting(
            "a policy of the cluster refuses workers' pods",
            message,
            advice,
        );
    }
    if has("failed calling webhook") {
        let reason = format!(
            "an admission webhook of the cluster does not answer: {message}; the cluster tries again; if this lasts, ask its administrator"
        );
        return cannot(Patience::Schedule, reason);
    }
    if has("because it is being terminated") {
        let advice = "create it again when it is gone, or set another one with PODPOOL_NAMESPACE";
        return lasting(
            "the namespace of the workers is being removed",
            message,
            advice,
        );
    }
    missing(message).unwrap_or_else(|| unknown(message))
}

/// A quota is free again when other pods of the namespace end, unless a single pod is more than all that it allows.
fn quota(message: &str) -> Verdict {
    let beyond = beyond(message);
    if beyond.is_empty() {
        return cannot(
            Patience::Schedule,
            format!(
                "a ResourceQuota allows no more pods ({message}); raise it, or ask for fewer workers with max_workers"
            ),
        );
    }
    let mut options: Vec<&str> = beyond
        .iter()
        .filter_map(|name| of_resource(plain(name)))
        .collect();
    // Requests and limits of one resource are one option.
    options.dedup();
    let advice = if options.is_empty() {
        "raise it".to_owned()
    } else {
        format!("raise it, or ask for less with {}", options.join(" and "))
    };
    lasting(
        "a ResourceQuota is smaller than one worker",
        message,
        &advice,
    )
}

/// The resources of which one pod asks for more than the quota's hard limit.
// `exceeded quota: q, requested: limits.memory=2Gi,pods=1, used: limits.memory=0,pods=3, limited:
// limits.memory=1Gi,pods=3`
fn beyond(message: &str) -> Vec<&str> {
    let part = |name: &str| -> Vec<(&str, u128)> {
        let text = message.split(name).nth(1).unwrap_or_default();
        let text = text.split(", ").next().unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .filter_map(|(key, amount)| Some((key, thousandths(amount)?)))
            .collect()
    };
    let limited = part("limited: ");
    let hard = |name: &str| {
        limited
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, amount)| *amount)
    };
    let requested = part("requested: ").into_iter();
    let beyond = requested.filter(|(name, amount)| hard(name).is_some_and(|hard| *amount > hard));
    beyond.map(|(name, _)| name).collect()
}

/// `requests.memory` and `limits.memory` as `memory`.
fn plain(resource: &str) -> &str {
    let name = resource.strip_prefix("requests.");
    name.or_else(|| resource.strip_prefix("limits."))
        .unwrap_or(resource)
}

fn option_of_limit(message: &str) -> String {
    let named = ["cpu", "memory", "ephemeral-storage"];
    let named = named
        .iter()
        .filter(|name| message.contains(&format!("{name} usage per")));
    let options: Vec<&str> = named.filter_map(|name| of_resource(name)).collect();
    if options.is_empty() {
        format!("{CPU} and {MEMORY}")
    } else {
        options.join(" and ")
    }
}

/// What a pod names and the cluster does not have. It may be about to be made.
fn missing(message: &str) -> Option<Verdict> {
    let has = |words: &str| message.contains(words);
    let (what, option) = if has("service account") || has("serviceaccount") {
        (
            "the service account of the workers does not exist",
            SERVICE_ACCOUNT,
        )
    } else if has("PriorityClass") {
        (
            "the priority class of the workers does not exist",
            PRIORITY_CLASS,
        )
    } else if has("RuntimeClass") {
        (
            "the runtime class of the workers does not exist",
            RUNTIME_CLASS,
        )
    } else {
        return None;
    };
    let reason = format!("{what}: {message}; create it, or correct {option}");
    Some(cannot(Patience::SecondLook, reason))
}

fn unknown(message: &str) -> Verdict {
    // The API has trouble of its own, which passes.
    let passing = [
        "timed out",
        "deadline exceeded",
        "etcdserver",
        "too many requests",
        "connection refused",
    ];
    if passing.iter().any(|word| message.contains(word)) {
        let reason =
            format!("the cluster does not create workers' pods now: {message}; it tries again");
        return cannot(Patience::Schedule, reason);
    }
    let option = of_field(message).map_or_else(
        || "ask the administrator of the cluster what it allows".to_owned(),
        |option| format!("correct {option}"),
    );
    cannot(
        Patience::Start,
        format!("the cluster refuses workers' pods: {message}; {option}"),
    )
}

fn lasting(what: &str, message: &str, advice: &str) -> Verdict {
    cannot(Patience::Final, format!("{what}: {message}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_quota_below_one_pod_is_beyond_healing() {
        let of = |requested: &str, limited: &str| {
            let used = requested.replace(char::is_numeric, "0");
            beyond(&format!(
                "pods \"x\" is forbidden: exceeded quota: q, requested: {requested}, used: {used}, limited: {limited}"
            ))
            .len()
        };
        assert_eq!(of("pods=1", "pods=3"), 0);
        assert_eq!(of("pods=1", "pods=1"), 0);
        assert_eq!(of("pods=1", "pods=0"), 1);
        assert_eq!(of("requests.memory=2Gi", "requests.memory=1Gi"), 1);
        assert_eq!(
            of("limits.memory=1024Mi,pods=1", "limits.memory=1Gi,pods=7"),
            0
        );
        assert_eq!(
            of("requests.cpu=500m,pods=1", "requests.cpu=250m,pods=0"),
            2
        );
        assert_eq!(of("requests.cpu=many", "requests.cpu=1"), 0);
        assert_eq!(beyond("exceeded quota: q"), [""; 0]);
    }
}
