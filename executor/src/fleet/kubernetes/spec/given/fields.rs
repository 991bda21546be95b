//! The fields of a table: each is taken once, and what nobody took is an error.

use serde_json::{Map, Value};

use super::{Parsed, text, word};
use crate::fleet::kubernetes::spec::names::meant;

/// A table that is being read.
pub(in super::super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) const fn of(map: &'a Map<String, Value>) -> Self {
        let known = Vec::new();
        Self { map, known }
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name)
    }

    /// A field that may be absent.
    pub(super) fn may<T>(
        &mut self,
        name: &'static str,
        parse: fn(&Value) -> Parsed<T>,
    ) -> Parsed<Option<T>> {
        let given = self.take(name).filter(|given| !given.is_null());
        let parsed = given.map(parse).transpose();
        parsed.map_err(|reason| format!("{name}: {reason}"))
    }

    /// A field that must be there.
    pub(super) fn must<T>(
        &mut self,
        name: &'static str,
        parse: fn(&Value) -> Parsed<T>,
    ) -> Parsed<T> {
        self.may(name, parse)?
            .ok_or_else(|| format!("{name} is missing"))
    }

    /// The end of the table: all fields must be known.
    pub(super) fn end(self) -> Parsed<()> {
        let unknown = self.map.keys().find(|key| !self.known.contains(&&***key));
        unknown.map_or(Ok(()), |key| {
            Err(format!(
                "there is no field {key}{}",
                meant(key, &self.known)
            ))
        })
    }
}

/// A text, or nothing where it is empty.
pub(super) fn name(given: &Value) -> Parsed<String> {
    word(given).map_err(|_| "use a text that is not empty".to_owned())
}

/// A whole number as a text, or a text.
pub(super) fn label(given: &Value) -> Parsed<String> {
    text(given).ok_or_else(|| "use a text".to_owned())
}
