//! Tasks by their names, with JSON for arguments and results: for command lines, pages, and callers in other languages.
//!
//! ```no_run
//! use podpool::json;
//! use podpool::prelude::*;
//!
//! /// The square of a number.
//! #[podpool::task(name = "square")]
//! fn square(n: u64) -> u64 {
//!     n * n
//! }
//!
//! #[podpool::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     for task in json::tasks()? {
//!         println!("{} {:?}: {}", task.name, task.parameters, task.docs);
//!     }
//!     let pool = PodPoolExecutor::builder().build().await?;
//!     let call = json::call("square", r#"{"n": 7}"#)?;
//!     println!("{}", pool.submit(call).await?);
//!     Ok(pool.shutdown().await?)
//! }
//! ```
//!
//! Arguments are read, and results shown, by the types of the function, on this side: on the way they are encoded as
//! those of any other call.

use podpool_core::registry::Registry;
use podpool_core::task::{Call, TaskSpec};

pub use podpool_core::json::{Json, JsonError};
pub use podpool_core::signature::Parameter;

/// A task of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// Its name: `crate::module::function`, or what `#[task(name = "…")]` gives.
    pub name: &'static str,
    /// The documentation of its function; empty where it has none.
    pub docs: &'static str,
    /// The parameters that travel, in order.
    pub parameters: &'static [Parameter],
}

impl Task {
    const fn of(spec: &TaskSpec) -> Self {
        Self {
            name: spec.name,
            docs: spec.signature.docs,
            parameters: spec.signature.parameters,
        }
    }
}

/// All tasks that are linked into this program, sorted by name. A crate that the program never names is not linked:
/// write `use my_tasks as _;`.
///
/// # Errors
/// [`JsonError::Tasks`] when two tasks have one name.
pub fn tasks() -> Result<Vec<Task>, JsonError> {
    Ok(Registry::global()?.iter().map(Task::of).collect())
}

/// A call of the task of this name, as its constructor makes one. `arguments` is a JSON object with the names of the
/// parameters, or an array in their order; a parameter whose type accepts `null`, such as an `Option`, may be left out
/// of an object. The call takes every option of a call, and its result is JSON.
///
/// # Errors
/// [`JsonError`]: the program has no such task, or the parameter that is missing, unknown or of another type.
pub fn call(task: &str, arguments: &str) -> Result<Call<Json>, JsonError> {
    Call::from_json(Registry::global()?.find(task)?, arguments)
}
