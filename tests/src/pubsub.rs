//! What the suites of Pub/Sub need: an emulator to talk to, a run's queues on it, and a server that refuses.

pub mod emulator;
pub mod left;
pub mod refusing;
pub mod run;
