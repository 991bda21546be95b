//! The names that most programs use: `use podpool::prelude::*`.

pub use crate::{
    Call, CancelOutcome, Committed, PodPoolExecutor, ReturnWhen, ShutdownBehavior, TaskContext,
    TaskError, TaskErrorKind, TaskFuture, as_completed, gather, wait,
};
