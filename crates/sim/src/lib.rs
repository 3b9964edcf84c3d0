//! Many nodes, a hostile network, hostile clocks and disks: one seed gives one exact run.
//!
//! What runs here is the code of `gundb-core`: sessions (`sync`), messages as bytes (`bundle`), what becomes of a transaction (`apply`), pages (`page`),
//! clocks, chains, epochs. What is made up is what stands around it: a disk in memory that stores what the database stores, a network, wall
//! clocks, users who write, and faults. The simulator knows what really happened (`truth.rs`), which no node is told, and compares.
//!
//! A run: a seed draws 2 to 8 nodes, or up to 12, in a ring, chain, star, mesh or at random, who takes which streams, who forwards, what carries bundles over each link,
//! what is written when and which faults strike when (`scenario.rs`). Some seconds later everything heals and nothing more is written. Then everybody must
//! come to hold what is meant for him, by himself, and fall silent.
//!
//! What is checked, at each commit that applies something:
//! no dot has two contents; lanes have no gaps; transactions are whole in the streams that the node takes; nothing stands there before what its author had
//! really seen; an epoch arrives as it was written, and covers what its author held; nobody is sent what he brought; a view's row is the fold of its
//! events, and one id counts once. And at the end: whoever should hold an event does; nothing acknowledged is gone unless a
//! fault took it from the last node that held it; clocks cover what is held; equal clocks have equal digests and equal views; nothing waits, nothing was
//! refused without reason, nothing is sent any longer.
//!
//! What a fault has tainted (a malformed event, a run that two nodes went on in, and what was written by who had seen such) is left out of these, since it is
//! right that others refuse it. It must not harm anything else.
//!
//! What must always hold in this crate: no time, no randomness and no order but those that the seed gives. Nothing here is told to core that
//! a database could not know.
//!
//! | file | one noun |
//! |---|---|
//! | `world.rs` | the loop of a run |
//! | `scenario.rs` | what a seed stands for |
//! | `fault.rs` | what goes wrong |
//! | `hostile.rs` | a peer that sends rubbish and lies |
//! | [`matrix`] | which faults struck in which states |
//! | [`cut`] | a failing run made smaller |
//! | `node.rs` | a node: memory, wall clock |
//! | `transaction.rs` | what a user's transaction does |
//! | `saying.rs` | what events say |
//! | `view.rs` | views of every fold |
//! | `store.rs` | a node's disk |
//! | `receive.rs` | applying what came |
//! | `reading.rs` | reading what is sent |
//! | `users.rs` | what users write and declare |
//! | `session.rs`, `answering.rs` | the dialling and the answering end of a session |
//! | `connection.rs` | what carries sessions, and breaks |
//! | `courier.rs` | bundles that are lost, doubled, reordered |
//! | `network.rs` | links |
//! | `spec.rs` | what is meant for whom |
//! | `truth.rs` | what really happened |
//! | [`check`] | what must hold in the end |
//! | `spoiler.rs` | faults planted in the maintenance of views |
//! | [`plant`] | faults planted to see whether the checks catch them |
//! | [`trace`], [`counts`] | a run told, and counted |
//! | `random.rs` | the seed's numbers |
#![forbid(unsafe_code)]

mod answering;
pub mod check;
mod connection;
pub mod counts;
mod courier;
pub mod cut;
mod fault;
mod hostile;
pub mod matrix;
mod network;
mod node;
pub mod plant;
mod random;
mod reading;
mod receive;
mod saying;
mod scenario;
mod session;
mod spec;
mod spoiler;
mod store;
pub mod trace;
mod transaction;
mod truth;
mod users;
mod view;
mod ways;
mod world;

pub use check::Failure;
pub use counts::Counts;
pub use cut::{Cut, shrink};
pub use plant::Plant;
pub use scenario::Filters;
pub use trace::Telling;

/// How many of the last steps of a failed run are told.
const LAST_STEPS: usize = 60;

/// A run that failed.
#[derive(Debug)]
pub struct Failed {
    /// Its seed.
    pub seed: u64,
    /// What was left out of it.
    pub cut: Cut,
    /// What did not hold.
    pub failure: Failure,
    /// Its last steps.
    pub last_steps: Vec<String>,
}

/// Runs a seed, or what is left of it; tells it where asked to.
pub fn run(seed: u64, filters: Filters, telling: Telling, plant: Plant, cut: &Cut) -> Result<Counts, Box<Failed>> {
    let mut world = world::World::new(seed, filters, telling, plant, cut);
    match world.run() {
        Ok(()) => Ok(world.counts),
        Err(failure) => Err(Box::new(Failed { seed, cut: cut.clone(), failure, last_steps: world.trace.into_last() })),
    }
}

/// Runs a seed, and once more where it fails, to tell its last steps.
pub fn run_quietly(seed: u64, filters: Filters, plant: Plant) -> Result<Counts, Box<Failed>> {
    let cut = Cut::default();
    run(seed, filters, Telling::Nothing, plant, &cut).map_err(|failed| {
        match run(seed, filters, Telling::Last(LAST_STEPS), plant, &cut) {
            Err(told) if told.failure == failed.failure => told,
            _ => {
                let failure = Failure::new(
                    "one seed gives one exact run",
                    format!("seed {seed} ended otherwise the second time"),
                );
                Box::new(Failed { failure, ..*failed })
            }
        }
    })
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.last_steps.iter().try_for_each(|step| writeln!(f, "{step}"))?;
        if self.cut != Cut::default() {
            writeln!(f, "this was made smaller: --seed {} --cut {} --trace tells all of it", self.seed, self.cut)?;
        }
        write!(f, "seed {} fails: {}", self.seed, self.failure)
    }
}
