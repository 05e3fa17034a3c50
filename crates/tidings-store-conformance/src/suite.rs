use std::time::Duration;

use crate::harness::Harness;
use crate::world::World;

/// Far more than any case needs: one that takes longer waits for what never comes.
const DEADLINE: Duration = Duration::from_mins(1);

/// The table of all cases, handed to another macro as `name! { [arguments] module { case … } … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! with_every_case {
    ([$($callback:tt)+] [$($arguments:tt)*]) => {
        $($callback)+! { [$($arguments)*]
            setup {
                a_fresh_store_has_the_default_application
                an_added_application_is_listed
                the_first_mac_secrets_are_kept
                a_fresh_store_is_usable
                old_tombstones_are_forgotten
                many_tombstones_are_forgotten_in_one_sweep
                a_forgotten_endpoint_may_come_with_other_keys
                old_idempotency_keys_are_forgotten
            }
            vapid_keys {
                a_key_is_kept_as_it_was_given
                keys_are_listed_oldest_first
                a_key_pair_is_readable_in_every_state
                a_key_belongs_to_its_application
                an_unknown_key_is_none
                a_key_added_twice_is_returned_as_it_was_kept
                a_key_added_again_as_active_becomes_active
                one_key_pair_may_serve_two_applications
                a_new_active_key_makes_the_former_live
                activating_a_key_makes_the_former_live
                activating_the_active_key_changes_nothing
                a_key_can_be_retired
                concurrent_activations_leave_one_active_key
                active_subscriptions_are_counted_by_key
            }
            vapid_tokens {
                a_kept_token_is_found_after_a_restart
                the_latest_token_of_an_origin_is_kept
                an_expired_token_is_not_found_and_is_forgotten
                a_retired_key_has_no_tokens
                tokens_belong_to_their_key_and_application
                the_oldest_tokens_make_room
            }
            api_tokens {
                a_token_is_kept_as_it_was_given
                a_token_is_found_by_its_hash_only
                one_hash_is_kept_once
                pages_follow_each_other_newest_first
                a_token_belongs_to_its_application
                a_revoked_token_is_found_as_revoked_at_once
                revoking_again_changes_nothing
                of_concurrent_revocations_one_instant_is_kept
                a_revocation_is_seen_while_uses_are_recorded
                the_latest_use_is_kept
                many_uses_are_recorded_at_once
                tokens_that_ended_long_ago_are_forgotten
                many_ended_tokens_are_forgotten_in_one_call
            }
            registration {
                an_unknown_endpoint_is_created
                every_push_service_is_kept_as_it_was_given
                what_was_said_is_kept
                the_same_endpoint_and_keys_are_updated
                what_is_not_said_again_stays
                what_is_said_to_be_nothing_is_cleared
                attributes_are_replaced_as_a_whole
                a_vapid_key_said_later_corrects_the_kept_one
                a_known_subscription_keeps_its_vapid_key
                another_p256dh_changes_nothing
                another_auth_changes_nothing
                an_ended_subscription_becomes_active_again
                an_ended_subscription_comes_back_as_nobodys
                one_that_came_back_is_not_swept
                two_applications_may_know_one_endpoint
                a_registered_endpoint_is_known_in_any_state
                seqs_rise_in_the_order_of_registration
                concurrent_registrations_get_different_seqs
                one_endpoint_registered_at_once_is_created_once
            }
            subscriptions {
                an_unknown_subscription_is_none
                a_subscription_belongs_to_its_application
                pages_follow_each_other_newest_first
                a_last_page_that_is_full_has_no_next
                a_page_is_not_moved_by_newcomers
                a_list_shows_one_state
                a_list_shows_one_persons
                a_change_leaves_the_rest_as_it_was
                an_ended_subscription_is_a_tombstone
                ending_again_does_not_renew_a_tombstone
                a_test_turn_is_taken_once_in_a_while
                a_clock_that_went_back_locks_nobody_out
                one_of_many_at_once_gets_the_test_turn
            }
            user_cap {
                a_user_has_as_many_subscriptions_as_allowed
                a_full_users_own_subscription_is_updated
                subscriptions_of_nobody_are_not_capped
                each_application_counts_its_own_users
                an_ended_subscription_makes_room
                a_detached_subscription_makes_room
                nothing_is_given_to_a_full_user
                who_knows_an_endpoint_only_is_not_told_of_its_user
                a_lowered_cap_ends_nothing
                registrations_at_once_do_not_pass_the_cap
            }
            imports {
                an_imported_subscription_is_as_a_registered_one
                many_are_imported_in_their_order
                importing_again_updates
                an_import_knows_when_a_browser_was_seen
                an_import_gives_nobody_a_known_endpoint
                an_import_wakes_no_tombstone
                an_import_heeds_the_cap
                the_same_endpoint_twice_in_an_import_is_one
                importing_nothing_changes_nothing
            }
            restoring {
                a_gone_subscription_is_restored
                an_ended_subscription_is_restored_only_if_asked
                restoring_heeds_the_cap
                an_active_subscription_stays_when_restored
                an_unknown_one_is_not_restored
                without_suspects_nothing_is_decided
                suspects_are_restored_part_by_part
                a_full_users_suspects_stay
                confirmed_suspects_are_tombstones
                one_suspect_is_restored
            }
            messages {
                an_accepted_message_waits_to_be_planned
                options_are_kept
                content_is_kept
                an_unknown_message_is_none
                a_message_belongs_to_its_application
                pages_follow_each_other_newest_first
                a_page_shows_counts
                a_repeated_request_is_accepted_once
                a_repeated_request_is_told_how_far_the_first_is
                an_idempotency_key_is_good_for_a_day
                another_body_under_a_used_key_is_refused
                applications_do_not_share_idempotency_keys
                one_request_made_at_once_is_accepted_once
            }
            planning {
                nothing_is_to_be_planned_at_first
                a_plan_says_what_was_accepted
                direct_messages_are_planned_first
                applications_take_turns_with_direct_messages
                applications_take_turns_with_broadcasts
                what_was_planned_makes_room_for_the_next
                a_message_is_planned_once_it_is_due
                a_step_moves_the_cursor_and_keeps_its_batches
                one_step_may_cut_many_batches
                a_step_is_taken_whole_or_not_at_all
                a_step_from_elsewhere_is_not_taken
                a_complete_plan_takes_no_step
                an_unknown_message_takes_no_step
                of_concurrent_planners_one_takes_the_step
                a_message_to_nobody_is_done_at_once
                a_plan_that_completes_last_ends_the_message
            }
            audience {
                a_broadcast_reaches_who_was_there_before
                a_list_reaches_who_was_there_before
                a_cutoff_is_exact_among_concurrent_registrations
                only_active_subscriptions_are_reached
                other_applications_are_not_reached
                members_know_their_push_service
                a_page_begins_behind_the_cursor
                a_page_ends_where_it_was_told_to
                pages_never_pass_the_cutoff
                nobody_is_listed_twice
                unknown_ones_are_nobody
                long_lists_are_reached_whole
            }
            claiming {
                a_claimed_batch_is_as_it_was_planned
                nothing_is_claimed_before_it_is_due
                the_earliest_due_are_claimed_first
                a_claim_takes_no_more_than_its_limit
                a_claim_takes_one_push_service
                a_claim_takes_one_lane
                a_claim_takes_one_application
                a_claimed_batch_is_not_claimed_again
                concurrent_claims_never_share_a_batch
                every_lane_of_a_push_service_has_its_due_group
                what_is_claimed_is_in_no_due_group
                many_batches_are_few_due_groups
            }
            leases {
                a_held_lease_is_kept_alive
                a_lease_with_another_token_is_none
                a_lease_on_an_unknown_batch_is_none
                a_lost_lease_records_nothing
                a_lost_lease_is_claimable
                a_lost_lease_does_not_disturb_the_next
                a_released_lease_records_nothing
                a_released_batch_is_claimable_at_once
                a_finished_lease_records_nothing
                of_concurrent_passes_one_is_finished
            }
            loading {
                members_of_a_range_are_loaded
                members_of_a_list_are_loaded
                a_target_names_its_own_vapid_key
                who_accepted_before_is_known_by_it
                another_vapid_key_has_to_be_accepted_anew
                only_what_was_asked_for_is_loaded
                positions_without_a_member_are_left_out
                a_whole_window_is_loaded_at_once
                few_of_a_wide_range_are_loaded
                an_ended_member_has_no_target
                a_member_gone_meanwhile_has_no_target
                a_forgotten_member_has_no_target
                who_is_another_person_by_now_has_no_target
                who_waits_for_another_attempt_is_left_out
            }
            recording {
                each_outcome_has_its_count
                many_outcomes_are_recorded_at_once
                an_outcome_recorded_twice_counts_once
                a_final_outcome_is_never_replaced
                a_delivery_that_is_retried_counts_once
                a_retried_delivery_moves_to_its_final_count
                recording_nothing_changes_nothing
                what_the_push_service_said_may_be_kept
                only_gone_makes_a_tombstone
                a_gone_subscription_is_reached_no_more
                a_gone_subscription_becomes_active_again
                gone_tombstones_are_forgotten_too
                a_member_without_subscription_is_recorded
                outcomes_are_recorded_all_or_none
                an_outcome_for_nobody_is_refused
                a_messages_counts_are_those_of_its_batches
                concurrent_records_lose_and_double_nothing
                other_batches_are_not_touched
            }
            pruning {
                in_a_wave_who_is_gone_is_suspect
                a_suspect_is_sent_nothing
                too_few_are_no_wave
                a_small_part_of_the_answers_is_no_wave
                tombstones_from_right_before_a_wave_become_suspect
                many_tombstones_become_suspect_bit_by_bit
                what_a_subscriber_ended_is_no_tombstone_of_a_wave
                what_is_usual_is_no_wave
                what_tells_nothing_hides_no_wave
                a_refusal_by_the_push_service_is_an_answer
                a_wave_is_over_after_a_quiet_hour
                a_lasting_wave_is_not_what_is_usual
                a_wave_that_was_seen_in_the_future_is_over_in_time
                who_was_confirmed_is_suspect_no_more
                each_push_service_has_its_own_waves
                each_application_has_its_own_waves
                answers_are_counted_over_a_restart
                an_outcome_recorded_twice_is_one_answer
                time_confirms_a_suspect
                who_is_shown_again_is_suspect_no_more
                sending_goes_on_in_a_wave
                old_counts_of_answers_are_forgotten
            }
            finishing {
                the_last_outcome_ends_batch_and_message
                the_last_batch_ends_the_message
                of_concurrent_last_batches_one_ends_the_message
                a_batch_is_due_again_at_its_earliest_attempt
                a_retry_that_ended_does_not_call_the_batch
                who_was_not_recorded_is_due_at_once
                who_was_left_out_is_due_when_it_was_told
                a_retry_is_not_held_up_by_who_was_left_out
                a_retry_that_came_due_in_the_pass_is_not_held_up
                a_missed_attempt_is_due_at_once
                a_batch_may_take_many_passes
            }
            retention {
                a_message_keeps_its_counts_without_its_batches
                what_is_not_done_keeps_its_batches
                counts_are_exact_while_many_deliveries_are_folded
                messages_to_nobody_hold_up_no_other
                a_message_is_forgotten_long_after_it_was_done
                a_failed_message_is_sent_no_more
                a_message_that_is_done_cannot_fail
            }
            clock_jumps {
                retries_reckoned_from_a_later_time_are_due
                retries_within_the_longest_delay_wait_on
                one_late_retry_among_others_is_due
                what_was_to_be_sent_at_once_is_sent
                what_was_never_tried_is_due_however_small_the_jump
                what_is_planned_after_a_jump_is_due
                what_was_scheduled_waits_for_its_time
                many_batches_are_due_after_a_jump
            }
            receipts {
                each_event_has_its_count
                each_event_counts_once
                another_action_is_not_another_click
                each_subscription_counts_for_itself
                each_message_counts_for_itself
                an_unknown_message_counts_nothing
                another_applications_message_counts_nothing
                a_receipt_reported_at_once_counts_once
            }
            durability {
                subscriptions_survive
                keys_and_secrets_survive
                api_tokens_survive
                an_accepted_message_survives
                a_half_walked_plan_goes_on
                recorded_outcomes_survive
                finished_passes_survive
                receipts_and_test_turns_survive
                a_sweep_survives
            }
            random_operations {
                the_store_agrees_with_the_model
            }
        }
    };
}

macro_rules! define_tests {
    ([] $($module:ident { $($case:ident)+ })+) => {
        /// The cases, each as a blocking function that panics on failure.
        #[expect(missing_docs, reason = "a case's name says what it checks")]
        pub mod tests {
            $(pub mod $module {
                $(pub fn $case<H: $crate::Harness>() {
                    $crate::suite::run::<H, _>($crate::cases::$module::$case);
                })+
            })+
        }
    };
}

with_every_case!([define_tests] []);

/// Makes one `#[test]` of each case, in modules named after what they are about, for a backend.
///
/// Its argument is a type that implements [`Harness`].
#[macro_export]
macro_rules! conformance_suite {
    ($harness:ty) => {
        $crate::with_every_case!([$crate::instantiate_cases][$harness]);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! instantiate_cases {
    ([$harness:ty] $($module:ident { $($case:ident)+ })+) => {
        $(mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::tests::$module::$case::<$harness>();
            })+
        })+
    };
}

/// Runs one case on a fresh store.
fn run<H: Harness, F: Future<Output = ()>>(case: impl FnOnce(World<H>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("threads for the case");
    runtime.block_on(async {
        let whole = async { case(World::new().await).await };
        tokio::time::timeout(DEADLINE, whole)
            .await
            .expect("the case ends before its deadline");
    });
}
