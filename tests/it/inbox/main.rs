//! One contract, every inbox: each case below runs against each kind of database. What is particular to one kind has a
//! module of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod accept;
mod claims;
mod desk;
mod leases;
mod model;
mod moving;
#[path = "../support/schema.rs"]
mod next;
mod outcomes;
mod postgres_plans;
mod postgres_server;
#[path = "../support/postgres.rs"]
mod postgres_support;
mod postgres_tls;
mod reading;
mod schema;
mod sqlite_file;
mod storm;
#[path = "../support/tls.rs"]
mod tls;
mod upkeep;

/// Runs every case on every kind of inbox, each on a database of its own.
macro_rules! contract {
    ($($module:ident::$case:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$module::$case(crate::desk::Place::sqlite()).await;
                }
            )*
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    if let Some(place) = crate::desk::Place::postgres().await {
                        crate::$module::$case(place).await;
                    }
                }
            )*
        }
    };
}

contract! {
    storm::nothing_told_is_lost_and_nothing_claimed_twice,
    accept::a_new_event_is_a_first,
    accept::the_same_webhook_id_is_a_doubt,
    accept::the_same_hash_and_second_is_a_doubt,
    accept::the_same_hash_in_another_second_is_a_first,
    accept::a_duplicate_fetched_well_after_is_dropped,
    accept::a_duplicate_fetched_shortly_after_is_looked_at,
    accept::a_duplicate_without_a_time_is_always_looked_at,
    accept::nothing_to_recognise_it_by_is_always_a_first,
    accept::one_id_on_two_orders_is_two_events,
    accept::equal_events_at_once_are_one_first,
    accept::two_hundred_events_at_once_are_all_kept,
    accept::connections_are_apart,
    claims::a_claim_is_exclusive,
    claims::the_end_of_a_lease_frees_the_order,
    claims::a_late_settling_changes_nothing,
    claims::a_late_and_a_timely_settling_at_once_are_told_apart,
    claims::a_settling_told_twice_counts_once,
    claims::racing_claims_share_nothing,
    claims::what_is_not_due_is_not_claimed,
    claims::an_event_during_a_claim_leaves_work,
    claims::a_look_during_a_claim_leaves_a_look,
    claims::a_first_insists_and_a_look_does_not,
    claims::ten_events_are_one_claim,
    claims::due_orders_come_oldest_first,
    outcomes::delivered_ends_the_work,
    outcomes::an_unchanged_snapshot_is_not_dated_as_forwarded,
    outcomes::skipped_ends_the_work,
    outcomes::refused_waits_and_remembers_since_when,
    outcomes::missing_waits_and_remembers_since_when,
    outcomes::trouble_of_one_kind_forgets_the_other,
    outcomes::deferred_uses_up_no_try,
    outcomes::released_is_due_as_before,
    outcomes::failed_and_gone_are_listed,
    outcomes::a_new_event_revives_a_failed_order,
    outcomes::a_new_event_begins_the_tries_anew,
    outcomes::recovery_makes_the_deferred_due_at_once,
    outcomes::recovery_leaves_the_rest_alone,
    outcomes::news_during_a_claim_outweigh_a_refusal,
    outcomes::news_during_a_claim_do_not_hurry_a_deferred_order,
    reading::orders_are_paged_by_descending_id,
    reading::orders_are_filtered_by_state,
    reading::known_tells_digests_and_states,
    reading::notes_are_kept_and_removed,
    reading::connections_keep_their_number,
    reading::the_summary_counts,
    reading::next_due_is_the_next_that_is_not_due,
    reading::arrivals_announce_work,
    reading::hours_count_what_was_forwarded_and_what_waited,
    upkeep::wanting_looks_or_insists,
    upkeep::wanting_all_of_a_state_insists,
    upkeep::pruning_goes_in_steps,
    upkeep::failed_orders_are_never_pruned,
    upkeep::orders_with_work_are_never_pruned,
    upkeep::what_is_done_outlives_the_process,
    upkeep::closing_finishes_what_was_handed_in,
    upkeep::a_closed_inbox_says_so,
    upkeep::the_database_can_be_probed,
    schema::tables_that_a_newer_relay_has_added_to_are_used,
    schema::who_is_left_behind_does_not_start,
    schema::a_migration_that_is_not_what_it_was_is_refused,
    leases::one_at_a_time_has_a_lease,
    leases::the_term_tells_whether_another_can_have_had_it,
    model::any_interleaving_ends_well,
}
