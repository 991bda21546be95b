//! Values as users write them in a variable, which is always a text, and in `podpool.toml`, where numbers, lists and
//! tables are possible too. Both are read by the same functions.

mod containers;
mod fields;
mod nodes;
mod volumes;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::units::{parse_bytes, parse_cores, parse_duration};
use fields::Fields;

pub(super) use self::containers::{names, seccomp, variables};
pub(super) use self::volumes::key_of;

/// A value, or what may be written instead.
pub(super) type Parsed<T> = Result<T, String>;
/// The names that were filled. A setting with one value has the empty name.
pub(super) type Filled = Parsed<Vec<String>>;

/// Fills a setting that nothing filled before.
pub(super) fn fill<T>(
    slot: &mut Option<T>,
    given: &Value,
    parse: fn(&Value) -> Parsed<T>,
) -> Filled {
    if slot.is_some() {
        return Ok(Vec::new());
    }
    *slot = Some(parse(given)?);
    Ok(vec![String::new()])
}

/// Fills a list that nothing filled before: lists of two sources are not mixed.
pub(super) fn fill_list<T>(
    slot: &mut Vec<T>,
    given: &Value,
    parse: fn(&Value) -> Parsed<Vec<T>>,
) -> Filled {
    if !slot.is_empty() {
        return Ok(Vec::new());
    }
    *slot = parse(given)?;
    Ok(vec![String::new()])
}

/// Fills the keys that nothing filled before, each by itself.
pub(super) fn fill_map<T>(
    slot: &mut BTreeMap<String, T>,
    given: &Value,
    parse: fn(&Value) -> Parsed<T>,
) -> Filled {
    let mut filled = Vec::new();
    for (key, value) in pairs(given)? {
        if !slot.contains_key(&key) {
            let value = parse(&value).map_err(|reason| format!("of {key}: {reason}"))?;
            slot.insert(key.clone(), value);
            filled.push(key);
        }
    }
    Ok(filled)
}

/// A text, as it is.
pub(super) fn word(given: &Value) -> Parsed<String> {
    match given {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err("use a text".to_owned()),
    }
}

/// A text, a whole number or a truth value: what the value of a variable or a label may be.
pub(super) fn scalar(given: &Value) -> Parsed<String> {
    match given {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("use a text; other values need quotes".to_owned()),
    }
}

/// The text of a scalar, for parsers of texts. Fractions keep their shortest form: 0.1 is `0.1`.
fn text(given: &Value) -> Option<String> {
    match given {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number.
pub(super) fn number<T: FromStr>(given: &Value) -> Parsed<T> {
    let number = text(given).and_then(|text| text.parse().ok());
    number.ok_or_else(|| "use a whole number, which is not too large".to_owned())
}

/// A truth value.
pub(super) fn flag(given: &Value) -> Parsed<bool> {
    match given {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) if matches!(text.trim(), "true" | "1") => Ok(true),
        Value::String(text) if matches!(text.trim(), "false" | "0") => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

/// Cores, as thousandths.
pub(super) fn cores(given: &Value) -> Parsed<u64> {
    parse_cores(&text(given).unwrap_or_default())
}

/// Bytes.
pub(super) fn bytes(given: &Value) -> Parsed<u64> {
    parse_bytes(&text(given).unwrap_or_default())
}

/// A duration, which needs a unit.
pub(super) fn duration(given: &Value) -> Parsed<Duration> {
    parse_duration(&text(given).unwrap_or_default())
}

/// One of these, by its name in any case.
pub(super) fn one_of<T: Copy>(
    given: &Value,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Parsed<T> {
    let word = text(given).unwrap_or_default();
    let found = all
        .iter()
        .copied()
        .find(|one| name(*one).eq_ignore_ascii_case(&word));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        format!("use {}", names.join(", "))
    })
}

/// Texts: a list, or a text with commas.
pub(super) fn words(given: &Value) -> Parsed<Vec<String>> {
    const WRONG: &str = "use a list of texts, or one text with commas";
    match given {
        Value::String(text) => Ok(parts(text).map(str::to_owned).collect()),
        Value::Array(all) => all
            .iter()
            .map(|one| word(one).map_err(|_| WRONG.to_owned()))
            .collect(),
        _ => Err(WRONG.to_owned()),
    }
}

/// The parts of a text between commas, without those that are empty.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Keys and values: a table, or a text `key=value,key=value`. Each key once.
fn pairs(given: &Value) -> Parsed<Vec<(String, Value)>> {
    let pairs: Vec<(String, Value)> = match given {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        Value::String(text) => parts(text)
            .enumerate()
            .map(|(number, part)| pair(number + 1, part))
            .collect::<Parsed<_>>()?,
        _ => return Err("use a table, or a text key=value,key=value".to_owned()),
    };
    for (number, (key, _)) in pairs.iter().enumerate() {
        if pairs[..number].iter().any(|(other, _)| other == key) {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(pairs)
}

/// One `key=value`. The part itself is not quoted: it may be the rest of a secret that has a comma.
fn pair(number: usize, part: &str) -> Parsed<(String, Value)> {
    let (key, value) = part.split_once('=').ok_or_else(|| {
        format!(
            "part {number} has no '='; use key=value,key=value; a value with a comma can be set by the program or in podpool.toml"
        )
    })?;
    Ok((key.to_owned(), Value::String(value.to_owned())))
}

/// A value with several parts.
pub(super) trait Record: Sized {
    /// From its short form.
    fn of_text(text: &str) -> Parsed<Self>;

    /// From a table.
    fn of_fields(fields: &mut Fields<'_>) -> Parsed<Self>;
}

/// Such values: a list of tables and short forms, or a text with short forms and commas, or with JSON.
pub(super) fn records<T: Record>(given: &Value) -> Parsed<Vec<T>> {
    let one = |given: &Value| match given {
        Value::String(text) => T::of_text(text.trim()),
        Value::Object(map) => {
            let mut fields = Fields::of(map);
            let value = T::of_fields(&mut fields)?;
            fields.end().map(|()| value)
        }
        _ => Err("use a table or a text".to_owned()),
    };
    let numbered = |(number, given): (usize, &Value)| {
        one(given).map_err(|reason| format!("number {}: {reason}", number + 1))
    };
    match given {
        Value::Array(all) => all.iter().enumerate().map(numbered).collect(),
        Value::Object(_) => Ok(vec![one(given)?]),
        Value::String(text) if text.trim_start().starts_with(['[', '{']) => {
            let given: Value =
                serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))?;
            records(&given)
        }
        Value::String(text) => {
            let all: Vec<_> = parts(text).map(Value::from).collect();
            all.iter().enumerate().map(numbered).collect()
        }
        _ => Err("use a list of tables or texts".to_owned()),
    }
}
