//! The epochs shipped last in a session, one a run, against which later ones are told.
//!
//! What must always hold here: the sender's stand among the receiver's. Both ends do the same with the same bundles, and forget the same runs; where the
//! sender forgets all, it tells epochs whole first.

use crate::bundle::EpochPart;
use crate::context::EpochRecord;
use crate::id::{Run, SiteId};

/// Of how many runs an epoch is remembered.
const RUNS_MAX: usize = 64;

/// Remembered epochs, the one used last at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Bases {
    last: Vec<EpochRecord>,
}

impl Bases {
    /// The epochs that are yet to be told, each as little as can be. They are sorted by run and number.
    pub(super) fn tell(&mut self, mut epochs: Vec<EpochRecord>) -> Vec<EpochPart> {
        epochs.sort_by_key(|record| record.epoch);
        epochs.dedup_by_key(|record| record.epoch);
        epochs.into_iter().filter_map(|record| self.tell_one(record)).collect()
    }

    fn tell_one(&mut self, record: EpochRecord) -> Option<EpochPart> {
        let epoch = record.epoch;
        let at = self.of_run(epoch.site, epoch.run);
        if at.and_then(|at| self.last.get(at)).is_some_and(|last| last.epoch == epoch) {
            return None;
        }
        let base = at.map(|at| self.last.remove(at));
        let base = base.filter(|base| base.epoch.number < epoch.number && base.clock <= record.clock);
        let part = match &base {
            Some(base) => {
                EpochPart { epoch, base: Some(base.epoch.number), clock: record.clock.difference(&base.clock) }
            }
            None => EpochPart { epoch, base: None, clock: record.clock.clone() },
        };
        self.remember(record);
        Some(part)
    }

    /// The epochs whole again; None where one is told against another that is not remembered.
    pub(super) fn read(&mut self, parts: &[EpochPart]) -> Option<Vec<EpochRecord>> {
        parts.iter().map(|part| self.read_one(part)).collect()
    }

    fn read_one(&mut self, part: &EpochPart) -> Option<EpochRecord> {
        let base = self.of_run(part.epoch.site, part.epoch.run).map(|at| self.last.remove(at));
        let clock = match part.base {
            None => part.clock.clone(),
            Some(number) => base.filter(|base| base.epoch.number == number)?.clock.join(&part.clock),
        };
        let record = EpochRecord { epoch: part.epoch, clock };
        self.remember(record.clone());
        Some(record)
    }

    fn of_run(&self, site: SiteId, run: Run) -> Option<usize> {
        self.last.iter().position(|record| (record.epoch.site, record.epoch.run) == (site, run))
    }

    fn remember(&mut self, record: EpochRecord) {
        if self.last.len() >= RUNS_MAX {
            self.last.remove(0);
        }
        self.last.push(record);
    }
}
