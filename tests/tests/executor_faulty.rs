//! The executor's suite over queues that misbehave, each row with twenty seeds at once.

podpool::test_slots!();

podpool_tests::executor_suite!(podpool_tests::seeds::chaotic());
