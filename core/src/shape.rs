//! The serde shape of a task's arguments and output, and the fingerprint made of it.
//!
//! The shape is found by probing: a deserializer without data records what the type requests and gives it samples
//! (`shape/probe.rs`, `shape/parts.rs`), again and again, until every variant was seen (`shape/search.rs`). The
//! requests are a graph of positions and named types (`shape/model.rs`), and its canonical text is the shape.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{codec, thrown};

mod model;
mod parts;
mod probe;
mod samples;
mod search;
mod tracer;

/// A task's name, version, codec version and shape in 16 bytes: two programs agree on a task only if these are equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Hashes what two programs must agree on. A version stands in for a shape that cannot be traced.
    ///
    /// # Errors
    /// The shape's error, when there is no version to stand in for it.
    pub fn of(
        name: &str,
        version: Option<&str>,
        shape: Result<Shape, ShapeError>,
    ) -> Result<Self, ShapeError> {
        let shape = match (shape, version) {
            (Ok(shape), _) => Some(shape),
            // A stated version replaces only a shape that cannot be traced: beside a shape both count, so a change of
            // the type is noticed although the version stayed.
            (Err(_), Some(_)) => None,
            (Err(error), None) => return Err(error),
        };
        let mut hasher = blake3::Hasher::new();
        // Another version of the codec is another meaning of the same bytes, so it is part of what must agree.
        hasher.update(&[codec::VERSION]);
        for part in [Some(name), version, shape.as_ref().map(Shape::as_str)] {
            // The length goes first, so that no part can pass for the start of the next.
            let length = part.map_or(u64::MAX, |text| text.len() as u64);
            hasher.update(&length.to_le_bytes());
            hasher.update(part.unwrap_or_default().as_bytes());
        }
        // 128 bits: among a million fingerprints two are equal by chance with a probability below 10^-26. Every batch
        // carries some, so they are not longer.
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The traced shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub String);

impl Shape {
    /// The canonical text: equal for two types only if their encodings mean the same.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the arguments hold a map: the order of its entries may differ from process to process, and with it their
    /// encoding. A set is a sequence in the shape, and cannot be told from one.
    #[must_use]
    pub fn arguments_have_maps(&self) -> bool {
        let mut rest = self.as_str();
        while let Some(at) = rest.find(['"', 'm', '-']) {
            rest = &rest[at..];
            if rest.starts_with("map(") {
                return true;
            }
            if rest.starts_with("->") {
                return false;
            }
            // A name in quotes is passed over.
            rest = match rest.strip_prefix('"') {
                Some(name) => after_name(name),
                None => &rest[1..],
            };
        }
        false
    }
}

/// What follows the end of a name, which is escaped as `{:?}` does.
fn after_name(name: &str) -> &str {
    let mut escaped = false;
    for (at, char) in name.char_indices() {
        match char {
            '"' if !escaped => return &name[at + 1..],
            _ => escaped = char == '\\' && !escaped,
        }
    }
    ""
}

/// A type whose shape cannot be traced. The message names the type and states what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ShapeError {
    reason: String,
}

impl ShapeError {
    /// The type takes no sample.
    fn refused(type_name: &str, place: &str, why: &str) -> Self {
        Self::new(format!(
            "the shape of type {type_name}{place} cannot be traced, as it takes none of the samples ({why}): \
             state `version = \"…\"` in the task's attribute, and raise it when the type changes"
        ))
    }

    /// The type requests whatever value follows, and the encoding does not hold its type.
    fn self_describing(type_name: &str, place: &str, what: &str) -> Self {
        Self::new(format!(
            "the shape of type {type_name}{place} cannot be traced, as it asks for {what} (as an untagged, tagged \
             or flattened type or a JSON value does), which the encoding does not carry: send it as text, for \
             example of serde_json; or, if no call ever carries it, state `version = \"…\"` in the task's attribute"
        ))
    }

    /// The type reads something else than it writes.
    fn one_sided(type_name: &str, why: &str) -> Self {
        Self::new(format!(
            "type {type_name} does not read back what it writes ({why}): its Serialize and Deserialize differ, which \
             `skip_serializing_if` and one-sided `skip` or `with` attributes do; remove them, or, if no call ever \
             comes across the difference, state `version = \"…\"` in the task's attribute"
        ))
    }

    /// The type has no end, or is beyond all measure.
    fn boundless(type_name: &str, place: &str, why: &str) -> Self {
        Self::new(format!(
            "the shape of type {type_name}{place} cannot be traced, as {why}: state `version = \"…\"` in the task's \
             attribute, and raise it when the type changes"
        ))
    }

    fn new(reason: String) -> Self {
        Self { reason }
    }
}

/// Traces the shape of a task: `A` is the tuple of its arguments, `O` its output.
///
/// # Errors
/// [`ShapeError`] names the type that cannot be traced.
pub fn trace<A, O>() -> Result<Shape, ShapeError>
where
    A: Serialize + DeserializeOwned,
    O: Serialize + DeserializeOwned,
{
    let arguments = trace_one::<A>()?;
    let output = trace_one::<O>()?;
    Ok(Shape(format!("{arguments}->{output}")))
}

/// Traces one type. A panic of its own code is an error like a refusal.
fn trace_one<T: Serialize + DeserializeOwned>() -> Result<String, ShapeError> {
    // Nothing outlives the panic: tracer and model are made inside.
    catch_unwind(AssertUnwindSafe(search::run::<T>)).unwrap_or_else(|panic| {
        thrown::discard(panic);
        let name = std::any::type_name::<T>();
        Err(ShapeError::refused(name, "", "its own code panicked"))
    })
}

#[cfg(test)]
mod tests;
