//! What a node's users do: transactions, short, long, large, rolled back; streams declared and adopted.
//!
//! What must always hold here: what a transaction of an earlier life of a node wanted to do is not done.

use std::rc::Rc;

use gundb_core::StreamId;
use gundb_core::fold::REVERTED;

use crate::check::Failure;
use crate::receive::Delivery;
use crate::saying::Saying;
use crate::transaction::Append;
use crate::world::{Step, World};

/// What is done in a transaction.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Append { stream: StreamId, bytes: usize },
    Savepoint,
    GoBack,
}

impl World {
    /// A user of a node begins a transaction, and the next one thinks of the next.
    pub fn write(&mut self, node: usize) {
        if self.is_healed() {
            return;
        }
        let plan = self.plans[node].clone();
        let streams = self.nodes[node].writable();
        self.after_random(2 * plan.pause_us, Step::Write { node });
        if !self.nodes[node].is_up || streams.is_empty() || self.nodes[node].memory.open.len() > 3 {
            return;
        }
        self.transactions += 1;
        let (transaction, life) = (self.transactions, self.lives[node]);
        let is_large = self.random.percent(plan.large_percent);
        let is_long = self.random.percent(plan.long_percent);
        let appends = if is_large { self.random.between(20, 60) } else { 1 + self.random.below(8).saturating_sub(4) };
        let bytes = if is_large { 200 } else { 1 };
        let for_us = if is_long { self.random.between(50_000, 1_500_000) } else { 0 };
        self.nodes[node].begin(transaction);
        let first = *self.random.pick(&streams);
        for _ in 0..appends {
            let stream = if self.random.percent(60) { first } else { *self.random.pick(&streams) };
            self.after_random(for_us, Step::Act { node, life, transaction, act: Act::Append { stream, bytes } });
            if self.random.percent(10) {
                let act = *self.random.pick(&[Act::Savepoint, Act::GoBack]);
                self.after_random(for_us, Step::Act { node, life, transaction, act });
            }
        }
        let keeps = self.random.percent(90);
        self.after(for_us, Step::End { node, life, transaction, keeps });
        if is_large {
            self.counts.hit("large transaction");
        }
        if is_long {
            self.counts.hit("transaction held open");
        }
    }

    pub fn act(&mut self, node: usize, life: u64, transaction: u64, act: Act) {
        if self.lives[node] != life {
            return;
        }
        match act {
            Act::Append { stream, bytes } => self.append(node, transaction, stream, bytes),
            Act::Savepoint => self.nodes[node].set_savepoint(transaction),
            Act::GoBack => {
                if self.nodes[node].go_back(transaction) {
                    self.counts.hit("savepoint rolled back");
                }
            }
        }
    }

    fn append(&mut self, node: usize, transaction: u64, stream: StreamId, bytes: usize) {
        let is_malformed = self.poison.remove(&node);
        let says = self.say(stream, bytes);
        let (now_ms, what) = (self.now_ms(), Append { stream, says: &says, is_malformed });
        if self.nodes[node].append(transaction, &what, now_ms, &mut self.truth) {
            self.said.entry(stream).or_default().push(says);
        } else {
            self.counts.hit("nothing appended");
        }
        if is_malformed {
            self.strike("malformed event", node);
            self.tell(|world| format!("{} writes a malformed event", world.nodes[node].name));
        }
    }

    /// What a user says: something new, or what was said before, here or elsewhere.
    fn say(&mut self, stream: StreamId, bytes: usize) -> Rc<Saying> {
        let random = &mut self.random;
        let id = random.uuid();
        let before = self.said.get(&stream).map_or(&[][..], |said| said);
        let of = if before.is_empty() { None } else { Some(random.pick(before).clone()) };
        match (random.below(16), of) {
            (0, Some(of)) => Rc::new(Saying::reverts(&of)),
            (1, Some(of)) if of.kind != REVERTED => Rc::new(of.of_another_key(random)),
            (1 | 2, Some(of)) => of,
            _ => Rc::new(Saying::draw(random, id, bytes)),
        }
    }

    pub fn end(&mut self, node: usize, life: u64, transaction: u64, keeps: bool) -> Result<(), Failure> {
        if self.lives[node] != life {
            return Ok(());
        }
        let keeps = keeps && !self.is_full(node);
        let committed = self.nodes[node].end(transaction, keeps, &mut self.truth)?;
        if let Some(id) = committed {
            self.tell(|world| {
                let dots: Vec<String> = world.truth.transactions[&id].dots.iter().map(|dot| world.dot(dot)).collect();
                format!("{} commits {}", world.nodes[node].name, dots.join(" "))
            });
            self.news(node)?;
        }
        Ok(())
    }

    pub fn declare(&mut self, node: usize, name: &Rc<str>) -> Result<(), Failure> {
        let stands = self.nodes[node].store.tables.contains_key(&StreamId::of_name(name));
        if self.is_full(node) && !stands {
            self.after(100_000, Step::Declare { node, name: name.clone() });
            return Ok(());
        }
        if self.nodes[node].is_up && !stands && !self.is_healed() {
            let now_ms = self.now_ms();
            self.nodes[node].declare(name, now_ms, &mut self.truth)?;
            self.tell(|world| format!("{} declares {name}", world.nodes[node].name));
            self.tell_learned(node);
            self.retry_staged(node)?;
            self.news(node)?;
        }
        Ok(())
    }

    /// The streams that a node has heard of and takes get their tables.
    pub fn adopt(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].is_up && !self.is_full(node) && self.nodes[node].adopt() {
            self.tell(|world| format!("{} adopts streams", world.nodes[node].name));
            self.retry_staged(node)?;
        }
        Ok(())
    }

    /// What waits at a node is tried again.
    pub fn retry_staged(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].is_up && !self.is_full(node) && self.nodes[node].has_staged() {
            self.apply(node, Delivery::default())?;
        }
        Ok(())
    }
}
