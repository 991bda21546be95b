//! The flights program on a cluster: ten pods make the same files, byte for byte, as processes of this machine, also
//! where their master is killed again and again.
//!
//! The cluster is the one that `KUBECONFIG` names, the queue Google's emulator at `PUBSUB_EMULATOR_HOST`, the files are
//! in the bucket `test-bucket` of the server at `AWS_ENDPOINT`. `PODPOOL_TEST_LOAD_IMAGE` is a command that puts a
//! program on the nodes as an image, `PODPOOL_TEST_HOST` this machine's address as pods see it. Where one is missing
//! the test prints that and passes, except where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![expect(
    clippy::print_stdout,
    reason = "what is left out is said, and how long things took"
)]

mod ground;
#[cfg(feature = "ledger")]
mod killed;
mod whole;
