//! Parcels in a directory that both sides see, at once or in turn: a share, a stick, a synchronised folder.
//!
//! ```text
//! root/.gundb-courier          the marker: without it nothing is mounted here
//! root/paris--tokyo/hello      what paris holds: its receipt of all that came
//! root/paris--tokyo/1f…-01…    bundles for tokyo, until its hello says that it holds what is in them
//! root/tokyo--paris/…          the other way
//! ```
//!
//! What must always hold here: a parcel appears under its name whole or not at all, and after `flush` it is on the medium, name and all. What lies in the
//! directory may be copied by others in any order, in part and more than once, be cut off, or be somebody else's: it is read as bytes, and left alone.
//!
//! | module | one noun |
//! |---|---|
//! | `folder` | one direction |
//! | `marker` | the file that says that this is the place |

mod folder;
mod marker;

use crate::courier::{Courier, CourierFault, Sink, Source};
use crate::url::FileTarget;
use folder::Folder;
pub use marker::{MARKER, prepare};

/// A directory as a way to a peer.
#[derive(Debug)]
pub struct Directory {
    target: FileTarget,
    incoming: Folder,
    outgoing: Folder,
}

impl Directory {
    /// The way between the site of the name `own` and the peer of the name `peer`. Parcels larger than `read_bytes_max` are not read.
    pub fn new(target: FileTarget, own: &str, peer: &str, read_bytes_max: u64) -> Directory {
        let folder = |from: &str, to: &str| {
            Folder::new(target.root.join(format!("{}--{}", escaped(from), escaped(to))), read_bytes_max)
        };
        Directory { incoming: folder(peer, own), outgoing: folder(own, peer), target }
    }
}

impl Courier for Directory {
    fn open(&mut self) -> Result<(), CourierFault> {
        marker::check(&self.target.root)
    }

    fn incoming(&mut self) -> &mut dyn Source {
        &mut self.incoming
    }

    fn outgoing(&mut self) -> &mut dyn Sink {
        &mut self.outgoing
    }

    fn parcel_bytes_max(&self) -> u64 {
        self.target.file_bytes
    }

    fn keeps(&self) -> bool {
        true
    }
}

/// A site's name as part of a file's, on any file system: what is not a letter, a digit, or one of `._`, or a hyphen between such, is written by its bytes.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    let mut before = b'-';
    for (at, byte) in name.bytes().enumerate() {
        let ends = at + 1 == name.len();
        let plain = byte.is_ascii_alphanumeric()
            || (byte == b'_')
            || (byte == b'.' && at > 0 && !ends)
            || (byte == b'-' && before != b'-' && !ends);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
        before = byte;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn names_become_parts_of_file_names_that_cannot_be_mixed_up() {
        assert_eq!(escaped("new-york_2.b"), "new-york_2.b");
        assert_eq!(escaped("a--b"), "a-%2db");
        assert_eq!(escaped("-a-"), "%2da%2d");
        assert_eq!(escaped("../x"), "%2e.%2fx");
        assert_eq!(escaped("Zürich"), "Z%c3%bcrich");
    }
}
