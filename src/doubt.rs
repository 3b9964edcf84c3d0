//! What waits, and whether any may: so that looking for it, as each append would have to, is seldom in vain.
//!
//! Must hold: while some wait, or a transaction that leaves some has not ended, shared memory says that some may. After a
//! start of the server it says so until somebody has looked.

use crate::error::Result;
use pgrx::spinlock::PgSpinLock;

/// What waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// Keys of views that were busy when events came to them.
    Late,
    /// Transactions of other sites.
    Staged,
    /// Streams that were declared elsewhere and may lack a table here.
    Declared,
}

/// Whether some wait, in shared memory.
pub struct Doubt(PgSpinLock<Known>);

#[derive(Clone, Copy)]
struct Known {
    may_be: bool,
    /// Transactions that have left some and not ended.
    open: u32,
    /// How often some were left.
    left: u64,
}

// SAFETY: plain data, always behind the spinlock.
unsafe impl pgrx::PGRXSharedMemory for Known {}

const NOTHING: Known = Known { may_be: true, open: 0, left: 0 };

impl Doubt {
    /// Nothing is known.
    pub fn unknown() -> Doubt {
        Doubt(PgSpinLock::new(NOTHING))
    }

    pub fn forget(&self) {
        *self.0.lock() = NOTHING;
    }

    /// Whether some may wait.
    pub fn may_be(&self) -> bool {
        self.0.lock().may_be
    }

    /// A transaction is about to leave the first that it leaves.
    pub fn begin(&self) {
        let mut known = self.0.lock();
        *known = Known { may_be: true, open: known.open + 1, left: known.left + 1 };
    }

    /// That transaction has ended. Never raises.
    pub fn end(&self) {
        let mut known = self.0.lock();
        known.open = known.open.saturating_sub(1);
    }

    /// Looks, by `find`, whether some wait; remembers it if none do and nobody is about to leave some.
    pub fn look(&self, find: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let before = *self.0.lock();
        if !before.may_be {
            return Ok(false);
        }
        let found = find()?;
        if !found && before.open == 0 {
            let mut known = self.0.lock();
            known.may_be = known.may_be && known.left != before.left;
        }
        Ok(found)
    }
}
