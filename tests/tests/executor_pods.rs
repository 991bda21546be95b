//! The executor's suite on a cluster: pods, over topics of Google's emulator.

podpool::test_slots!();

podpool_tests::executor_suite!(Vec::from_iter(podpool_tests::bed::Bed::pods(env!(
    "CARGO_BIN_EXE_pod-worker"
))));
