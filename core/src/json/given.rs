//! Arguments as they were given, one JSON text for each parameter.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::JsonError;
use crate::outcome::{MESSAGE, displayed};
use crate::signature::Parameter;

/// One value for each parameter, read as a tuple.
pub(super) struct Given<'a> {
    parameters: &'a [Parameter],
    /// None where an object left it out: `null` is read then, which some types accept.
    values: Vec<Option<&'a RawValue>>,
    /// How many were read, with one that failed.
    read: usize,
}

impl<'a> Given<'a> {
    /// Reads an object with the parameters' names, or an array in their order.
    pub(super) fn read(parameters: &'a [Parameter], text: &'a str) -> Result<Self, JsonError> {
        let no_json = |error: serde_json::Error| JsonError::Text(displayed(&error, MESSAGE));
        let values = if text.trim_start().starts_with('{') {
            let Object(members) = serde_json::from_str(text).map_err(no_json)?;
            by_name(parameters, members)?
        } else {
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(no_json)?;
            if values.len() != parameters.len() {
                return Err(JsonError::Count {
                    given: values.len(),
                    expected: parameters.len(),
                    names: names(parameters),
                });
            }
            values.into_iter().map(Some).collect()
        };
        Ok(Self {
            parameters,
            values,
            read: 0,
        })
    }

    /// Why the value that was read last was refused.
    pub(super) fn error(&self, error: &serde_json::Error) -> JsonError {
        let at = self.read.saturating_sub(1);
        match (self.parameters.get(at), self.values.get(at)) {
            (Some(parameter), Some(None)) => JsonError::Missing(parameter.name),
            (Some(parameter), _) => JsonError::Argument {
                name: parameter.name,
                reason: displayed(error, MESSAGE),
            },
            (None, _) => JsonError::Text(displayed(error, MESSAGE)),
        }
    }
}

fn names(parameters: &[Parameter]) -> Vec<&'static str> {
    parameters.iter().map(|parameter| parameter.name).collect()
}

/// The members of an object in the order of the parameters.
fn by_name<'a>(
    parameters: &[Parameter],
    members: Vec<(String, &'a RawValue)>,
) -> Result<Vec<Option<&'a RawValue>>, JsonError> {
    let mut values = vec![None; parameters.len()];
    for (name, value) in members {
        let Some(at) = parameters.iter().position(|it| it.name == name) else {
            let names = names(parameters);
            return Err(JsonError::Unknown { name, names });
        };
        if values[at].replace(value).is_some() {
            return Err(JsonError::Twice(name));
        }
    }
    Ok(values)
}

/// The members of an object in their order, repeated names too.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

impl<'de> Deserializer<'de> for &mut Given<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_seq(self)
    }

    /// The arguments of a task without parameters.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for Given<'de> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let Some(value) = self.values.get(self.read) else {
            return Ok(None);
        };
        self.read += 1;
        let text = value.map_or("null", RawValue::get);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        seed.deserialize(&mut deserializer).map(Some)
    }
}
