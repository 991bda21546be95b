//! What a task's function says of itself beside its types: documentation, the names of its parameters, and the way from
//! and to JSON.

use crate::json::JsonCodec;

/// The signature of a task's function, as `#[task]` read it.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the code that `#[task]` writes makes it"
)]
pub struct Signature {
    /// The function's documentation, without the comment marks; empty where it has none.
    pub docs: &'static str,
    /// The parameters that travel, in order: all but the `&TaskContext`.
    pub parameters: &'static [Parameter],
    /// Arguments and results as JSON.
    pub json: JsonCodec,
}

/// One parameter of a task's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its documentation; empty where it has none.
    pub docs: &'static str,
}

impl Parameter {
    /// A parameter of this name, with this documentation. For the code that `#[task]` writes.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, docs: &'static str) -> Self {
        Self { name, docs }
    }
}

impl Signature {
    /// Of a function without parameters and documentation, which returns nothing.
    pub const EMPTY: Self = Self {
        docs: "",
        parameters: &[],
        json: JsonCodec::of::<(), ()>(),
    };
}
