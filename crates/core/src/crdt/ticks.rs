//! The acts that live under one key: nearly always one, so they stand in a vector and take a tenth of what a tree would.
//!
//! What must always hold here: ticks strictly ascend. Nothing inserts one by one into the middle, which would be quadratic for who sends many.

use super::replica::Tick;

/// Acts by tick, with what each holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticks<C>(Vec<(Tick, C)>);

impl<C> Default for Ticks<C> {
    fn default() -> Ticks<C> {
        Ticks(Vec::new())
    }
}

impl<C> Ticks<C> {
    pub(super) fn one(tick: Tick, content: C) -> Ticks<C> {
        Ticks(vec![(tick, content)])
    }

    /// Acts in any order; None where a tick stands twice. O(n log n), O(n) where they ascend.
    pub(super) fn of(mut ticks: Vec<(Tick, C)>) -> Option<Ticks<C>> {
        ticks.sort_by_key(|(tick, _)| *tick);
        ticks.is_sorted_by(|(a, _), (b, _)| a < b).then_some(Ticks(ticks))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Tick, &C)> {
        self.0.iter().map(|(tick, content)| (tick, content))
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &C> {
        self.0.iter().map(|(_, content)| content)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, tick: &Tick) -> bool {
        self.place(tick).is_some()
    }

    pub(super) fn get_mut(&mut self, tick: &Tick) -> Option<&mut C> {
        let place = self.place(tick)?;
        self.0.get_mut(place).map(|(_, content)| content)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Tick) -> bool) {
        self.0.retain(|(tick, _)| keep(tick));
    }

    /// Takes in acts that are not in it, ascending. O(both).
    pub(super) fn extend(&mut self, others: Vec<(Tick, C)>) {
        self.0.extend(others);
        // Two runs that ascend: the sort merges them.
        self.0.sort_by_key(|(tick, _)| *tick);
    }

    fn place(&self, tick: &Tick) -> Option<usize> {
        self.0.binary_search_by_key(tick, |(tick, _)| *tick).ok()
    }
}
