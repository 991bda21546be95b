//! The rows, by topic, and the macro that makes tests of them.

pub mod as_completed;
pub mod asked;
pub mod callbacks;
pub mod cancel;
pub mod commit;
pub mod drop;
pub mod errors;
pub mod gather;
pub mod initializer;
pub mod ledger;
pub mod ledger_troubles;
pub mod limits;
pub mod map;
pub mod observe;
pub mod retry;
pub mod shutdown;
pub mod storm;
pub mod submit;
pub mod timeout;
pub mod wait;

/// Makes a test of every row: one module for each topic. The argument gives the beds that a row runs on.
///
/// The parentheses after a row hold what the row needs of a bed, as [`Need`](crate::bed::Need) names the needs.
#[macro_export]
macro_rules! executor_suite {
    ($beds:expr) => {
        $crate::rows! { $beds; submit;
            a_call_gives_its_result();
            each_future_gets_its_own_result();
            a_large_argument_comes_back_whole();
            submitting_works_outside_any_runtime();
            submitting_works_inside_a_blocked_runtime();
            many_threads_submit_at_once();
            a_hundred_thousand_tasks();
            higher_priorities_go_first(Order);
            a_future_reports_its_state();
            a_task_sees_its_context();
            slots_run_side_by_side();
            zero_workers_are_refused();
            a_missing_back_end_names_its_feature(NoCluster);
            a_bad_run_name_is_refused();
            two_pools_work_side_by_side();
            clones_are_one_pool();
            values_nested_too_deep_are_rejected();
        }
        $crate::rows! { $beds; map;
            results_come_in_order();
            keys_come_with_results();
            a_map_goes_far_beyond_its_window();
            an_empty_input_ends_at_once();
            an_endless_input_works();
            inputs_are_taken_lazily();
            a_panicking_input_surfaces();
            a_panicking_function_surfaces();
            an_error_comes_at_its_position_and_ends_the_map();
            an_error_cancels_the_rest(Faultless);
            dropping_the_map_cancels_the_rest(Faultless);
            errors_can_be_returned();
            failures_can_be_bounded();
            a_share_of_failures_can_be_bounded();
            without_order_the_finished_come_first();
            the_timeout_cancels_the_rest(Faultless);
            the_timeout_counts_from_the_call();
            a_stream_of_inputs_works();
            a_map_keeps_its_pool();
            after_a_shutdown_a_map_ends_with_that_error();
            a_shutdown_ends_an_endless_map();
            the_timeout_ends_an_endless_map();
        }
        $crate::rows! { $beds; gather;
            results_are_gathered_in_order();
            a_failure_is_returned_before_the_others_end();
        }
        $crate::rows! { $beds; observe;
            statistics_count_every_task();
            statistics_show_what_runs();
            events_report_each_task_once();
            a_subscriber_that_does_not_read_holds_nothing_up();
        }
        $crate::rows! { $beds; asked;
            a_command_stops_the_run(Memory, Faultless);
            a_command_submits_what_failed_again(Memory, Faultless);
        }
        $crate::rows! { $beds; ledger;
            done_tasks_do_not_run_again();
            stored_results_are_those_of_their_calls();
            equal_calls_are_counted();
            failed_tasks_run_again();
            calls_of_one_key_join(Faultless);
            a_key_with_other_arguments_is_rejected();
            unended_and_cancelled_tasks_run_again(Faultless);
            a_run_has_one_master(Faultless);
            a_full_ledger_holds_results_back();
            a_ledger_that_fails_breaks_the_pool();
            a_remembered_run_needs_a_name();
            remembered_tasks_are_submitted_again();
            unended_tasks_are_resumed(Memory, Faultless);
            without_a_ledger_nothing_is_submitted_again();
            a_call_with_a_map_needs_a_key();
            a_joined_task_goes_on_for_the_other_calls(Faultless);
            an_abort_does_not_wait_for_a_full_ledger();
            a_ledger_that_fails_late_leaves_no_future_behind(Faultless);
            a_failed_build_leaves_the_run_free();
            an_idle_master_that_lost_its_run_is_superseded();
            calls_after_a_resume_join_what_was_resumed(Memory, Faultless);
        }
        $crate::rows! { $beds; ledger_troubles;
            a_slow_ledger_delays_results_and_stores_them_together(Memory);
            a_clock_that_is_set_back_changes_nothing(Memory);
        }
        $crate::rows! { $beds; wait;
            all_waits_for_the_last();
            first_completed_returns_at_the_first();
            first_exception_returns_at_a_failure();
            first_exception_ignores_a_cancelled_future();
            first_exception_without_a_failure_is_all();
            a_timeout_returns_and_cancels_nothing();
            a_timeout_of_zero_checks_once();
            an_empty_wait_returns_at_once();
            a_done_future_counts_at_once();
            an_abort_ends_every_wait();
        }
        $crate::rows! { $beds; as_completed;
            each_future_comes_once();
            done_futures_come_first();
            futures_come_in_the_order_of_their_ends();
            failed_and_cancelled_futures_come_too();
            a_timeout_counts_the_rest_and_cancels_nothing();
            a_future_can_be_added();
            an_empty_input_ends_at_once();
            futures_of_two_pools_mix();
            dropping_as_completed_cancels_nothing();
        }
        $crate::rows! { $beds; cancel;
            a_waiting_task_never_runs();
            a_running_task_is_stopped(Faultless);
            a_blocking_task_is_killed(Processes, Faultless);
            a_blocking_task_holds_nothing_up(Faultless);
            a_task_can_observe_its_token(Processes, Faultless);
            a_done_task_keeps_its_result();
            a_second_cancel_changes_nothing();
            a_cancel_needs_no_await(Faultless);
            a_backlog_can_be_cancelled(Faultless);
            a_task_between_attempts_is_dequeued();
            cancelling_one_leaves_the_others();
        }
        $crate::rows! { $beds; shutdown;
            a_shutdown_waits_for_all_tasks();
            a_shutdown_waits_for_retries();
            an_idle_pool_ends_at_once();
            a_shutdown_may_be_repeated();
            later_submissions_resolve_to_shut_down();
            submissions_are_refused_during_a_shutdown();
            pending_tasks_can_be_cancelled();
            an_abort_ends_everything();
            a_harsher_call_overrides();
            a_milder_call_changes_nothing();
            a_dropped_shutdown_goes_on();
        }
        $crate::rows! { $beds; limits;
            the_deadline_ends_the_run();
            limits_that_are_not_reached_change_nothing();
            failures_end_the_run();
            a_run_without_progress_ends();
            a_task_that_runs_is_progress(QuickStart, Faultless);
            bad_limits_are_refused();
        }
        $crate::rows! { $beds; initializer;
            an_initializer_runs_once_in_each_slot(Order);
            an_initializer_runs_before_the_first_task();
            slots_start_lazily(Faultless);
            one_failure_is_tolerated();
            three_failures_break_the_pool();
            a_panic_breaks_the_pool_too();
            bad_arguments_are_refused_at_build();
            recycled_slots_are_set_up_again(Processes, Faultless);
        }
        $crate::rows! { $beds; errors;
            a_failure_keeps_its_chain();
            a_panic_carries_its_message();
            bad_arguments_are_rejected();
            a_bad_result_is_rejected();
            one_failure_is_one_failure();
            an_error_can_be_cloned();
            printed_lines_come_with_the_error(Processes);
            an_abort_is_contained(Processes);
            a_crash_is_tried_again(Processes);
            an_exit_is_a_crash(Processes);
            a_stack_overflow_is_a_crash(Processes);
            a_killed_slot_is_replaced(Processes);
            one_abort_among_many_is_one_failure(Processes);
            memory_without_end_is_stopped(Processes);
            a_pool_inside_a_task_is_refused(Processes);
            a_failed_state_is_reported();
        }
        $crate::rows! { $beds; drop;
            dropping_a_future_does_not_cancel();
            a_future_can_abort_on_drop(Faultless);
            abort_on_drop_keeps_a_done_task();
            dropping_a_pool_ends_its_tasks();
            dropping_an_unused_pool_is_quiet();
            a_result_outlives_its_pool();
            an_await_may_be_dropped();
        }
        $crate::rows! { $beds; callbacks;
            callbacks_run_in_order();
            a_late_callback_runs_at_once();
            a_panic_stops_no_other_callback();
            failures_and_cancels_are_reported();
            a_callback_may_submit_the_next_task();
            a_callback_may_shut_down_and_wait();
            a_callback_may_wait_for_other_futures();
            a_callback_may_drop_the_pool();
        }
        $crate::rows! { $beds; retry;
            a_later_attempt_gives_the_result();
            the_budget_ends();
            no_retry_is_the_default();
            the_call_overrides_the_builder_and_the_builder_the_task();
            panics_are_tried_again();
            a_permanent_error_ends_the_retries();
            the_task_may_classify_its_error();
            other_tasks_run_meanwhile();
            the_delay_is_kept();
            many_fail_at_once();
            messages_of_any_length_are_cut_and_retried();
        }
        $crate::rows! { $beds; commit;
            an_output_is_committed_once(Files);
            a_task_whose_output_is_there_is_skipped(Files, Faultless);
            a_function_can_skip_a_task(Faultless);
        }
        $crate::rows! { $beds; timeout;
            a_timeout_without_end_is_none();
            a_timeout_of_zero_is_rejected();
            an_async_task_is_stopped();
            a_blocking_task_is_killed(Processes);
            a_blocking_task_holds_nothing_up();
            queueing_does_not_count();
            each_attempt_has_its_own_time();
            other_tasks_are_not_affected();
            giving_up_a_wait_never_cancels();
            a_quick_task_is_never_stopped();
        }
        $crate::rows! { $beds; storm;
            every_future_ends_once_and_right();
            a_map_keeps_its_order();
            slots_die_in_the_storm(Processes);
        }
    };
}

/// Makes tests of rows of one topic.
#[macro_export]
macro_rules! rows {
    ($beds:expr; $topic:ident; $($row:ident($($need:ident),*);)+) => {
        mod $topic {
            $(
                #[test]
                fn $row() {
                    let name = concat!(stringify!($topic), "::", stringify!($row));
                    let needs = &[$($crate::bed::Need::$need),*];
                    $crate::run::run(name, $beds, needs, $crate::suite::$topic::$row);
                }
            )+
        }
    };
}
