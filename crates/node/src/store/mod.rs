//! The edge store: a site's events, and what is made of them, in one file of redb.
//!
//! What must always hold here: what was acknowledged is on the disk (unless asked for otherwise); a commit shows all of what it did or nothing; a file that was
//! copied or restored never gives a dot a second time.
//!
//! | file | one noun |
//! |---|---|
//! | `tables` | the tables, and the bytes of their keys |
//! | `words` | what stands in the table `meta` |
//! | `look` | reading, whether in a transaction or as of a moment |
//! | `memory` | what the writer keeps in memory |
//! | `definitions` | streams, event types, names |
//! | `witness` | whether a file is the one that was closed last |
//! | `writer` | the thread that writes, and group commit |
//! | `writing` | the transaction under way |
//! | `append` | events of this site |
//! | `apply` | events of others |
//! | `declare` | streams, event types, the site's name |
//! | `sound` | damage that redb meets with a panic |
//! | `read` | events by pages, and one by one |
//! | `consume` | durable readers |
//! | `sync` | the store as sessions and couriers see it |

pub(crate) mod append;
pub(crate) mod apply;
mod consume;
pub(crate) mod declare;
pub mod definitions;
pub mod look;
pub mod memory;
mod read;
pub(crate) mod sound;
mod sync;
pub mod tables;
mod witness;
pub(crate) mod words;
mod writer;
pub mod writing;

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gundb_core::store::Links;
use gundb_core::sync::filter::SYSTEM_STREAM;
use gundb_core::{Clock, SiteId};
use redb::{Builder, ConcurrencyMode, Database, ReadableDatabase, StorageBackend};
use uuid::Uuid;

pub use append::{Appended, DATA_BYTES_MAX, New};
pub use consume::Batch;
pub use definitions::{Definitions, Stream};
pub use read::Reading;
pub use writer::{Durability, Shown};

use crate::error::{Error, Kind, Result};
use crate::store::look::{Look, Moment, WriteTables};
use crate::store::memory::Memory;
use crate::store::sound::sound;
use crate::store::sync::kept_links;
use crate::store::tables::STREAM;
use crate::store::witness::Witness;
use crate::store::writer::{File, Open, Shared, Thread, Writer};

/// The file in a store's directory.
const FILE: &str = "gundb.redb";
/// The version of the format of its tables.
const FORMAT: u8 = 1;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Bytes of the file that are kept in memory.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { durability: Durability::Full, cache_bytes: 4 << 20 }
    }
}

/// An edge store, open.
pub struct Edge {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    thread: Option<JoinHandle<()>>,
    /// The file, where there is one.
    /// What is remembered of the site's links.
    links: Mutex<Arc<Links>>,
    file: Option<PathBuf>,
}

impl Edge {
    /// Makes a store in a directory, which is made if it is not there. The site has this name.
    pub fn create(directory: &Path, name: &str, options: Options) -> Result<Edge> {
        refuse_file(directory)?;
        std::fs::create_dir_all(directory)?;
        let file = directory.join(FILE);
        if Edge::is_in(directory) {
            return Err(Error::new(Kind::Conflict, format!("there is a store in {} already", directory.display()))
                .hint("Use it as it is, or name another directory."));
        }
        // Under another name first: a file that is there is a store.
        let beginning = directory.join(format!("{FILE}.new"));
        let _ = std::fs::remove_file(&beginning);
        let database = builder(options).create(&beginning)?;
        begin(&database)?;
        drop(database);
        std::fs::rename(&beginning, &file)?;
        sync_directory(directory)?;
        let edge = Edge::open(directory, options)?;
        edge.name_site(name)?;
        Ok(edge)
    }

    /// Whether there is a store in a directory.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Opens the store in a directory.
    pub fn open(directory: &Path, options: Options) -> Result<Edge> {
        let file = existing(directory)?;
        let (witness, opened) = (Witness::of(&file), file.clone());
        let mut edge = Edge::start(Box::new(move || Ok(builder(options).open(&opened)?)), options, witness)?;
        edge.file = Some(file);
        Ok(edge)
    }

    /// Opens a store, or begins it, in a storage that behaves as a file, such as one that fails on purpose.
    pub fn on(backend: impl StorageBackend + Clone, options: Options) -> Result<Edge> {
        let open = move || {
            let mut builder = Builder::new();
            let database = builder.set_cache_size(options.cache_bytes).create_with_backend(backend.clone())?;
            let is_new = database.begin_read()?.open_table(STREAM).is_err();
            if is_new {
                begin(&database)?;
            }
            Ok(database)
        };
        Edge::start(Box::new(open), options, Witness::none())
    }

    /// Opens the store in a directory to read, beside a process that writes to it. Where nobody does, and a crash left something to mend, it is opened to write.
    pub fn open_to_read(directory: &Path, options: Options) -> Result<Edge> {
        let file = existing(directory)?;
        let mut builder = Builder::new();
        builder.set_cache_size(options.cache_bytes).set_concurrency_mode(ConcurrencyMode::SingleWriter);
        match sound(|| Ok(builder.open_read_only(&file)))? {
            Ok(database) => {
                let moment = Moment::open(&database.begin_read()?)?;
                check_format(&moment)?;
                let memory = Memory::load(&moment, |_| true)?;
                let links = kept_links(&moment)?;
                let shared = Arc::new(Shared::new(File::Read(database), &memory));
                let writer = Writer::new(channel().0);
                writer.stop();
                Ok(Edge { shared, writer, links, thread: None, file: Some(file) })
            }
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(redb::DatabaseError::DatabaseAlreadyOpen.into()),
            Err(_) => Edge::open(directory, options),
        }
    }

    /// Looks what another process has written, where this one only reads.
    pub fn renew(&self) -> Result<()> {
        self.shared.renew()
    }

    fn start(open: Open, options: Options, witness: Witness) -> Result<Edge> {
        let database = sound(&open)?;
        let moment = Moment::open(&database.begin_read()?)?;
        check_format(&moment)?;
        let last = witness.take();
        let memory = Memory::load(&moment, |word| last == Some(*word))?;
        let links = kept_links(&moment)?;
        drop(moment);
        let shared = Arc::new(Shared::new(File::Write(database), &memory));
        let (sender, receiver) = channel();
        let Options { durability, .. } = options;
        let thread = Thread { shared: shared.clone(), open, has_failed: false, memory, durability, witness };
        let thread =
            std::thread::Builder::new().name("gundb writer".to_owned()).spawn(move || thread.run(&receiver))?;
        Ok(Edge { shared, writer: Writer::new(sender), links, thread: Some(thread), file: None })
    }

    /// Gives back what the file of a store that nobody has open no longer uses. Says how many bytes it had, and has.
    pub fn compact(directory: &Path, options: Options) -> Result<(u64, u64)> {
        let file = existing(directory)?;
        let before = std::fs::metadata(&file)?.len();
        sound(|| {
            let mut database = builder(options).open(&file)?;
            check_format(&Moment::open(&database.begin_read()?)?)?;
            while database.compact()? {}
            Ok(database.close()?)
        })?;
        Ok((before, std::fs::metadata(&file)?.len()))
    }

    /// As of the last commit: who writes here, what is held, what is defined.
    pub fn shown(&self) -> Shown {
        self.shared.shown()
    }

    /// What is held.
    pub fn clock(&self) -> Arc<Clock> {
        self.shown().clock
    }

    /// How many bytes the file has; 0 where there is none.
    pub fn file_bytes(&self) -> u64 {
        self.file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |file| file.len())
    }

    /// This site.
    pub fn site(&self) -> SiteId {
        self.shown().site
    }

    /// The file as of now.
    pub fn moment(&self) -> Result<Moment> {
        self.shared.moment()
    }

    /// Closes the store, when what was asked of it is done.
    pub fn close(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        self.writer.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        ended
            .map_or(Ok(()), |ended| ended.map_err(|_| Error::new(Kind::Storage, "the thread that writes has panicked")))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The file of the store in a directory.
/// A store is a directory; a file may be this very program, where that lies.
fn refuse_file(directory: &Path) -> Result<()> {
    if !directory.is_file() {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("{} is a file, and a store is a directory", directory.display()))
        .hint("Name a directory: --store DIR"))
}

fn existing(directory: &Path) -> Result<PathBuf> {
    refuse_file(directory)?;
    let file = directory.join(FILE);
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::new(Kind::NotFound, format!("there is no store in {}", directory.display()))
        .hint("Make one: gundb init --store DIR --name NAME"))
}

fn builder(options: Options) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(options.cache_bytes);
    if options.durability == Durability::Full {
        // Others may read meanwhile, as a command line beside a daemon.
        builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
    }
    builder
}

/// Writes what every store has.
fn begin(database: &Database) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    {
        let mut tables = WriteTables::open(&transaction)?;
        let site = uuid::Builder::from_random_bytes(writing::random()?).into_uuid();
        tables.meta.insert(words::FORMAT, [FORMAT].as_slice())?;
        tables.meta.insert(words::SITE, site.as_bytes().as_slice())?;
        tables.meta.insert(words::GROUP, 1u64.to_be_bytes().as_slice())?;
        tables.stream.insert(gundb_core::StreamId::of_name(SYSTEM_STREAM).0.as_bytes(), (1, SYSTEM_STREAM))?;
    }
    transaction.commit()?;
    Ok(())
}

fn check_format(moment: &Moment) -> Result<()> {
    match moment.meta(words::FORMAT)?.as_deref() {
        Some([FORMAT]) => Ok(()),
        Some([newer]) => {
            Err(Error::new(Kind::Damaged, format!("the store has format {newer}, and this program reads {FORMAT}"))
                .hint("Use the program that wrote it, or a later one."))
        }
        _ => Err(Error::damaged("its format is not told")),
    }
}

/// A new name in a directory is on the disk when the directory is.
fn sync_directory(directory: &Path) -> Result<()> {
    #[cfg(unix)]
    std::fs::File::open(directory)?.sync_all()?;
    Ok(())
}

/// An id as people write it.
pub fn parse_id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::new(Kind::Invalid, format!("{text:?} is no uuid")))
}
