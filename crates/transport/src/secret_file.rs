//! Small files of which others than their owner may have to know nothing.

use crate::fault::Fault;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How much of a file is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// A text file, unless it has one of the rights `forbidden`.
pub(crate) fn read_private(what: &'static str, path: &Path, forbidden: u32) -> Result<String, Fault> {
    let fault = |why: String| Fault::File { what, path: path.display().to_string(), why };
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| fault(error.to_string()))?;
    if !metadata.is_file() {
        return Err(fault("it is not a file".to_owned()));
    }
    // A file of root's may be readable for a group, so that one key serves several servers.
    let forbidden = if metadata.uid() == 0 { forbidden & 0o037 } else { forbidden };
    if metadata.mode() & forbidden != 0 {
        return Err(fault("others than its owner can read it; take their rights away (chmod 0600)".to_owned()));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|error| fault(error.to_string()))?;
    Ok(text)
}
