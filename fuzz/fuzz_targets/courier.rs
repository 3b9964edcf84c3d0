//! A directory of parcels that anything has happened to: what is in it is taken in or left alone, and once the parcels lie there as they were put, all is held.
//!
//! An input is what is done to the parcels, one operation after the other; the first byte of each says which.
#![no_main]

use gundb_core::store::Terms;
use gundb_fuzz::{edge, empty};
use gundb_node::Edge;
use gundb_node::peers::post::Post;
use gundb_transport::courier::Courier;
use gundb_transport::exec::split;
use gundb_transport::file::{Directory, prepare};
use gundb_transport::url::FileTarget;
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes before a frame's length.
const HEADER_BYTES: usize = 7;
const CHECKSUM_BYTES: usize = 16;
/// The largest parcel that is read.
const READ_BYTES_MAX: u64 = 1 << 20;

/// What a site put for another one.
struct Sent {
    root: PathBuf,
    parcels: Vec<(OsString, Vec<u8>)>,
    digest: [u8; 16],
}

thread_local! {
    static SENT: OnceCell<Sent> = const { OnceCell::new() };
}

fn directory(root: &Path, own: &str, peer: &str) -> Directory {
    Directory::new(FileTarget { root: root.to_owned(), file_bytes: 64 << 10 }, own, peer, READ_BYTES_MAX)
}

fn post(root: &Path, own: &str, peer: &str) -> Post {
    let way = Box::new(directory(root, own, peer));
    Post::new(peer, way, Terms::all(), Edge::limits(), Duration::from_secs(3_600))
}

fn round(post: &mut Post, edge: &Edge) {
    // A round may be refused by what a hello says; the next one is another matter.
    let _ = post.round(edge, 1_800_000_000_000);
}

/// Makes the place empty.
fn clear(root: &Path) {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root).unwrap();
    prepare(root).unwrap();
}

fn send() -> Sent {
    let root = std::env::temp_dir().join(format!("gundb-fuzz-courier-{}", std::process::id()));
    clear(&root);
    let shore = edge();
    let mut post = post(&root, "shore", "boat");
    for n in 0..3 {
        round(&mut post, &shore);
        let event =
            gundb_node::New { stream: "s".into(), kind: "B".into(), data: format!("[{n}]"), ..Default::default() };
        shore.append(vec![event.clone(), event], None).unwrap();
    }
    round(&mut post, &shore);
    let entries = fs::read_dir(root.join("shore--boat")).unwrap().map(Result::unwrap);
    let mut parcels: Vec<_> = entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect();
    parcels.sort();
    assert!(parcels.len() > 3);
    Sent { root, parcels, digest: shore.digest(Some("s")).unwrap() }
}

/// What an input still says.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<usize> {
        Some(usize::from(self.byte()?) << 8 | usize::from(self.byte()?))
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn name(&mut self) -> Option<OsString> {
        let length = usize::from(self.byte()?);
        let mut name = self.bytes(length).to_vec();
        name.iter_mut().filter(|byte| matches!(byte, 0 | b'/')).for_each(|byte| *byte = b'_');
        (!matches!(name.as_slice(), b"" | b"." | b"..") && name.len() < 256).then(|| OsString::from_vec(name))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        Some(String::from_utf8_lossy(self.bytes(length)).into_owned())
    }
}

/// Makes the checksum fit.
fn reframe(bytes: &mut Vec<u8>) {
    if let Some(end) = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|end| *end > HEADER_BYTES) {
        bytes.truncate(end);
        let checksum = blake3::hash(bytes);
        bytes.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
    }
}

/// What lies there in the end. Says whether somebody forged it who knows how a frame is made.
fn happened(parcels: &[(OsString, Vec<u8>)], input: &mut Input<'_>) -> (BTreeMap<OsString, Vec<u8>>, bool) {
    let mut lying = parcels.to_vec();
    let mut is_forged = false;
    let mut one = || -> Option<()> {
        let operation = input.byte()?;
        if operation % 8 == 7 {
            let name = input.name()?;
            let length = input.number()?;
            lying.push((name, input.bytes(length).to_vec()));
            return Some(());
        }
        let count = lying.len();
        let at = usize::from(input.byte()?) % count;
        let (name, bytes) = &mut lying[at];
        match operation % 8 {
            0 | 1 => {
                let (place, mask) = (input.number()?, input.byte()?);
                let length = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(place % length) {
                    *byte ^= mask;
                }
            }
            2 => bytes.truncate(input.number()?),
            3 => *name = input.name()?,
            4 => {
                is_forged = true;
                reframe(bytes);
            }
            5 => drop(lying.remove(at)),
            _ => {
                let length = usize::from(input.byte()?);
                let place = input.number()? % (bytes.len() + 1);
                bytes.splice(place..place, input.bytes(length).iter().copied());
            }
        }
        (!lying.is_empty()).then_some(())
    };
    for _ in 0..16 {
        if one().is_none() {
            break;
        }
    }
    (lying.into_iter().collect(), is_forged)
}

/// Two ways between sites of any names do not meet, unless they are the same way.
fn names(root: &Path, input: &mut Input<'_>) -> Option<()> {
    let (own, peer, other_own, other_peer) = (input.text()?, input.text()?, input.text()?, input.text()?);
    clear(root);
    if directory(root, &own, &peer).outgoing().put("hello", b"x").is_err() {
        // A name that no file may have.
        return None;
    }
    assert_eq!(fs::read_dir(root).unwrap().count(), 2, "the marker, and one folder");
    assert_eq!(directory(root, &peer, &own).incoming().parcels().unwrap().len(), 1);
    let seen = directory(root, &other_peer, &other_own).incoming().parcels().unwrap_or_default();
    assert_eq!(!seen.is_empty(), (own, peer) == (other_own, other_peer));
    Some(())
}

fn carried(sent: &Sent, input: &mut Input<'_>) {
    let (lying, is_forged) = happened(&sent.parcels, input);
    let stream: Vec<u8> = lying.values().flatten().copied().collect();
    let (whole, _) = split(&stream, READ_BYTES_MAX);
    assert!(stream.starts_with(&whole.concat()));
    clear(&sent.root);
    let folder = sent.root.join("shore--boat");
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in &lying {
        // One whose name the file system does not take does not lie there.
        let _ = fs::write(folder.join(name), bytes);
    }
    let boat = empty();
    boat.name_site("boat").unwrap();
    let mut after = post(&sent.root, "boat", "shore");
    for _ in 0..2 {
        round(&mut after, &boat);
    }
    assert_eq!(boat.verify().unwrap(), Vec::<String>::new());
    if !is_forged {
        for (name, bytes) in &sent.parcels {
            let path = folder.join(name);
            if fs::read(&path).ok().as_ref() != Some(bytes) {
                fs::write(path, bytes).unwrap();
            }
        }
        for _ in 0..2 {
            round(&mut after, &boat);
        }
        assert_eq!(boat.digest(Some("s")).unwrap(), sent.digest, "{:?}", boat.pending());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let Some(which) = input.byte() else { return };
    SENT.with(|sent| {
        let sent = sent.get_or_init(send);
        if which % 4 == 0 {
            names(&sent.root, &mut input);
        } else {
            carried(sent, &mut input);
        }
    });
});
