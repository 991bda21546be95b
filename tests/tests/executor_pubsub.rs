//! The executor's suite with child processes over topics of Google's emulator.

podpool::test_slots!();

podpool_tests::executor_suite!(Vec::from_iter(podpool_tests::bed::Bed::pubsub()));
