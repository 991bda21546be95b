//! What the suites of Pub/Sub need: an emulator to talk to, and a server that refuses.

pub mod emulator;
pub mod refusing;
