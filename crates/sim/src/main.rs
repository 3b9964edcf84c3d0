//! Runs seeds from the command line: one, told step by step, or many, with one line in the end.

use std::process::ExitCode;
use std::time::Instant;

use gundb_sim::{Counts, Cut, Filters, Plant, Telling, run, run_quietly, shrink};

/// A run is mostly small copies of clocks, names and events; a third of its time went into allocating them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: gundb-sim --seed S [--trace] | --from-seed S --seeds N [--seconds T] [--keep-going] [--filters-by-link] [--plant FAULT] [--cut WHAT] [--matrix]";

struct Arguments {
    from_seed: u64,
    seeds: u64,
    seconds_max: u64,
    is_told: bool,
    keeps_going: bool,
    filters: Filters,
    plant: Plant,
    cut: Cut,
    is_matrix: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        from_seed: 1,
        seeds: 1,
        seconds_max: u64::MAX,
        is_told: false,
        keeps_going: false,
        filters: Filters::ByNode,
        plant: Plant::Nothing,
        cut: Cut::default(),
        is_matrix: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} wants a number"))?;
            text.parse::<u64>().map_err(|error| format!("{word} {text}: {error}"))
        };
        match word.as_str() {
            "--seed" | "--from-seed" => arguments.from_seed = number()?,
            "--seeds" => arguments.seeds = number()?,
            "--seconds" => arguments.seconds_max = number()?,
            "--trace" => arguments.is_told = true,
            "--keep-going" => arguments.keeps_going = true,
            "--filters-by-link" => arguments.filters = Filters::ByLink,
            "--plant" => arguments.plant = words.next().ok_or("--plant wants a name")?.parse()?,
            "--cut" => arguments.cut = words.next().ok_or("--cut wants what is left out")?.parse()?,
            "--matrix" => arguments.is_matrix = true,
            _ => return Err(format!("{word} is not known\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let (mut counts, mut failures, mut ran) = (Counts::default(), 0, 0);
    for seed in arguments.from_seed..arguments.from_seed + arguments.seeds {
        if begun.elapsed().as_secs() >= arguments.seconds_max {
            break;
        }
        let Arguments { filters, plant, cut, .. } = &arguments;
        let result = if arguments.is_told || *cut != Cut::default() {
            run(seed, *filters, if arguments.is_told { Telling::All } else { Telling::Nothing }, *plant, cut)
        } else {
            run_quietly(seed, *filters, *plant)
        };
        ran += 1;
        match result {
            Ok(of_run) => counts.add(&of_run),
            Err(failed) if arguments.keeps_going => {
                failures += 1;
                println!("seed {} fails: {}", failed.seed, failed.failure);
            }
            Err(failed) => {
                failures += 1;
                println!("seed {} fails: {}", failed.seed, failed.failure);
                if !arguments.is_told && *cut == Cut::default() {
                    println!("{}", shrink(*filters, *plant, *failed));
                }
                break;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{ran} seeds in {seconds:.1} s, {failures} failed: {counts}");
    let holes = if arguments.is_matrix { counts.matrix.holes() } else { Vec::new() };
    if arguments.is_matrix {
        println!("{}", counts.matrix);
    }
    if !holes.is_empty() {
        println!("never tried: {}", holes.join(", "));
        return ExitCode::FAILURE;
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
