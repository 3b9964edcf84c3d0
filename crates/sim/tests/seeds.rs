//! Seeds that CI runs, and as many more as GUNDB_SEEDS says.

use gundb_sim::{Counts, Cut, Filters, Plant, Telling, run, run_quietly, shrink};

/// Runs seeds; one that fails is made smaller, and told.
fn run_seeds(seeds: u64, filters: Filters) {
    let seeds = std::env::var("GUNDB_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(seeds);
    let mut counts = Counts::default();
    for seed in 1..=seeds {
        match run_quietly(seed, filters, Plant::Nothing) {
            Ok(of_run) => counts.add(&of_run),
            Err(failed) => panic!("{}", shrink(filters, Plant::Nothing, *failed)),
        }
    }
    println!("{seeds} seeds: {counts}");
}

#[test]
fn whatever_the_network_clocks_and_disks_do_all_that_must_hold_does() {
    run_seeds(100, Filters::ByNode);
}

#[test]
fn what_comes_by_a_way_comes_and_what_comes_by_none_holds_nothing_up() {
    run_seeds(40, Filters::ByLink);
}

#[test]
fn one_seed_gives_one_exact_run() {
    for seed in 1..=5 {
        let [first, second] =
            [(); 2].map(|()| run_quietly(seed, Filters::ByNode, Plant::Nothing).map_err(|failed| failed.to_string()));
        assert_eq!(first, second);
    }
}

#[test]
fn each_planted_fault_is_caught() {
    const SEEDS_MAX: u64 = 300;
    for (name, plant, seed) in Plant::ALL {
        // The seed that is known to catch it first; where scenarios are drawn in another way now, others.
        let mut seeds = std::iter::once(*seed).chain(1..=SEEDS_MAX);
        let caught = seeds.find_map(|seed| run_quietly(seed, Filters::ByNode, *plant).err());
        let Some(failed) = caught else { panic!("{name} was not caught by {SEEDS_MAX} seeds") };
        println!("{name}: caught by seed {}: {}", failed.seed, failed.failure);
    }
}

#[test]
fn a_run_that_fails_is_made_smaller_and_fails_alike_when_it_is_run_again() {
    let failed = (1..=20).find_map(|seed| run_quietly(seed, Filters::ByNode, Plant::FloatSum).err());
    let failed = failed.expect("sums of floats are caught by the first seeds");
    let (seed, property) = (failed.seed, failed.failure.property);
    let smallest = shrink(Filters::ByNode, Plant::FloatSum, *failed);
    assert_ne!(smallest.cut, Cut::default());
    let cut = smallest.cut.to_string().parse().expect("a cut is read as it is printed");
    let again = run(seed, Filters::ByNode, Telling::Nothing, Plant::FloatSum, &cut).expect_err("it fails");
    assert_eq!((again.failure.property, again.failure), (property, smallest.failure));
}
