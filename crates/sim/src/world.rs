//! The loop of a run: takes the next step, in order of time, until all has healed and come to rest.
//!
//! What must always hold here: steps at one time are taken in the order in which they were scheduled, and no step looks at anything but the world.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gundb_core::sync::filter::SYSTEM_STREAM;
use gundb_core::{SiteId, StreamId};

use crate::check::{self, Failure};
use crate::connection::{Connection, Side};
use crate::counts::Counts;
use crate::courier::Post;
use crate::cut::Cut;
use crate::network::{Bytes, Carrier, End, Link, Packet};
use crate::node::Node;
use crate::plant::Plant;
use crate::random::Random;
use crate::saying::Saying;
use crate::scenario::{Fault, Filters, Plan, Planned, Scenario};
use crate::spec::Spec;
use crate::store::Store;
use crate::trace::{Telling, Trace};
use crate::truth::Truth;
use crate::users::Act;

/// How long after all healed everybody must have come to hold everything: retries after a minute are part of it.
const HEALING_MAX_US: u64 = 200_000_000;
/// For how long after that nothing may be sent any longer.
const QUIET_US: u64 = 20_000_000;
/// Steps of a run, at most.
const STEPS_MAX: u64 = 2_000_000;

/// What is to happen.
#[derive(Debug, Clone)]
pub enum Step {
    Write {
        node: usize,
    },
    Act {
        node: usize,
        life: u64,
        transaction: u64,
        act: Act,
    },
    End {
        node: usize,
        life: u64,
        transaction: u64,
        keeps: bool,
    },
    Declare {
        node: usize,
        name: Rc<str>,
    },
    Adopt {
        node: usize,
    },
    Dial {
        link: usize,
    },
    Arrive {
        connection: u64,
        at: Side,
        packet: Packet,
    },
    News {
        connection: u64,
        is_here: bool,
    },
    Close {
        connection: u64,
        at: Side,
    },
    Do {
        connection: u64,
        at: Side,
    },
    Tick {
        connection: u64,
    },
    Post {
        link: usize,
        from: usize,
    },
    Deliver {
        link: usize,
        to: usize,
        bytes: Bytes,
    },
    Fault(usize),
    Part {
        link: usize,
    },
    Uncut {
        link: usize,
        ways: [bool; 2],
    },
    Start {
        node: usize,
    },
    /// A moment from which a crash keeps the disk.
    Copy {
        node: usize,
        for_fault: usize,
    },
    Retry,
    Heal,
}

/// All there is.
pub struct World {
    pub now_us: u64,
    steps: BTreeMap<(u64, u64), Step>,
    scheduled: u64,
    pub random: Random,
    pub nodes: Vec<Node>,
    /// How often each node has started.
    pub lives: Vec<u64>,
    pub plans: Vec<Rc<Plan>>,
    pub links: Vec<Link>,
    pub posts: Vec<Option<Post>>,
    pub connections: BTreeMap<u64, Connection>,
    pub faults: Vec<Planned>,
    pub copies: BTreeMap<usize, Store>,
    pub truth: Truth,
    pub counts: Counts,
    pub trace: Trace,
    pub plant: Plant,
    pub filters: Filters,
    pub heals_at_us: u64,
    pub bundle_bytes_max: u64,
    pub apply_fails_per_mille: u64,
    pub mangled_per_mille: u64,
    pub compresses: bool,
    /// When each connection's dialling end is woken next.
    pub wakes: BTreeMap<u64, u64>,
    /// When a bundle that holds something was sent last.
    pub last_bundle_us: u64,
    /// Nodes whose users write next what nobody else can take.
    pub poison: BTreeSet<usize>,
    /// What was said in each stream, kept or not: it may be said again elsewhere.
    pub said: BTreeMap<StreamId, Vec<Rc<Saying>>>,
    /// How many transactions were begun.
    pub transactions: u64,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64, filters: Filters, telling: Telling, plant: Plant, cut: &Cut) -> World {
        let mut random = Random::new(seed);
        let scenario = Scenario::draw(seed, &mut random, filters).cut(cut);
        let mut nodes = Vec::new();
        for (at, plan) in scenario.nodes.iter().enumerate() {
            let store = Store::new(SiteId(random.uuid()));
            let mut node = Node::new(format!("n{at}"), store, plan.takes.clone(), random.part(), plant);
            node.make_table(&Rc::from(SYSTEM_STREAM));
            nodes.push(node);
        }
        let mut world = World {
            now_us: 0,
            steps: BTreeMap::new(),
            scheduled: 0,
            random,
            lives: vec![0; nodes.len()],
            nodes,
            plans: scenario.nodes.into_iter().map(Rc::new).collect(),
            posts: scenario.links.iter().map(|_| None).collect(),
            links: Vec::new(),
            connections: BTreeMap::new(),
            faults: scenario.faults,
            copies: BTreeMap::new(),
            truth: Truth::default(),
            counts: Counts::default(),
            trace: Trace::new(telling),
            plant,
            filters,
            heals_at_us: scenario.heals_at_us,
            bundle_bytes_max: scenario.bundle_bytes_max,
            apply_fails_per_mille: scenario.apply_fails_per_mille,
            mangled_per_mille: scenario.mangled_per_mille,
            compresses: scenario.compresses,
            wakes: BTreeMap::new(),
            last_bundle_us: 0,
            poison: BTreeSet::new(),
            said: BTreeMap::new(),
            transactions: 0,
        };
        world.counts.hit(scenario.topology);
        world.schedule_all(scenario.links);
        world
    }

    fn schedule_all(&mut self, links: Vec<Link>) {
        self.tell(|world| {
            let ends = |link: &Link| {
                let end = |end: &End| {
                    let [push, pull] = [&end.push, &end.pull].map(|filter| filter.patterns().collect::<Vec<_>>());
                    format!("push {push:?} pull {pull:?} {:?}", end.accept)
                };
                format!("{:?} {:?} {} / {}", link.nodes, link.carrier, end(&link.ends[0]), end(&link.ends[1]))
            };
            let links: Vec<String> = links.iter().map(ends).collect();
            let takes: Vec<Vec<String>> = world.nodes.iter().map(|node| node.takes.patterns().collect()).collect();
            format!("nodes take {takes:?}; links {links:?}; bundles of {} bytes", world.bundle_bytes_max)
        });
        for node in 0..self.nodes.len() {
            for (at, name) in self.plans[node].clone().declares.iter() {
                self.at(*at, Step::Declare { node, name: name.clone() });
            }
            self.after_random(self.plans[node].pause_us, Step::Write { node });
        }
        links.into_iter().for_each(|link| self.add_link(link));
        for at in 0..self.faults.len() {
            let Planned { at_us: when, fault, is_left_out, .. } = self.faults[at].clone();
            if is_left_out {
                continue;
            }
            self.at(when, Step::Fault(at));
            let copy = match fault {
                Fault::Crash { node, loses_us: Some(age_us), .. } | Fault::Restore { node, age_us } => {
                    Some((node, age_us))
                }
                _ => None,
            };
            if let Some((node, age_us)) = copy {
                self.at(when.saturating_sub(age_us), Step::Copy { node, for_fault: at });
            }
        }
        self.at(self.heals_at_us, Step::Heal);
        self.after(1_000_000, Step::Retry);
    }

    /// Two nodes become peers.
    pub fn add_link(&mut self, link: Link) {
        let at = self.links.len();
        match link.carrier {
            Carrier::Session => self.after_random(50_000, Step::Dial { link: at }),
            Carrier::Courier => (0..2).for_each(|from| self.after_random(200_000, Step::Post { link: at, from })),
        }
        self.posts.resize_with(at + 1, || None);
        if link.carrier == Carrier::Courier {
            self.posts[at] = Some(Post::default());
        }
        self.links.push(link);
    }

    pub fn at(&mut self, when_us: u64, step: Step) {
        self.scheduled += 1;
        self.steps.insert((when_us.max(self.now_us), self.scheduled), step);
    }

    pub fn after(&mut self, pause_us: u64, step: Step) {
        self.at(self.now_us + pause_us, step);
    }

    pub fn after_random(&mut self, pause_max_us: u64, step: Step) {
        let pause_us = self.random.below(pause_max_us + 1);
        self.after(pause_us, step);
    }

    pub fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// Whether nothing can be committed at a node.
    pub fn is_full(&self, node: usize) -> bool {
        self.nodes[node].full_until_us > self.now_us && !self.is_healed()
    }

    pub fn is_healed(&self) -> bool {
        self.now_us >= self.heals_at_us
    }

    pub fn tell(&mut self, line: impl FnOnce(&World) -> String) {
        let mut trace = std::mem::take(&mut self.trace);
        trace.tell(self.now_us, || line(self));
        self.trace = trace;
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Result<(), Failure> {
        let mut whole_since: Option<u64> = None;
        let mut next_look_us = 0;
        let mut spec = (0, None);
        for _ in 0..STEPS_MAX {
            let Some(((when, _), step)) = self.steps.pop_first() else { break };
            self.now_us = when;
            self.take(step)?;
            if !self.is_healed() || self.now_us < next_look_us {
                continue;
            }
            next_look_us = self.now_us + if whole_since.is_some() { 1_000_000 } else { 100_000 };
            // What is meant for whom changes with links and with what streams are known.
            let known: usize = self.nodes.iter().map(|node| node.store.known.len()).sum();
            let state = known + self.nodes.len() + self.links.iter().filter(|link| link.is_alive).count();
            if spec.0 != state || spec.1.is_none() {
                spec = (state, Some(Spec::new(&self.nodes, &self.links)));
            }
            let Some(spec) = &spec.1 else { continue };
            let lacks =
                check::missing(&self.nodes, spec, &self.truth).or_else(|| check::waiting(&self.nodes, &self.truth));
            match (lacks, whole_since) {
                (Some(lacks), _) if self.now_us > self.heals_at_us + HEALING_MAX_US => {
                    return Err(Failure::new("everything catches up by itself", lacks));
                }
                (Some(_), _) => whole_since = None,
                (None, None) => {
                    self.tell(|_| "all is where it should be".to_owned());
                    whole_since = Some(self.now_us);
                }
                (None, Some(since)) if self.now_us > since + QUIET_US => return self.finish(since),
                (None, Some(_)) => {}
            }
        }
        Err(Failure::new("a run ends", format!("{STEPS_MAX} steps, and it still goes on")))
    }

    fn finish(&mut self, since_us: u64) -> Result<(), Failure> {
        check::settled(&self.nodes, &self.truth)?;
        check::order(&self.nodes, &Spec::new(&self.nodes, &self.links))?;
        // What was on its way when the last event arrived may arrive still, and be answered.
        let slack_us = QUIET_US / 2;
        if self.last_bundle_us > since_us + slack_us && !self.truth.has_taint() {
            let late_ms = (self.last_bundle_us - since_us) / 1_000;
            return Err(Failure::new(
                "traffic ends",
                format!("a bundle was sent {late_ms} ms after nothing was missing"),
            ));
        }
        self.counts.nodes = self.nodes.len() as u64;
        self.counts.transactions = self.truth.transactions.len() as u64;
        self.counts.events = self.truth.facts.len() as u64;
        self.counts.simulated_ms = self.now_ms();
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Write { node } => self.write(node),
            Step::Act { node, life, transaction, act } => self.act(node, life, transaction, act),
            Step::End { node, life, transaction, keeps } => self.end(node, life, transaction, keeps)?,
            Step::Declare { node, name } => self.declare(node, &name)?,
            Step::Adopt { node } => self.adopt(node)?,
            Step::Dial { link } => self.dial(link)?,
            Step::Arrive { connection, at, packet } => self.arrive(connection, at, packet)?,
            Step::News { connection, is_here } => self.hears(connection, is_here)?,
            Step::Close { connection, at } => self.close(connection, at),
            Step::Do { connection, at } => self.work(connection, at)?,
            Step::Tick { connection } => self.tick(connection)?,
            Step::Post { link, from } => self.post(link, from)?,
            Step::Deliver { link, to, bytes } => self.deliver(link, to, &bytes)?,
            Step::Fault(at) => self.fault(at),
            Step::Part { link } => self.part(link),
            Step::Uncut { link, ways } => self.uncut(link, ways),
            Step::Start { node } => self.start(node),
            Step::Copy { node, for_fault } => {
                self.copies.insert(for_fault, self.nodes[node].store.clone());
            }
            Step::Retry => self.retry()?,
            Step::Heal => self.heal(),
        }
        Ok(())
    }

    /// Poisons what a node writes next.
    pub fn poison(&mut self, node: usize) {
        self.poison.insert(node);
    }

    /// A dot, to read: who wrote it, in which stream and lane.
    pub fn dot(&self, dot: &gundb_core::Dot) -> String {
        let author = self.nodes.iter().find(|node| node.store.site == dot.site).map_or("?", |node| &node.name);
        let name = self.nodes.iter().find_map(|node| node.store.known.get(&dot.stream)).map_or("?", |name| name);
        let run = dot.lane.run().to_string();
        format!("{author}/{name}/{}-{}/{}", &run[..4], dot.lane.number(), dot.seq)
    }
}
