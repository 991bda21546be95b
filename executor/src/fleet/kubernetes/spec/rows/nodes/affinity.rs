//! Affinity to nodes and to other pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, PreferredSchedulingTerm,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::super::super::draft::Draft;
use super::super::super::given::{fill_list, records};
use super::super::super::names;
use super::super::super::row::{Check, Row, Wrong, list};
use crate::fleet::kubernetes::job::RUN_LABEL;
use crate::fleet::worker_spec::{NodeAffinity, NodeOperator, PodAffinity, WorkerSpec};

pub(super) const NODES: Row = Row::new(
    "node_affinity",
    "PODPOOL_NODE_AFFINITY",
    "node_affinity",
    |spec, given| fill_list(&mut spec.node_affinity, given, records),
)
.at("/spec/affinity/nodeAffinity")
.check(|spec| spec.node_affinity.iter().try_for_each(check_nodes))
.shown(|spec| {
    list(&spec.node_affinity, |rule| {
        let values = rule.values.join("|");
        let weight = weight_text(rule.weight);
        format!("{} {} {values}{weight}", rule.key, rule.operator.as_str())
    })
})
.write(write_nodes);

pub(super) const PODS: Row = Row::new(
    "pod_affinity",
    "PODPOOL_POD_AFFINITY",
    "pod_affinity",
    |spec, given| fill_list(&mut spec.pod_affinity, given, records),
)
.at("/spec/affinity/podAffinity")
.check(|spec| spec.pod_affinity.iter().try_for_each(check_pods))
.shown(|spec| {
    list(&spec.pod_affinity, |rule| {
        let how = if rule.apart { "apart" } else { "near" };
        let labels: Vec<_> = rule
            .labels
            .iter()
            .map(|(key, value)| format!(" {key}={value}"))
            .collect();
        let weight = weight_text(rule.weight);
        format!("{how} {}{}{weight}", rule.topology, labels.concat())
    })
})
.write(write_pods);

fn weight_text(weight: Option<u32>) -> String {
    weight.map_or_else(String::new, |weight| format!(" preferred by {weight}"))
}

fn check_weight(weight: Option<u32>) -> Check {
    match weight {
        Some(weight) if !(1..=100).contains(&weight) => {
            Err(Wrong::new(weight, "a weight is 1 to 100"))
        }
        _ => Ok(()),
    }
}

fn check_nodes(rule: &NodeAffinity) -> Check {
    names::key(&rule.key)?;
    check_weight(rule.weight)?;
    let values = &rule.values;
    let word = rule.operator.as_str();
    let shown = || format!("{} {word} {}", rule.key, values.join("|"));
    match rule.operator {
        NodeOperator::In | NodeOperator::NotIn if values.is_empty() => {
            Err(Wrong::new(shown(), "it needs a value"))
        }
        NodeOperator::Exists | NodeOperator::DoesNotExist if !values.is_empty() => {
            Err(Wrong::new(shown(), "it has no value"))
        }
        NodeOperator::Gt | NodeOperator::Lt
            if values.len() != 1 || values[0].parse::<i64>().is_err() =>
        {
            Err(Wrong::new(shown(), "it needs one whole number"))
        }
        _ => {
            let mut all = values.iter();
            all.try_for_each(|value| names::value(&rule.key, value))
        }
    }
}

fn check_pods(rule: &PodAffinity) -> Check {
    names::key(&rule.topology)?;
    check_weight(rule.weight)?;
    rule.labels.iter().try_for_each(|(key, value)| {
        names::key(key)?;
        names::value(key, value)
    })
}

/// A weight as the API has it; the check has bounded it.
fn weight(weight: u32) -> i32 {
    i32::try_from(weight).unwrap_or(100)
}

fn requirement(rule: &NodeAffinity) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: rule.key.clone(),
        operator: rule.operator.as_str().to_owned(),
        values: Some(rule.values.clone()).filter(|values| !values.is_empty()),
    }
}

fn write_nodes(spec: &WorkerSpec, draft: &mut Draft) {
    let (preferred, needed): (Vec<_>, Vec<_>) = spec
        .node_affinity
        .iter()
        .partition(|rule| rule.weight.is_some());
    if !needed.is_empty() {
        draft.need(&[needed.into_iter().map(requirement).collect()]);
    }
    for rule in preferred {
        let term = PreferredSchedulingTerm {
            weight: weight(rule.weight.unwrap_or(1)),
            preference: NodeSelectorTerm {
                match_expressions: Some(vec![requirement(rule)]),
                match_fields: None,
            },
        };
        let nodes = draft.affinity().node_affinity.get_or_insert_default();
        let all = &mut nodes.preferred_during_scheduling_ignored_during_execution;
        all.get_or_insert_default().push(term);
    }
}

/// The workers of a run.
pub(super) fn of_run(run: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(RUN_LABEL.to_owned(), run.to_owned())])),
        match_expressions: None,
    }
}

fn write_pods(spec: &WorkerSpec, draft: &mut Draft) {
    for rule in &spec.pod_affinity {
        let selector = if rule.labels.is_empty() {
            of_run(&draft.run)
        } else {
            LabelSelector {
                match_labels: Some(rule.labels.iter().cloned().collect()),
                match_expressions: None,
            }
        };
        let term = PodAffinityTerm {
            label_selector: Some(selector),
            topology_key: rule.topology.clone(),
            ..PodAffinityTerm::default()
        };
        add(draft, rule, term);
    }
}

/// The API has the same two lists for both kinds.
fn add(draft: &mut Draft, rule: &PodAffinity, term: PodAffinityTerm) {
    let affinity = draft.affinity();
    let (required, preferred) = if rule.apart {
        let apart = affinity.pod_anti_affinity.get_or_insert_default();
        (
            &mut apart.required_during_scheduling_ignored_during_execution,
            &mut apart.preferred_during_scheduling_ignored_during_execution,
        )
    } else {
        let near = affinity.pod_affinity.get_or_insert_default();
        (
            &mut near.required_during_scheduling_ignored_during_execution,
            &mut near.preferred_during_scheduling_ignored_during_execution,
        )
    };
    match rule.weight {
        None => required.get_or_insert_default().push(term),
        Some(wanted) => preferred
            .get_or_insert_default()
            .push(WeightedPodAffinityTerm {
                pod_affinity_term: term,
                weight: weight(wanted),
            }),
    }
}
