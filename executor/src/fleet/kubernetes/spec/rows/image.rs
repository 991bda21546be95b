//! The workers' image.

use k8s_openapi::api::core::v1::LocalObjectReference;

use super::super::given::{fill, fill_list, one_of, word, words};
use super::super::names;
use super::super::row::{Check, Row, list, one};
use crate::fleet::worker_spec::{PullPolicy, WorkerSpec};

const POLICIES: [PullPolicy; 3] = [
    PullPolicy::Always,
    PullPolicy::IfNotPresent,
    PullPolicy::Never,
];

pub(super) const ROWS: [Row; 3] = [
    Row::new("image", "PODPOOL_IMAGE", "image", |spec, given| {
        fill(&mut spec.image, given, word)
    })
    .at("/spec/containers/worker/image")
    .check(check_image)
    .shown(|spec| one(spec.image.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if spec.image.is_some() {
            draft.worker.image.clone_from(&spec.image);
        }
    }),
    Row::new(
        "pull_policy",
        "PODPOOL_PULL_POLICY",
        "pull_policy",
        |spec, given| {
            fill(&mut spec.pull_policy, given, |given| {
                one_of(given, &POLICIES, PullPolicy::as_str)
            })
        },
    )
    .at("/spec/containers/worker/imagePullPolicy")
    .shown(|spec| {
        one(spec.pull_policy.as_ref(), |policy| {
            policy.as_str().to_owned()
        })
    })
    .write(|spec, draft| {
        if let Some(policy) = spec.pull_policy {
            draft.worker.image_pull_policy = Some(policy.as_str().to_owned());
        }
    }),
    Row::new(
        "pull_secret",
        "PODPOOL_PULL_SECRETS",
        "pull_secrets",
        |spec, given| fill_list(&mut spec.pull_secrets, given, words),
    )
    .at("/spec/imagePullSecrets")
    .check(|spec| names::objects(&spec.pull_secrets))
    .shown(|spec| list(&spec.pull_secrets, Clone::clone))
    .write(|spec, draft| {
        if spec.pull_secrets.is_empty() {
            return;
        }
        let all = draft.spec.image_pull_secrets.get_or_insert_default();
        let names = spec.pull_secrets.iter().cloned();
        all.extend(names.map(|name| LocalObjectReference { name }));
    }),
];

fn check_image(spec: &WorkerSpec) -> Check {
    match &spec.image {
        Some(image) => names::image(image),
        None if spec.template_image().is_some() => Ok(()),
        None => spec.check_made_image(),
    }
}
