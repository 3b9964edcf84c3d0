//! The one thread that writes: it takes what waits, does it in one transaction of the file, and answers all when that is on the disk.
//!
//! So a write costs a share of a commit: while the disk is waited for, others come, and go together in the next.
//!
//! What must always hold here: nobody is answered before the commit. A call that is refused has written nothing; one that fails after it has written takes the
//! whole transaction with it, and the others are done again without it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use gundb_core::store::Listener;
use gundb_core::{Clock, Run, SiteId};
use redb::{Database, ReadOnlyDatabase, ReadableDatabase, WriteTransaction};

use crate::error::{Error, Kind, Result};
use crate::store::apply;
use crate::store::definitions::Definitions;
use crate::store::look::{Moment, WriteTables};
use crate::store::memory::{Memory, Views};
use crate::store::sound::sound;
use crate::store::witness::Witness;
use crate::store::writing::Writing;

/// Calls in one transaction of the file.
const GROUP_MAX: usize = 1_024;
/// How long what was acknowledged without waiting for the disk may be lost.
const LAZY_FOR: Duration = Duration::from_millis(500);

/// How often what waits for its time is tried at most.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on the disk.
    #[default]
    Full,
    /// When it is written: a power cut may take the last half second. What comes from peers is always on the disk.
    Lazy,
}

/// What readers are shown beside the file: as of the last commit.
#[derive(Clone)]
pub struct Shown {
    pub site: SiteId,
    pub run: Option<Run>,
    pub clock: Arc<Clock>,
    pub definitions: Arc<Definitions>,
    pub views: Arc<Views>,
}

/// The file, open.
pub enum File {
    Write(Database),
    /// To read only: another process may write meanwhile.
    Read(ReadOnlyDatabase),
}

/// What the threads share.
pub struct Shared {
    /// None while it is opened again after the disk has failed, or cannot be.
    file: RwLock<Option<File>>,
    shown: Mutex<Shown>,
    listeners: Mutex<Vec<Weak<Listener>>>,
}

impl Shared {
    pub fn new(file: File, memory: &Memory) -> Shared {
        Shared { file: RwLock::new(Some(file)), shown: Mutex::new(shown(memory)), listeners: Mutex::default() }
    }

    /// As of the last commit; where another process writes, as of some commit not long ago: [`Shared::renew`].
    pub fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks what another process has written.
    pub fn renew(&self) -> Result<()> {
        let reads = matches!(&*self.file.read().unwrap_or_else(PoisonError::into_inner), Some(File::Read(_)));
        if reads {
            let memory = Memory::load(&self.moment()?, |_| true)?;
            *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown(&memory);
        }
        Ok(())
    }

    pub fn listen(&self, listener: Weak<Listener>) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub fn moment(&self) -> Result<Moment> {
        match &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            Some(File::Write(database)) => Moment::open(&database.begin_read()?),
            Some(File::Read(database)) => Moment::open(&database.begin_read()?),
            None => Err(gone()),
        }
    }

    fn begin_write(&self) -> Result<WriteTransaction> {
        match &*self.file.read().unwrap_or_else(PoisonError::into_inner) {
            Some(File::Write(database)) => Ok(database.begin_write()?),
            _ => Err(gone()),
        }
    }

    /// Closes the file and opens it again.
    fn reopen(&self, open: &Open) -> Result<()> {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        // The lock of the file goes with it. One that was found to be damaged is not closed well.
        let closed = file.take();
        let _ = sound(|| {
            drop(closed);
            Ok(())
        });
        *file = Some(File::Write(sound(open)?));
        Ok(())
    }

    fn publish(&self, memory: &Memory) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown(memory);
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| match listener.upgrade() {
            Some(listener) => {
                listener();
                true
            }
            None => false,
        });
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A file that was found to be damaged is not closed well.
        let _ = sound(|| {
            drop(file);
            Ok(())
        });
    }
}

fn shown(memory: &Memory) -> Shown {
    Shown {
        site: memory.site,
        run: memory.run,
        clock: memory.clock.clone(),
        definitions: memory.definitions.clone(),
        views: memory.views.clone(),
    }
}

/// Something to be written.
pub trait Job: Send {
    /// Writes it. An error is one that is to take the transaction with it.
    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<()>;
    /// Whether it must be on the disk, whatever the durability.
    fn must_last(&self) -> bool;
    /// Answers, when it is committed or never will be.
    fn answer(&mut self, committed: Result<()>);
}

/// A call of somebody who waits.
struct Call<T, F> {
    call: F,
    value: Option<Result<T>>,
    must_last: bool,
    answer: SyncSender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Writing<'_, '_>) -> Result<T> + Send> Job for Call<T, F> {
    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<()> {
        let before = writing.changes();
        let value = (self.call)(writing);
        let fatal = value.as_ref().err().filter(|_| writing.changes() != before).cloned();
        self.value = Some(value);
        fatal.map_or(Ok(()), Err)
    }

    fn must_last(&self) -> bool {
        self.must_last
    }

    fn answer(&mut self, committed: Result<()>) {
        let value = self.value.take();
        let answer = match committed {
            Err(error) => Err(error),
            Ok(()) => value.unwrap_or_else(|| Err(gone())),
        };
        // Whoever waited may have gone.
        let _ = self.answer.send(answer);
    }
}

/// What waited for its time, tried again.
struct Retry;

impl Job for Retry {
    fn run(&mut self, writing: &mut Writing<'_, '_>) -> Result<()> {
        apply::retry(writing, false).map(drop)
    }

    fn must_last(&self) -> bool {
        true
    }

    fn answer(&mut self, _: Result<()>) {}
}

/// A way to the thread that writes.
pub struct Writer(Mutex<Option<Sender<Box<dyn Job>>>>);

impl Writer {
    pub fn new(sender: Sender<Box<dyn Job>>) -> Writer {
        Writer(Mutex::new(Some(sender)))
    }

    /// Lets no more come.
    pub fn stop(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Has something written, and waits until that is committed. It may be called again, after a transaction that failed for another's sake.
    pub fn call<T: Send + 'static>(
        &self,
        must_last: bool,
        call: impl FnMut(&mut Writing<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = sync_channel(1);
        let job = Box::new(Call { call, value: None, must_last, answer });
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender.ok_or_else(gone)?.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::new(Kind::Storage, "the store is closed, or open to read only").hint("Open it to write.")
}

/// Opens the file.
pub type Open = Box<dyn Fn() -> Result<Database> + Send>;

/// The thread.
pub struct Thread {
    pub shared: Arc<Shared>,
    pub open: Open,
    /// Whether the disk has failed: what the last transaction left is then known only once the file is opened again.
    pub has_failed: bool,
    pub memory: Memory,
    pub durability: Durability,
    pub witness: Witness,
}

impl Thread {
    /// Writes until nobody can ask any more; then leaves word of how it left the file.
    pub fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let (mut unsynced, mut tried): (Option<Instant>, _) = (None, Instant::now());
        loop {
            let lazy = unsynced.map(|since| LAZY_FOR.saturating_sub(since.elapsed()));
            let pause = RETRY_EVERY.saturating_sub(tried.elapsed());
            let due = self.memory.due.map(|stamp| apply::until(stamp).max(pause));
            let first = match lazy.into_iter().chain(due).min() {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(patience) => jobs.recv_timeout(patience),
            };
            let mut group: Vec<Box<dyn Job>> = match first {
                Ok(job) => vec![job],
                Err(RecvTimeoutError::Timeout) if due.is_some_and(|due| lazy.is_none_or(|lazy| due <= lazy)) => {
                    tried = Instant::now();
                    vec![Box::new(Retry)]
                }
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while group.len() < GROUP_MAX
                && let Ok(job) = jobs.try_recv()
            {
                group.push(job);
            }
            // What is overdue goes to the disk with whatever comes.
            let is_due = unsynced.is_some_and(|since| since.elapsed() >= LAZY_FOR);
            let lasts = self.durability == Durability::Full || is_due || group.iter().any(|job| job.must_last());
            match self.write(&mut group, lasts) {
                Ok(true) if !lasts => drop(unsynced.get_or_insert_with(Instant::now)),
                Ok(true) => unsynced = None,
                Ok(false) => {}
                Err(_) => unsynced = None,
            }
        }
        let is_synced = unsynced.is_none() || self.write(&mut Vec::new(), true).is_ok();
        if is_synced
            && !self.has_failed
            && let Some(word) = self.memory.word()
        {
            self.witness.leave(&word);
        }
    }

    /// Does what waits, in one transaction; where that fails each by itself. Says whether something was written.
    fn write(&mut self, group: &mut Vec<Box<dyn Job>>, lasts: bool) -> Result<bool> {
        let outcome = sound(|| self.commit(group, lasts));
        if let Err(error) = &outcome {
            self.has_failed |= matches!(error.kind, Kind::Storage | Kind::Damaged);
            self.forget();
            if group.len() > 1 {
                for job in std::mem::take(group) {
                    // Each has its answer.
                    let _ = self.write(&mut vec![job], lasts);
                }
                return Ok(true);
            }
        } else {
            self.shared.publish(&self.memory);
        }
        for job in group {
            job.answer(outcome.clone().map(drop));
        }
        outcome
    }

    fn commit(&mut self, group: &mut [Box<dyn Job>], lasts: bool) -> Result<bool> {
        self.recover()?;
        let mut transaction = self.shared.begin_write()?;
        transaction.set_two_phase_commit(true);
        if !lasts {
            transaction.set_durability(redb::Durability::None)?;
        }
        let has_written = {
            let mut tables = WriteTables::open(&transaction)?;
            let mut writing = Writing::new(&mut tables, &mut self.memory);
            for job in group.iter_mut() {
                job.run(&mut writing)?;
            }
            writing.changes() > 0
        };
        // An empty transaction brings to the disk what was not waited for before.
        if has_written || group.is_empty() {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(has_written)
    }

    /// Opens the file again after the disk has failed, as when it was full. Whatever the transaction that failed has left, another run writes on.
    fn recover(&mut self) -> Result<()> {
        if self.has_failed {
            self.shared.reopen(&self.open)?;
            self.memory = Memory::load(&self.shared.moment()?, |_| false)?;
            self.has_failed = false;
        }
        Ok(())
    }

    /// Reads anew what the file says, after a transaction that failed. The run goes on if the file knows it: one that was drawn in that transaction is void.
    fn forget(&mut self) {
        let load = || sound(|| Memory::load(&self.shared.moment()?, |_| true));
        // A file that cannot be read any more fails whoever asks next.
        let Ok(mut memory) = load() else { return };
        if memory.run != self.memory.run {
            (memory.run, memory.epoch) = (None, 0);
        }
        memory.hlc = memory.hlc.max(self.memory.hlc);
        self.memory = memory;
    }
}
