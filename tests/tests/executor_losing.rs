//! Storms over queues that lose messages, and over queues that misbehave while slots die.

podpool::test_slots!();

mod losing {
    podpool_tests::rows! { podpool_tests::seeds::losing(5); storm;
        lost_messages_are_published_again();
    }
}

mod processes {
    podpool_tests::rows! { podpool_tests::seeds::chaotic_processes(3); storm;
        every_future_ends_once_and_right();
        slots_die_in_the_storm(Processes);
    }
}
