//! Seeds that CI runs, and as many more as GUNDB_SEEDS says.

use gundb_sim::{Counts, Filters, Plant, run_quietly};

#[test]
fn whatever_the_network_clocks_and_disks_do_all_that_must_hold_does() {
    let seeds = std::env::var("GUNDB_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    let mut counts = Counts::default();
    for seed in 1..=seeds {
        match run_quietly(seed, Filters::ByNode, Plant::Nothing) {
            Ok(of_run) => counts.add(&of_run),
            Err(failed) => panic!("{failed}"),
        }
    }
    println!("{seeds} seeds: {counts}");
}

#[test]
fn what_comes_by_a_way_comes_and_what_comes_by_none_holds_nothing_up() {
    let seeds = std::env::var("GUNDB_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    let mut counts = Counts::default();
    for seed in 1..=seeds {
        match run_quietly(seed, Filters::ByLink, Plant::Nothing) {
            Ok(of_run) => counts.add(&of_run),
            Err(failed) => panic!("{failed}"),
        }
    }
    println!("{seeds} seeds: {counts}");
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
    for (name, plant) in Plant::ALL {
        let caught = (1..=SEEDS_MAX).find_map(|seed| run_quietly(seed, Filters::ByNode, plant).err());
        let Some(failed) = caught else { panic!("{name} was not caught by {SEEDS_MAX} seeds") };
        println!("{name}: caught by seed {}: {}", failed.seed, failed.failure);
    }
}
