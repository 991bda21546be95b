//! How rules for nodes and other pods are written.

use serde_json::Value;

use super::fields::{Fields, label, name};
use super::{Parsed, Record, flag, number, one_of, pairs, scalar};
use crate::fleet::worker_spec::{
    NodeAffinity, NodeOperator, PodAffinity, Spread, TaintEffect, Toleration,
};

const EFFECTS: [TaintEffect; 3] = [
    TaintEffect::NoSchedule,
    TaintEffect::PreferNoSchedule,
    TaintEffect::NoExecute,
];
const OPERATORS: [NodeOperator; 6] = [
    NodeOperator::In,
    NodeOperator::NotIn,
    NodeOperator::Exists,
    NodeOperator::DoesNotExist,
    NodeOperator::Gt,
    NodeOperator::Lt,
];

fn effect(given: &Value) -> Parsed<TaintEffect> {
    one_of(given, &EFFECTS, TaintEffect::as_str)
}

impl Record for Toleration {
    fn of_text(text: &str) -> Parsed<Self> {
        // A label's key and value have no ':'.
        let (taint, word) = text
            .split_once(':')
            .map_or((text, None), |(taint, word)| (taint, Some(word)));
        let (key, value) = taint
            .split_once('=')
            .map_or((taint, None), |(key, value)| (key, Some(value)));
        if key.is_empty() {
            return Err("use key, key=value, key:Effect or key=value:Effect".to_owned());
        }
        let word = word.map(|word| effect(&Value::from(word)));
        Ok(Self {
            key: Some(key.to_owned()),
            value: value.map(str::to_owned),
            effect: word.transpose()?,
            seconds: None,
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            key: fields.may("key", name)?,
            value: fields.may("value", label)?,
            effect: fields.may("effect", effect)?,
            seconds: fields.may("seconds", number)?,
        })
    }
}

impl Record for NodeAffinity {
    fn of_text(_: &str) -> Parsed<Self> {
        Err("use a list of {\"key\": …, \"operator\": …, \"values\": […]}".to_owned())
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        let operator = |given: &Value| one_of(given, &OPERATORS, NodeOperator::as_str);
        let values = |given: &Value| match given {
            Value::Array(all) => all.iter().map(scalar).collect(),
            one => scalar(one).map(|one| vec![one]),
        };
        Ok(Self {
            key: fields.must("key", name)?,
            operator: fields
                .may("operator", operator)?
                .unwrap_or(NodeOperator::In),
            values: fields.may("values", values)?.unwrap_or_default(),
            weight: fields.may("weight", number)?,
        })
    }
}

impl Record for PodAffinity {
    fn of_text(_: &str) -> Parsed<Self> {
        Err("use a list of {\"near\": …} and {\"apart\": …}".to_owned())
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        let labels = |given: &Value| {
            let pairs = pairs(given)?.into_iter();
            pairs
                .map(|(key, value)| Ok((key, scalar(&value)?)))
                .collect::<Parsed<Vec<_>>>()
        };
        let (near, apart) = (fields.may("near", name)?, fields.may("apart", name)?);
        let (apart, topology) = match (near, apart) {
            (Some(topology), None) => (false, topology),
            (None, Some(topology)) => (true, topology),
            _ => return Err("give either near or apart, a label of nodes".to_owned()),
        };
        Ok(Self {
            apart,
            topology,
            labels: fields.may("labels", labels)?.unwrap_or_default(),
            weight: fields.may("weight", number)?,
        })
    }
}

impl Record for Spread {
    fn of_text(text: &str) -> Parsed<Self> {
        let (topology, skew) = text
            .split_once('=')
            .map_or((text, None), |(topology, skew)| (topology, Some(skew)));
        let skew = skew.map(|skew| number(&Value::from(skew))).transpose()?;
        Ok(Self {
            max_skew: skew.unwrap_or(1),
            ..Self::over(topology)
        })
    }

    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self> {
        Ok(Self {
            topology: fields.must("over", name)?,
            max_skew: fields.may("max_skew", number)?.unwrap_or(1),
            strict: fields.may("strict", flag)?.unwrap_or(false),
        })
    }
}
