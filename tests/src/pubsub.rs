//! What the suites of Pub/Sub need: an emulator, a run's queues on the emulator, and a server that refuses calls.

pub mod emulator;
pub mod left;
pub mod refusing;
pub mod run;
