//! The binary against real servers: clusters on EC2 Auto Scaling go from minor to minor, and
//! through bad days.
//!
//! These tests wait most of their time: for machines, for etcd, for budgets. So there are as many
//! at once as the machine has memory for, whatever its cores, and the longest begin first; the
//! standard runner has neither. They are called as any other tests are.

mod access;
mod addons;
mod buggy;
mod fleet;
mod judged;
mod killed;
mod permissions;
mod refused;
mod stopped;
mod stored;
mod tutorial;
mod watch;
mod way;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use refit_tests::real::{CLUSTERS_MAX, wanted};

/// Tests by their names, in the order in which they begin.
macro_rules! trials {
    ($($test:path,)*) => {
        vec![$(Trial::test(stringify!($test), || {
            if wanted(stringify!($test)) {
                $test();
            }
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    if let Some(bug) = buggy::asked_for() {
        buggy::carry_out(bug);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CLUSTERS_MAX);
    let longest_first = trials![
        way::two_minors_up_and_the_second_plan_is_empty,
        stopped::machines_that_do_not_come,
        killed::killed_at_random_it_goes_on_and_ends,
        stopped::a_full_disk_and_a_right_that_is_taken_away,
        killed::another_checkout_without_the_state_takes_over,
        stored::what_is_stored_in_an_old_version_is_migrated,
        permissions::a_refused_action_is_named_and_the_run_goes_on_later,
        tutorial::the_tutorial_works_as_it_is_written,
        stopped::a_node_whose_kubelet_is_dead_is_replaced,
        stopped::a_rough_road_ends,
        stopped::a_workload_that_does_not_come_back_stops_the_roll,
        addons::add_ons_of_other_hands,
        refused::what_a_plan_foresees,
        permissions::one_permission_less_fails_before_the_first_write,
        judged::bugs_are_caught,
        way::looking_only_reads,
        permissions::the_kinds_of_add_ons_are_granted,
    ];
    libtest_mimic::run(&arguments, longest_first).exit_code()
}
