//! What every store does, whatever keeps it. Each test gets a place that is empty, and may open it more than once.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod changes;
mod ingest;
mod maintenance;
mod models;
mod operation;
mod place;
mod reads;

use place::{Place, SqlitePlace};

/// Each test as a `#[test]` for each kind of store.
macro_rules! contract {
    ($($module:ident: $($name:ident)+;)+) => {
        mod sqlite {
            $(mod $module {
                $(#[test]
                fn $name() {
                    let place = crate::SqlitePlace::new(concat!(stringify!($module), "-", stringify!($name)));
                    crate::run(crate::$module::$name(&place));
                })+
            })+
        }
    };
}

contract! {
    ingest: new_duplicate_conflict duplicates_within_a_batch keys_are_per_kind_and_client counted_once_across_a_restart
        sums_count_once sums_bring_states_and_sketches what_is_too_large_is_refused bad_json_and_names_are_refused
        numbers_never_return many_writers_at_once;
    changes: all_or_none documents_are_compared_and_set states_and_sketches events_page_by_kind_and_time
        runs_list_the_last_changed_first the_audit_log_is_a_chain;
    models: versions_keep_their_digest pointers_move_and_remember;
    reads: labels_wait_until_they_are_settled items_page_in_order;
    maintenance: roll_up_keeps_every_event late_counts_are_added retention_deletes_what_is_old rolling_up_like_a_naive_model;
    operation: a_backup_is_a_store a_backup_overwrites_nothing closed_is_closed a_full_queue_is_busy a_sound_store_checks;
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}
