//! Arguments and results of a task as JSON, by the types of its function.
//!
//! Arguments are an object with the names of the parameters, or an array in their order.

mod given;

use std::any::Any;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

use crate::codec::{self, CodecError};
use crate::envelope::Arguments;
use crate::outcome::{MESSAGE, displayed};
use crate::registry::RegistryError;
use crate::signature::Parameter;

use self::given::Given;

/// Why a task's arguments or result cannot be read from JSON, or shown as JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The program's tasks cannot be used, or it has none of this name.
    #[error(transparent)]
    Tasks(#[from] RegistryError),
    /// The program has no task of this name.
    #[error("the program has no task {task:?}{}", meant(.near.as_deref()))]
    NoTask {
        /// The name that was given.
        task: String,
        /// The name that may be meant.
        near: Option<String>,
    },
    /// The text is no JSON, or neither an object nor an array.
    #[error(
        "the arguments are no JSON object and no JSON array: {0}; give an object with the parameters' names, or an array in their order"
    )]
    Text(String),
    /// An array of another length.
    #[error("{given} arguments were given, and the task takes {expected}{}", parameters(.names))]
    #[non_exhaustive]
    Count {
        /// Elements of the array.
        given: usize,
        /// Parameters of the task.
        expected: usize,
        /// Their names.
        names: Vec<&'static str>,
    },
    /// The task has no parameter of this name.
    #[error("the task has no parameter {name:?}{}", parameters(.names))]
    #[non_exhaustive]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names of its parameters.
        names: Vec<&'static str>,
    },
    /// A parameter was given twice.
    #[error("the argument {0:?} is given twice")]
    Twice(String),
    /// A parameter was not given.
    #[error("the argument {0:?} is missing")]
    Missing(&'static str),
    /// A value is not of the parameter's type.
    #[error("the argument {name:?} is not what the task takes: {reason}")]
    #[non_exhaustive]
    Argument {
        /// The parameter.
        name: &'static str,
        /// The type's own reason.
        reason: String,
    },
    /// A value that JSON cannot carry, such as a map whose keys are no texts.
    #[error("the value cannot be shown as JSON: {0}")]
    Value(String),
    /// Bytes that are no such value.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The name that may be meant, as the end of a sentence.
fn meant(near: Option<&str>) -> String {
    near.map_or_else(
        || "; `json::tasks()` lists those that it has, and a crate that the program never names is not linked: write `use my_tasks as _;`".to_owned(),
        |near| format!("; is {near:?} meant?"),
    )
}

fn parameters(names: &[&str]) -> String {
    match names {
        [] => " (it takes none)".to_owned(),
        names => format!(" ({})", names.join(", ")),
    }
}

/// Reads and writes JSON by the types of one task; `#[task]` registers it.
#[derive(Clone, Copy, Debug)]
pub struct JsonCodec {
    arguments_from: fn(&[Parameter], &str) -> Result<Arguments, JsonError>,
    arguments_to: fn(&[Parameter], &[u8]) -> Result<String, JsonError>,
    output_to: fn(&[u8]) -> Result<String, JsonError>,
}

impl JsonCodec {
    /// For a task with arguments `A`, a tuple, and output `T`.
    #[must_use]
    pub const fn of<A, T>() -> Self
    where
        A: Serialize + DeserializeOwned,
        T: Serialize + DeserializeOwned,
    {
        Self {
            arguments_from: arguments_from::<A>,
            arguments_to: arguments_to::<A>,
            output_to: output_to::<T>,
        }
    }

    /// Encodes arguments that are given as JSON.
    ///
    /// # Errors
    /// [`JsonError`], which names the parameter.
    pub fn arguments_from(
        &self,
        parameters: &[Parameter],
        text: &str,
    ) -> Result<Arguments, JsonError> {
        (self.arguments_from)(parameters, text)
    }

    /// Encoded arguments as a JSON object with the parameters' names.
    ///
    /// # Errors
    /// [`JsonError`] when the bytes are no such arguments, and when JSON cannot carry one.
    pub fn arguments_to(
        &self,
        parameters: &[Parameter],
        bytes: &[u8],
    ) -> Result<String, JsonError> {
        (self.arguments_to)(parameters, bytes)
    }

    /// An encoded result as JSON. A number that is not finite is `null`.
    ///
    /// # Errors
    /// [`JsonError`] when the bytes are no such result, and when JSON cannot carry it.
    pub fn output_to(&self, bytes: &[u8]) -> Result<String, JsonError> {
        (self.output_to)(bytes)
    }
}

fn arguments_from<A>(parameters: &[Parameter], text: &str) -> Result<Arguments, JsonError>
where
    A: Serialize + DeserializeOwned,
{
    let mut given = Given::read(parameters, text)?;
    let arguments = A::deserialize(&mut given).map_err(|error| given.error(&error))?;
    Ok(Arguments::encode(&arguments)?)
}

fn arguments_to<A>(parameters: &[Parameter], bytes: &[u8]) -> Result<String, JsonError>
where
    A: Serialize + DeserializeOwned,
{
    // A tuple of nothing is `null`.
    if parameters.is_empty() {
        return Ok("{}".to_owned());
    }
    let array = text(&codec::decode::<A>(bytes)?)?;
    let values: Vec<&RawValue> = serde_json::from_str(&array).map_err(|error| refused(&error))?;
    let mut object = String::with_capacity(array.len() + 16 * parameters.len());
    for (parameter, value) in parameters.iter().zip(values) {
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&text(&parameter.name)?);
        object.push(':');
        object.push_str(value.get());
    }
    object.push('}');
    Ok(object)
}

fn output_to<T>(bytes: &[u8]) -> Result<String, JsonError>
where
    T: Serialize + DeserializeOwned,
{
    text(&codec::decode::<T>(bytes)?)
}

fn text<T: Serialize>(value: &T) -> Result<String, JsonError> {
    serde_json::to_string(value).map_err(|error| refused(&error))
}

fn refused(error: &serde_json::Error) -> JsonError {
    JsonError::Value(displayed(error, MESSAGE))
}

/// The result of a task that was called by its name, as JSON text. A number that is not finite is `null`, as serde_json
/// writes it.
// It is decoded by the task's own type. It implements `Deserialize` because futures require it of their results, and
// not `Serialize`, so that no task can return it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json(String);

impl Json {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(value.get().to_owned()))
    }
}

/// Decodes a task's result: by `decode`, or where a caller expects [`Json`] by the task's own type.
///
/// # Errors
/// [`CodecError`] when the bytes are no such result, or JSON cannot carry it.
pub fn decode_output<T: 'static>(
    codec: &JsonCodec,
    bytes: &[u8],
    decode: impl FnOnce() -> Result<T, CodecError>,
) -> Result<T, CodecError> {
    // Known when the function is compiled for `T`: other types pay nothing for the question.
    let mut place = None::<T>;
    let json: &mut dyn Any = &mut place;
    let Some(json) = json.downcast_mut::<Option<Json>>() else {
        return decode();
    };
    match codec.output_to(bytes) {
        Ok(text) => *json = Some(Json(text)),
        Err(JsonError::Codec(error)) => return Err(error),
        Err(error) => return Err(CodecError::Decode(error.to_string())),
    }
    place.map_or_else(decode, Ok)
}

#[cfg(test)]
mod tests;
