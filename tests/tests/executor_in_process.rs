//! The executor's suite with threads of this process for slots.

podpool::test_slots!();

podpool_tests::executor_suite!(vec![podpool_tests::bed::Bed::in_process()]);
