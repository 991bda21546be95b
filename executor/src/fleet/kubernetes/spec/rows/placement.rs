//! The objects of the cluster that pods refer to by their names: namespace, service account, classes.

use super::super::given::{fill, word};
use super::super::names;
use super::super::row::{Row, one};

pub(super) const ROWS: [Row; 4] = [
    Row::new(
        "namespace",
        "PODPOOL_NAMESPACE",
        "namespace",
        |spec, given| fill(&mut spec.namespace, given, word),
    )
    .check(|spec| {
        let name = spec.namespace.iter();
        name.into_iter()
            .try_for_each(|name| names::object(name, 63))
    })
    .shown(|spec| one(spec.namespace.as_ref(), Clone::clone)),
    Row::new(
        "service_account",
        "PODPOOL_SERVICE_ACCOUNT",
        "service_account",
        |spec, given| fill(&mut spec.service_account, given, word),
    )
    .at("/spec/serviceAccountName")
    .check(|spec| names::objects(&spec.service_account))
    .shown(|spec| one(spec.service_account.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if let Some(name) = &spec.service_account {
            draft.spec.service_account_name = Some(name.clone());
            // An older name of the same field, in which the API would refuse another value.
            draft.spec.service_account = None;
        }
    }),
    Row::new(
        "priority_class",
        "PODPOOL_PRIORITY_CLASS",
        "priority_class",
        |spec, given| fill(&mut spec.priority_class, given, word),
    )
    .at("/spec/priorityClassName")
    .check(|spec| names::objects(&spec.priority_class))
    .shown(|spec| one(spec.priority_class.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if let Some(name) = &spec.priority_class {
            draft.spec.priority_class_name = Some(name.clone());
            // The number belongs to the class of the template.
            draft.spec.priority = None;
        }
    }),
    Row::new(
        "runtime_class",
        "PODPOOL_RUNTIME_CLASS",
        "runtime_class",
        |spec, given| fill(&mut spec.runtime_class, given, word),
    )
    .at("/spec/runtimeClassName")
    .check(|spec| names::objects(&spec.runtime_class))
    .shown(|spec| one(spec.runtime_class.as_ref(), Clone::clone))
    .write(|spec, draft| {
        if let Some(name) = &spec.runtime_class {
            draft.spec.runtime_class_name = Some(name.clone());
        }
    }),
];
