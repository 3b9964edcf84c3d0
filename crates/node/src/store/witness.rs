//! Whether a file is the one that this machine, since it booted, closed last: only then may a run go on.
//!
//! A run is one lifetime of a site's memory; its lanes are never continued by another (a copied or restored file would give dots a second time). A command line
//! that opens and closes the store at each call would draw a run at each, and clocks would grow. So whoever closes the store leaves a random word in the file
//! and, under the file's device and inode, in memory that no copy, backup, image or reboot carries along: a file system of the kind tmpfs. Whoever opens the store
//! takes that word away. Where both are equal, nothing has happened in between.
//!
//! - A copy has another inode; so has a file that a backup tool put in its place.
//! - A file that was written over from a backup has another word, since each closing draws one.
//! - After a crash there is no word: it was taken away at opening.
//! - Where there is no such memory, or the system is not Linux, each opening draws a run. That is always right.
//!
//! What must always hold here: a word is taken away, and that is seen to have worked, before the run goes on.

use std::fs;
use std::path::{Path, PathBuf};

/// What a word is.
pub type Word = [u8; 16];

/// The place of a file's word.
#[derive(Debug, Clone)]
pub struct Witness(Option<PathBuf>);

impl Witness {
    /// The witness of a file that is there.
    pub fn of(file: &Path) -> Witness {
        Witness(place(file))
    }

    /// Of a store that has no file of its own, as in tests.
    pub fn none() -> Witness {
        Witness(None)
    }

    /// Takes the word away. None where there is none, or it could not be taken away.
    pub fn take(&self) -> Option<Word> {
        let place = self.0.as_ref()?;
        let word = fs::read(place).ok()?;
        fs::remove_file(place).ok()?;
        word.try_into().ok()
    }

    /// Leaves a word. Where that fails, the next opening draws a run.
    pub fn leave(&self, word: &Word) {
        if let Some(place) = &self.0 {
            let left = place.parent().map(make_private).and_then(|_| fs::write(place, word).ok());
            // Half a word is none.
            if left.is_none() {
                let _ = fs::remove_file(place);
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn place(file: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    const MEMORY: &str = "/dev/shm";
    let is_memory = fs::read_to_string("/proc/mounts").ok()?.lines().any(|mount| {
        let mut fields = mount.split(' ').skip(1);
        fields.next() == Some(MEMORY) && fields.next() == Some("tmpfs")
    });
    if !is_memory {
        return None;
    }
    let (file, user) = (fs::metadata(file).ok()?, fs::metadata("/proc/self").ok()?.uid());
    // A memory file system in which the store itself lies may be copied with it.
    if file.dev() == fs::metadata(MEMORY).ok()?.dev() {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let directory = Path::new(MEMORY).join(format!("gundb-{user}"));
    Some(directory.join(format!("{}-{}-{}", boot.trim(), file.dev(), file.ino())))
}

#[cfg(not(target_os = "linux"))]
fn place(_: &Path) -> Option<PathBuf> {
    None
}

#[cfg(unix)]
fn make_private(directory: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    // It may be there; whoever made it, what is not our word is not taken.
    let _ = fs::DirBuilder::new().mode(0o700).create(directory);
}

#[cfg(not(unix))]
fn make_private(directory: &Path) {
    let _ = fs::create_dir(directory);
}
