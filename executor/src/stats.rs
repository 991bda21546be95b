//! Counts of a run, for a progress line or a metric: [`PodPoolExecutor::stats`](crate::PodPoolExecutor::stats).

pub use crate::master::events::TaskInfo;
pub use crate::master::stats::{Oldest, Stats, Waits, Workers};
