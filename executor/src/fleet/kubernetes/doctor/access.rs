//! The rights of this user in the namespace, one question for each right of the table.

use futures_util::future::join_all;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;

use super::super::client::Cluster;
use super::super::rights::{RIGHTS, Right};
use crate::doctor::{BOUND, Line, bounded};
use crate::error::start::chain;

pub(super) const RIGHT: &str = "kubernetes.right";

/// The user as whom the API server knows this program; none where it does not tell.
pub(super) async fn user(cluster: &Cluster) -> Option<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(cluster.client().clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let asked = timeout(BOUND, reviews.create(&params, &question)).await;
    asked.ok()?.ok()?.status?.user_info?.username
}

/// Asks for every right at the same time.
pub(super) async fn look(cluster: &Cluster, user: Option<&str>) -> Vec<Line> {
    let asked = RIGHTS.iter().map(|right| {
        let about = title(right);
        let late = move |why| Line::fail(RIGHT, why, None).about(about);
        bounded(late, ask(cluster, right, user))
    });
    join_all(asked).await.concat()
}

async fn ask(cluster: &Cluster, right: &Right, user: Option<&str>) -> Vec<Line> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client().clone());
    let question = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes(right, cluster.namespace())),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let params = PostParams::default();
    let line = match reviews.create(&params, &question).await {
        Ok(answer) => {
            let status = answer.status.unwrap_or_default();
            judge(right, &status, cluster.namespace(), user)
        }
        // Everybody may ask this of himself, unless the cluster's administrator has taken the right away.
        // <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles>
        Err(kube::Error::Api(status)) => {
            let seen = format!("the API server does not tell: {}", status.message);
            Line::skipped(RIGHT, seen).with_fix(question_of(right, cluster.namespace()))
        }
        Err(error) => Line::fail(RIGHT, chain(error), None),
    };
    vec![line.about(title(right))]
}

fn attributes(right: &Right, namespace: &str) -> ResourceAttributes {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ResourceAttributes {
        verb: some(right.verb),
        group: Some(right.group.to_owned()),
        resource: some(right.resource),
        subresource: some(right.subresource),
        namespace: some(namespace),
        ..ResourceAttributes::default()
    }
}

fn title(right: &Right) -> String {
    format!("{} {}", right.verb, right.qualified())
}

fn judge(
    right: &Right,
    status: &SubjectAccessReviewStatus,
    namespace: &str,
    user: Option<&str>,
) -> Line {
    if status.allowed {
        return Line::pass(RIGHT, format!("in namespace {namespace}"));
    }
    let who = user.unwrap_or("this user");
    let mut seen = format!("{who} has no right to it in namespace {namespace}");
    // Such as a webhook that could not be asked.
    if let Some(error) = status
        .evaluation_error
        .as_deref()
        .filter(|it| !it.is_empty())
    {
        seen = format!("{seen} ({error})");
    }
    let fix = grant(right, namespace, user);
    if right.without.is_empty() {
        Line::fail(RIGHT, seen, fix)
    } else {
        Line::warn(RIGHT, format!("{seen}; without it {}", right.without), fix)
    }
}

/// The command that grants the right, and nothing else.
fn grant(right: &Right, namespace: &str, user: Option<&str>) -> String {
    let (verb, kind) = (right.verb, right.qualified());
    let name = format!("podpool-{verb}-{}", kind.replace(['/', '.'], "-"));
    let subject = match user.and_then(|user| user.strip_prefix("system:serviceaccount:")) {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={}", quoted(user.unwrap_or("USER"))),
    };
    format!(
        "kubectl -n {namespace} create role {name} --verb={verb} --resource={kind} && kubectl -n {namespace} create rolebinding {name} --role={name} {subject}"
    )
}

fn question_of(right: &Right, namespace: &str) -> String {
    let kind = right.qualified();
    format!("kubectl -n {namespace} auth can-i {} {kind}", right.verb)
}

/// A word for the shell. Names of users may hold any character.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn judged(right: &Right, allowed: bool, user: Option<&str>) -> Line {
        let status = SubjectAccessReviewStatus {
            allowed,
            ..SubjectAccessReviewStatus::default()
        };
        judge(right, &status, "etl", user)
    }

    #[test]
    fn a_missing_right_is_granted_by_its_command_to_this_very_account() {
        let create = &RIGHTS[0];
        assert_eq!(judged(create, true, None).outcome, Outcome::Pass);
        let account = Some("system:serviceaccount:etl:podpool-master");
        let line = judged(create, false, account);
        assert_eq!(line.outcome, Outcome::Fail);
        let expected = "kubectl -n etl create role podpool-create-jobs-batch --verb=create --resource=jobs.batch && \
            kubectl -n etl create rolebinding podpool-create-jobs-batch --role=podpool-create-jobs-batch \
            --serviceaccount=etl:podpool-master";
        assert_eq!(line.fix.as_deref(), Some(expected));
        let person = judged(create, false, Some("o'neil x"));
        assert!(person.fix.unwrap().ends_with(r"--user='o'\''neil x'"));
    }

    #[test]
    fn a_right_without_which_a_run_works_is_a_warning() {
        let log = RIGHTS.iter().find(|right| right.subresource == "log");
        let line = judged(log.unwrap(), false, None);
        assert_eq!(line.outcome, Outcome::Warn);
        assert!(line.seen.contains("log"), "{line:?}");
        assert!(line.fix.unwrap().contains("--resource=pods/log"));
    }
}
