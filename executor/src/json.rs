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

/// How alike two names must be, of 1, for one to be meant by the other.
// One wrong letter of four or more; see the same number for variables.
const ALIKE: f64 = 0.7;

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
    let registry = Registry::global()?;
    let Some(index) = registry.index_of(task) else {
        let names: Vec<_> = registry.iter().map(|spec| spec.name).collect();
        let near = near(task, &names).map(str::to_owned);
        let task = task.to_owned();
        return Err(JsonError::NoTask { task, near });
    };
    // Its index is the registry's.
    let spec = registry
        .get(index)
        .map_or_else(|| registry.find(task), Ok)?;
    Call::from_json(spec, arguments)
}

/// The name that is most like this one, or ends with it.
fn near<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    let ends = |name: &&&str| name.rsplit("::").next() == Some(given);
    if let Some(whole) = names.iter().find(ends) {
        return Some(whole);
    }
    let alike = |name: &str| strsim::normalized_levenshtein(given, name);
    let nearest = names
        .iter()
        .max_by(|one, other| alike(one).total_cmp(&alike(other)));
    nearest.copied().filter(|name| alike(name) >= ALIKE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_meant_is_found() {
        let names = ["prices::clean", "prices::load", "weather::clean_hours"];
        assert_eq!(near("load", &names), Some("prices::load"));
        assert_eq!(near("prices::claen", &names), Some("prices::clean"));
        assert_eq!(near("count", &names), None);
        assert_eq!(near("count", &[]), None);
    }
}
