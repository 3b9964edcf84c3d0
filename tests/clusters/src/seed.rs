//! Random numbers that can be had again: the seed is printed, and `GUNDB_SEED` gives it back.

use std::env;

/// A generator whose seed is printed.
pub fn generator() -> fastrand::Rng {
    let seed = env::var("GUNDB_SEED")
        .ok()
        .map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("GUNDB_SEED is a number"));
    println!("GUNDB_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// How much of something to do: the environment variable `name`, or what a quick run does.
pub fn count(name: &str, quick: usize) -> usize {
    env::var(name).ok().map_or(quick, |count| count.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
