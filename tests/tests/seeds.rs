//! Whole runs on simulated fleets, by the thousand. A seed that fails here is replayed with
//! `cargo seeds --seed N`; a defect that one has found leaves its seed in the list below.

use refit_tests::seeds::{Tale, Trouble, sweep, tell};

/// So many stories are told: with nothing wrong, with faults, with kills at journal writes, with
/// people who stop the run, and with every mixture of these.
const SEEDS: u64 = 2_400;

/// So many of each other tale.
const SEEDS_OF_OTHERS: u64 = 800;

#[test]
fn every_story_ends_well() {
    all_end_well(Tale::Up, SEEDS);
}

#[test]
fn the_autoscaler_is_kept_from_the_nodes_of_a_roll() {
    all_end_well(Tale::Autoscaler, SEEDS_OF_OTHERS);
}

#[test]
fn every_story_of_dead_kubelets_ends_well() {
    all_end_well(Tale::DeadKubelets, SEEDS_OF_OTHERS);
}

/// A roll may still fail where the kubelet of another pool is dead: its pods count against the
/// budgets of those that are drained, or keep a volume in their zone. That is one story in ten; if
/// such nodes were not terminated, it would be four.
#[test]
fn dead_kubelets_do_not_stop_rolls() {
    let stories = 200;
    let failed = (0..stories).filter(|seed| {
        let story = tell(*seed, Tale::DeadKubelets, Trouble::NONE, false);
        story.is_ok_and(|story| story.failed_rolls > 0)
    });
    let failed = failed.count();
    assert!(failed <= 20, "a roll failed in {failed} of {stories} stories");
}

#[test]
fn every_story_of_an_old_journal_ends_well() {
    all_end_well(Tale::OldJournal, SEEDS_OF_OTHERS);
}

#[test]
fn every_story_of_nodes_that_people_replace_ends_well() {
    all_end_well(Tale::OnDelete, SEEDS_OF_OTHERS);
}

#[test]
fn every_story_of_clusters_that_go_back_ends_well() {
    all_end_well(Tale::Back, SEEDS_OF_OTHERS);
}

#[test]
fn every_story_of_nodes_that_are_ahead_ends_well() {
    all_end_well(Tale::Ahead, SEEDS_OF_OTHERS);
}

fn all_end_well(tale: Tale, seeds: u64) {
    let (told, failed) = sweep(0..seeds, tale);
    assert_eq!(told, seeds);
    let name = tale.name();
    let shown: Vec<String> = failed
        .iter()
        .take(10)
        .map(|(seed, wrong)| format!("cargo seeds --tale {name} --seed {seed}    # {wrong}"))
        .collect();
    assert!(failed.is_empty(), "{} of {told} stories:\n{}", failed.len(), shown.join("\n"));
}

/// Seeds beyond the sweep that once found something.
///
/// - 2821: a correction of a tag whose answer was lost was made twice.
/// - 2823: an operator raised desired in the moment in which refit took an instance away.
/// - 3269: a raise that was refused was counted all the same.
/// - 3954: a tag stayed on a group of a cluster that was skipped.
/// - 3991, 7447, 8223, 10694, 11310: killed while it put back what a cancelled run had half done, a
///   run went on with that, and then waited for nothing.
/// - 8175, 18539: an attempt after a failure believed that there was no surge yet.
/// - 11183: a node that was chosen because it was not Ready was cordoned after it had become so.
/// - 14539: a new node that was cordoned as surplus stayed so after the process was killed.
/// - 20582, 24404, 28972, 31908, 38309: a machine on its way out was to be tidied up, and could not.
/// - 22251: whose a raise of desired was could not be told, and refit was blamed for its guess.
/// - 7983, 13495, 15909: a node that had just come up did not show in a look that lagged.
/// - 12689, 3249: an operator raised desired while nobody knew whether a call had moved it.
/// - 11, 191, 555, 623, 921, 1029: a look that lagged behind a lost answer made the run forget what
///   it had added.
const FOUND: [u64; 22] = [
    2_821, 2_823, 3_269, 3_954, 3_991, 7_447, 8_223, 10_694, 11_310, 8_175, 18_539, 11_183, 14_539,
    20_582, 24_404, 28_972, 31_908, 38_309, 22_251, 13_495, 15_909, 12_689,
];

/// And those of other tales.
///
/// - 1943: a run that had to leave at once gave its Lease back, and the next one began with a look
///   that did not show its surge yet.
const FOUND_IN_OTHERS: [(Tale, u64); 1] = [(Tale::Back, 1_943)];

#[test]
fn what_was_found_stays_mended() {
    let found = FOUND.map(|seed| (Tale::Up, seed)).into_iter().chain(FOUND_IN_OTHERS);
    for (tale, seed) in found {
        tell(seed, tale, Trouble::of(seed), false)
            .unwrap_or_else(|wrong| panic!("{} {seed}: {wrong}", tale.name()));
    }
}

#[test]
fn a_story_told_twice_is_the_same_story() {
    for (seed, tale) in (0..24).zip(Tale::ALL.into_iter().cycle()) {
        let once = tell(seed, tale, Trouble::of(seed), false);
        let twice = tell(seed, tale, Trouble::of(seed), false);
        assert_eq!(once, twice, "seed {seed}");
        assert!(once.is_ok_and(|story| !story.trace.is_empty()), "seed {seed} tells something");
    }
}

/// The sweep would be worth nothing if its stories had no trouble in them.
#[test]
fn the_stories_have_work_and_trouble_in_them() {
    let mut actions = 0;
    let mut crashes = 0;
    let mut more_than_one_run = 0;
    for seed in 0..64 {
        let story = tell(seed, Tale::Up, Trouble::of(seed), false).unwrap();
        actions += story.actions;
        crashes += story.crashes;
        more_than_one_run += u32::from(story.runs > 1);
    }
    assert!(actions > 150, "{actions} actions");
    assert!(crashes > 15, "{crashes} crashes");
    assert!(more_than_one_run > 8, "{more_than_one_run} stories with more than one run");
    let broken = |seed: &u64| {
        let story = tell(*seed, Tale::Ahead, Trouble::of(*seed), false).unwrap();
        story.trace.iter().any(|line| line.contains("RF017"))
    };
    let broken = (0..64).filter(broken).count();
    assert!(broken > 20, "{broken} stories that begin with a broken skew policy");
}
