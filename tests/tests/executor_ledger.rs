//! The executor's suite with runs that are remembered: child processes, threads, and threads over queues that misbehave.

podpool::test_slots!();

podpool_tests::executor_suite!(podpool_tests::seeds::remembered());
