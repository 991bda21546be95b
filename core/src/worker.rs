//! The worker: it takes batches, keeps their leases, feeds slots, publishes results, then acknowledges.
//!
//! The same loop runs in a pod and inside the master on a laptop. [`WorkerState`] decides; the loop only
//! moves messages between it, the queues and the slots.

pub mod conduct;
pub mod effect;
pub mod estimate;
pub mod frame;
mod held;
mod keeper;
mod kept;
pub mod lease;
mod prefetch;
mod printed;
mod pull;
mod replay;
pub mod revoked;
pub mod run;
pub mod state;
mod unauthenticated;

pub use self::conduct::{Conduct, Left};
pub use self::kept::KeptLine;
pub use self::printed::{OutputLine, OutputSink};
pub use self::run::{Order, Queues, Worker};
pub use self::state::{Settings, WorkerState};
