//! The executor's suite on the default back-end: child processes of this test's own executable.

podpool::test_slots!();

podpool_tests::executor_suite!(vec![podpool_tests::bed::Bed::process()]);
