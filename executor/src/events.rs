//! What happens in a run, one event after the other: [`PodPoolExecutor::events`](crate::PodPoolExecutor::events).

pub use crate::client::events::Events;
pub use crate::master::events::{Event, EventKind, TaskInfo};
pub use podpool_core::place::WorkerPlace;
