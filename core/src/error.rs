//! Why a task has no result, for the program that submitted it or ran it in its own process.

mod attempt;
mod task;

pub use self::attempt::AttemptReport;
pub use self::task::{Subject, TaskError, TaskErrorKind};
