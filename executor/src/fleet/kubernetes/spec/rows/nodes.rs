//! The nodes that workers run on.

mod affinity;
mod spot;

use k8s_openapi::api::core::v1::{Toleration as Tolerated, TopologySpreadConstraint};

use super::super::given::{fill, fill_list, fill_map, one_of, records, scalar, word};
use super::super::names;
use super::super::row::{Check, Row, Wrong, list, map, one};
use crate::fleet::worker_spec::{Spot, Spread, TaintEffect, Toleration};

/// The label of GKE's compute classes.
const COMPUTE_CLASS: &str = "cloud.google.com/compute-class";

pub(super) const ROWS: [Row; 7] = [
    Row::new(
        "node_selector",
        "PODPOOL_NODE_SELECTOR",
        "node_selector",
        |spec, given| fill_map(&mut spec.node_selector, given, scalar),
    )
    .at("/spec/nodeSelector")
    .check(|spec| {
        spec.node_selector.iter().try_for_each(|(key, value)| {
            names::key(key)?;
            names::value(key, value)
        })
    })
    .shown(|spec| map(&spec.node_selector, Clone::clone))
    .write(|spec, draft| {
        if !spec.node_selector.is_empty() {
            let labels = draft.spec.node_selector.get_or_insert_default();
            labels.extend(spec.node_selector.clone());
        }
    }),
    Row::new(
        "toleration",
        "PODPOOL_TOLERATIONS",
        "tolerations",
        |spec, given| fill_list(&mut spec.tolerations, given, records),
    )
    .at("/spec/tolerations")
    .check(|spec| spec.tolerations.iter().try_for_each(check_toleration))
    .shown(|spec| list(&spec.tolerations, toleration_text))
    .write(|spec, draft| {
        if !spec.tolerations.is_empty() {
            let all = draft.spec.tolerations.get_or_insert_default();
            all.extend(spec.tolerations.iter().map(tolerated));
        }
    }),
    affinity::NODES,
    affinity::PODS,
    Row::new("spread", "PODPOOL_SPREAD", "spread", |spec, given| {
        fill_list(&mut spec.spread, given, records)
    })
    .at("/spec/topologySpreadConstraints")
    .check(|spec| {
        spec.spread.iter().try_for_each(|spread| {
            names::key(&spread.topology)?;
            if (1..=i32::MAX as u32).contains(&spread.max_skew) {
                return Ok(());
            }
            let reason = "the skew is 1 worker at least";
            Err(Wrong::new(spread.max_skew, reason))
        })
    })
    .shown(|spec| {
        list(&spec.spread, |spread| {
            let strict = if spread.strict { " strict" } else { "" };
            format!("{}={}{strict}", spread.topology, spread.max_skew)
        })
    })
    .write(|spec, draft| {
        for spread in &spec.spread {
            let rule = constraint(spread, &draft.run);
            let all = draft
                .spec
                .topology_spread_constraints
                .get_or_insert_default();
            all.push(rule);
        }
    }),
    Row::new("spot", "PODPOOL_SPOT", "spot", |spec, given| {
        fill(&mut spec.spot, given, |given| match given {
            // What people write who think of a switch.
            serde_json::Value::Bool(true) => Ok(Spot::Any),
            serde_json::Value::String(text) if text == "true" => Ok(Spot::Any),
            _ => one_of(given, &spot::CLOUDS, Spot::as_str),
        })
    })
    .shown(|spec| one(spec.spot.as_ref(), |spot| spot.as_str().to_owned()))
    .write(spot::write),
    Row::new(
        "compute_class",
        "PODPOOL_COMPUTE_CLASS",
        "compute_class",
        |spec, given| fill(&mut spec.compute_class, given, word),
    )
    .check(|spec| {
        let mut name = spec.compute_class.iter();
        name.try_for_each(|name| names::value(COMPUTE_CLASS, name))
    })
    .shown(|spec| one(spec.compute_class.as_ref(), Clone::clone))
    .write(|spec, draft| {
        let Some(name) = &spec.compute_class else {
            return;
        };
        let labels = draft.spec.node_selector.get_or_insert_default();
        labels.insert(COMPUTE_CLASS.to_owned(), name.clone());
        // GKE adds it to most pods by itself; where nodes of the class are made by hand it does not.
        let taint = Toleration::equals(COMPUTE_CLASS, name).effect(TaintEffect::NoSchedule);
        let all = draft.spec.tolerations.get_or_insert_default();
        all.push(tolerated(&taint));
    }),
];

fn check_toleration(toleration: &Toleration) -> Check {
    let Toleration {
        key,
        value,
        effect,
        seconds,
    } = toleration;
    match key {
        Some(key) => names::key(key)?,
        // The API refuses a value without a key: it would tolerate every key.
        None if value.is_some() => {
            let reason = "a value needs a key";
            return Err(Wrong::new(toleration_text(toleration), reason));
        }
        None => {}
    }
    if let Some(value) = value {
        names::value(key.as_deref().unwrap_or_default(), value)?;
    }
    if seconds.is_some() && *effect != Some(TaintEffect::NoExecute) {
        let reason = "seconds are for the effect NoExecute alone";
        return Err(Wrong::new(toleration_text(toleration), reason));
    }
    match seconds {
        Some(seconds) if i64::try_from(*seconds).is_err() => {
            Err(Wrong::new(seconds, "these are too many seconds"))
        }
        _ => Ok(()),
    }
}

fn toleration_text(toleration: &Toleration) -> String {
    let key = toleration.key.as_deref().unwrap_or("everything");
    let value = toleration.value.as_ref();
    let value = value.map_or_else(String::new, |value| format!("={value}"));
    let effect = toleration.effect.map(TaintEffect::as_str);
    let effect = effect.map_or_else(String::new, |effect| format!(":{effect}"));
    let seconds = toleration.seconds;
    let seconds = seconds.map_or_else(String::new, |seconds| format!(" for {seconds} s"));
    format!("{key}{value}{effect}{seconds}")
}

fn tolerated(toleration: &Toleration) -> Tolerated {
    let operator = if toleration.value.is_some() {
        "Equal"
    } else {
        "Exists"
    };
    Tolerated {
        key: toleration.key.clone(),
        operator: Some(operator.to_owned()),
        value: toleration.value.clone(),
        effect: toleration.effect.map(|effect| effect.as_str().to_owned()),
        toleration_seconds: toleration.seconds.and_then(|it| i64::try_from(it).ok()),
    }
}

fn constraint(spread: &Spread, run: &str) -> TopologySpreadConstraint {
    let otherwise = if spread.strict {
        "DoNotSchedule"
    } else {
        "ScheduleAnyway"
    };
    TopologySpreadConstraint {
        label_selector: Some(affinity::of_run(run)),
        // The check has bounded it.
        max_skew: i32::try_from(spread.max_skew).unwrap_or(i32::MAX),
        topology_key: spread.topology.clone(),
        when_unsatisfiable: otherwise.to_owned(),
        ..TopologySpreadConstraint::default()
    }
}
