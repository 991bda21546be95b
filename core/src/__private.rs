//! What the code that `#[task]` and `#[main]` write needs. Not for users: it may change in any release.

use std::error::Error;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use linkme;
pub use std::boxed::Box;
pub use std::fmt::format;
pub use std::format_args;
pub use std::option::Option;
pub use std::option::Option::{None, Some};
pub use std::result::Result;
pub use std::sync::OnceLock;
pub use std::vec::Vec;

pub use crate::codec::{Lent, Owned};
pub use crate::commit::{output_is_there, output_is_there_blocking};
pub use crate::json::JsonCodec;
pub use crate::outcome::Failure;
pub use crate::registry::TASKS;
pub use crate::shape::trace as shape;
pub use crate::signature::{Parameter, Signature};
pub use crate::task::{Body, BodyFuture, Call, TaskContext, TaskOptions, TaskSpec};

use crate::{codec, permanent};

/// What a task may take: an owned value that can be sent to another process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a task",
    note = "an argument is owned, Send, and implements serde's Serialize and Deserialize"
)]
pub trait Argument: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Argument for T {}

/// What a task may return: an owned value that can come back from another process.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a task",
    note = "an output is owned, Send, and implements serde's Serialize and Deserialize"
)]
pub trait Output: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Output for T {}

/// What a fallible task returns: a `Result`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is taken for a Result, and is none",
    note = "a task whose return type is called `Result`, or that says `fallible`, returns a std Result"
)]
pub trait Fallible {
    /// The output.
    type Ok;
    /// The task's own error.
    type Error;

    /// The result itself.
    ///
    /// # Errors
    /// The task's own.
    fn into_result(self) -> Result<Self::Ok, Self::Error>;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// What a task with an `output` returns.
#[diagnostic::on_unimplemented(
    message = "a task with an `output` returns `()`, and this one returns `{Self}`",
    note = "where the output exists the task is skipped, and then it has no value to return: return `()`, or name a \
            function that gives the value with `skip_if`"
)]
pub trait Nothing {}

impl Nothing for () {}

/// Does nothing: it compiles only for the type that a task with an `output` returns.
pub const fn check_nothing<T: Nothing>() {}

/// Notes that the body of a task is left out.
pub fn mark_skipped(context: &TaskContext) {
    context.skip.mark();
}

/// Does nothing: it compiles only for a type that may be an argument.
pub const fn check_argument<T: Argument>() {}

/// Does nothing: it compiles only for a type that may be an output.
pub const fn check_output<T: Output>() {}

/// Makes the call of a task that cannot fail.
pub fn call<T, A: Serialize>(spec: &'static TaskSpec, arguments: &A) -> Call<T> {
    Call::new(spec, arguments)
}

/// Makes the call of a fallible task; the bound ties the call's output to what the function returns.
pub fn call_fallible<R: Fallible, A: Serialize>(
    spec: &'static TaskSpec,
    arguments: &A,
) -> Call<R::Ok> {
    Call::new(spec, arguments)
}

/// Decodes the tuple of arguments.
///
/// # Errors
/// [`Failure`] with cause `Rejected` when the bytes are no such tuple.
pub fn decode_arguments<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, Failure> {
    codec::decode(bytes).map_err(|error| Failure::codec(&error))
}

/// Appends the encoded output.
///
/// # Errors
/// [`Failure`] with cause `Rejected` when the output's `Serialize` refuses.
pub fn encode_output<T: Serialize + 'static>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), Failure> {
    codec::encode_into(&Lent(value), bytes).map_err(|error| Failure::codec(&error))
}

/// The output of a fallible task, or the failure that its error becomes. `retry_on` receives the error while it has its
/// type.
///
/// # Errors
/// [`Failure`] with cause `Failed` for the task's own error.
pub fn judge<R>(returned: R, retry_on: fn(&R::Error) -> bool) -> Result<R::Ok, Failure>
where
    R: Fallible,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    returned.into_result().map_err(|error| {
        let retryable = retry_on(&error);
        let error: Box<dyn Error + Send + Sync> = error.into();
        let error: Box<dyn Error> = error;
        permanent::failed(&*error, retryable)
    })
}

/// The `retry_on` of a task that names none.
pub fn always<E: ?Sized>(_: &E) -> bool {
    true
}

const _: fn() = || {
    fn sound<T: Debug + Sync>() {}
    sound::<TaskSpec>();
};
