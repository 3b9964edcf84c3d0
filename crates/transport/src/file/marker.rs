//! The file that says that this directory is the place: a stick that is not mounted leaves an empty directory behind, and what was put there would go nowhere.

use crate::courier::CourierFault;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Its name.
pub const MARKER: &str = ".gundb-courier";

const TEXT: &str = "gundb's couriers put and get parcels here. Leave this file: without it they take the directory for one where nothing is mounted.\n";

/// Fails where nothing is mounted.
pub(super) fn check(root: &Path) -> Result<(), CourierFault> {
    match fs::symlink_metadata(root.join(MARKER)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {
                Err(CourierFault::NotMounted { root: root.to_owned(), marker: MARKER })
            }
            Ok(_) => Err(CourierFault::File { path: root.to_owned(), why: "it is not a directory".to_owned() }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(CourierFault::NoRoot { root: root.to_owned() }),
            Err(error) => Err(CourierFault::of(root, &error)),
        },
        Err(error) => Err(CourierFault::of(root, &error)),
    }
}

/// Makes an existing directory the place, if it is not yet. Says whether it was not.
pub fn prepare(root: &Path) -> Result<bool, CourierFault> {
    match check(root) {
        Ok(()) => return Ok(false),
        Err(CourierFault::NotMounted { .. }) => {}
        Err(fault) => return Err(fault),
    }
    let path = root.join(MARKER);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(TEXT.as_bytes())?;
        file.sync_all()?;
        File::open(root)?.sync_all()
    })();
    written.map(|()| true).map_err(|error| CourierFault::of(&path, &error))
}
