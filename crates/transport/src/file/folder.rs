//! One direction: the parcels of one site for another one.

use crate::courier::{CourierFault, Parcel, Sink, Source};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files beginning so are not there yet.
const UNFINISHED: &str = ".unfinished-";
/// How many files are looked at in one folder: more is somebody's rubbish.
const FILES_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    read_bytes_max: u64,
    /// What was put and is not on the medium for certain.
    unflushed: bool,
}

impl Folder {
    pub(super) fn new(path: PathBuf, read_bytes_max: u64) -> Folder {
        Folder { path, read_bytes_max, unflushed: false }
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), CourierFault> {
        let fault = |path: &Path, error: std::io::Error| CourierFault::of(path, &error);
        if !self.path.is_dir() {
            fs::create_dir_all(&self.path).map_err(|error| fault(&self.path, error))?;
            self.unflushed = true;
        }
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let path = self.path.join(name);
        let written = (|| {
            // What a crash left of an earlier attempt is begun anew.
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)
        })();
        if let Err(error) = written {
            // What is half there takes room from whoever tries next.
            let _ = fs::remove_file(&unfinished);
            return Err(fault(&path, error));
        }
        self.unflushed = true;
        Ok(())
    }
}

/// Whether a name is one that [`Sink::put`] takes: what others may have put there is not looked at.
fn is_parcels(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || byte == b'-')
}

impl Source for Folder {
    fn parcels(&mut self) -> Result<Vec<Parcel>, CourierFault> {
        let fault = |error: std::io::Error| CourierFault::of(&self.path, &error);
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(fault(error)),
        };
        let mut parcels = Vec::new();
        for entry in entries.take(FILES_MAX) {
            let entry = entry.map_err(fault)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // One that goes while it is looked at was not there.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            if !metadata.is_file() || !is_parcels(&name) {
                continue;
            }
            let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
            parcels.push(Parcel { name, bytes: metadata.len(), changed_ns });
        }
        parcels.sort();
        Ok(parcels)
    }

    fn read(&mut self, parcel: &Parcel) -> Result<Option<Vec<u8>>, CourierFault> {
        if parcel.bytes > self.read_bytes_max {
            return Ok(None);
        }
        let path = self.path.join(&parcel.name);
        // A link, or a pipe that was put in the file's place, is not followed or waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP) => {
                return Ok(None);
            }
            Err(error) => return Err(CourierFault::of(&path, &error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(self.read_bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| CourierFault::of(&path, &error))?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= self.read_bytes_max))
    }

    fn remove(&mut self, parcel: &Parcel) -> Result<(), CourierFault> {
        // It stays where it cannot be removed, as on a disc: whoever reads it again holds it.
        let _ = fs::remove_file(self.path.join(&parcel.name));
        Ok(())
    }
}

impl Sink for Folder {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), CourierFault> {
        debug_assert!(is_parcels(name));
        self.write(name, bytes)
    }

    /// Files are on the medium when they are put; this makes their names so, and the folder's own.
    fn flush(&mut self) -> Result<(), CourierFault> {
        if !self.unflushed {
            return Ok(());
        }
        for path in [Some(self.path.as_path()), self.path.parent()].into_iter().flatten() {
            let synced = File::open(path).and_then(|directory| directory.sync_all());
            synced.map_err(|error| CourierFault::of(path, &error))?;
        }
        self.unflushed = false;
        Ok(())
    }
}
