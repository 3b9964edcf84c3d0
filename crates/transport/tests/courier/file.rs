//! Parcels in directories: torn, doubled, copied in part, full, read-only, unmounted, and full of junk.

use gundb_transport::courier::{Courier, CourierFault, Parcel};
use gundb_transport::file::{Directory, MARKER, prepare};
use gundb_transport::url::FileTarget;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

fn directory(root: &Path, own: &str, peer: &str) -> Directory {
    Directory::new(FileTarget { root: root.to_owned(), file_bytes: 1 << 20 }, own, peer, 1 << 20)
}

fn names(parcels: &[Parcel]) -> Vec<&str> {
    parcels.iter().map(|parcel| parcel.name.as_str()).collect()
}

#[test]
fn what_one_side_puts_the_other_gets_in_the_order_of_names() {
    let root = TempDir::new().unwrap();
    let (mut paris, mut tokyo) = (directory(root.path(), "paris", "tokyo"), directory(root.path(), "tokyo", "paris"));
    assert!(prepare(root.path()).unwrap() && !prepare(root.path()).unwrap());
    paris.open().unwrap();
    assert!(tokyo.incoming().parcels().unwrap().is_empty());
    for name in ["b-2", "a-1", "hello"] {
        paris.outgoing().put(name, name.as_bytes()).unwrap();
    }
    paris.outgoing().put("a-1", b"again").unwrap();
    paris.outgoing().flush().unwrap();
    let there = tokyo.incoming().parcels().unwrap();
    assert_eq!(names(&there), ["a-1", "b-2", "hello"]);
    assert_eq!(tokyo.incoming().read(&there[0]).unwrap().as_deref(), Some(b"again".as_slice()));
    assert_eq!(paris.outgoing().parcels().unwrap(), there);
    assert!(tokyo.outgoing().parcels().unwrap().is_empty());
    tokyo.incoming().remove(&there[0]).unwrap();
    tokyo.incoming().remove(&there[0]).unwrap();
    assert_eq!(paris.outgoing().parcels().unwrap().len(), 2);
    assert_eq!(tokyo.incoming().read(&there[0]).unwrap(), None);
}

#[test]
fn an_unmounted_stick_is_not_an_empty_one() {
    let root = TempDir::new().unwrap();
    let mut paris = directory(root.path(), "paris", "tokyo");
    assert!(matches!(paris.open(), Err(CourierFault::NotMounted { marker: MARKER, .. })));
    let mut nowhere = directory(&root.path().join("none"), "paris", "tokyo");
    assert!(matches!(nowhere.open(), Err(CourierFault::NoRoot { .. })));
    assert!(matches!(prepare(&root.path().join("none")), Err(CourierFault::NoRoot { .. })));
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(directory(&file, "paris", "tokyo").open(), Err(CourierFault::File { .. })));
}

#[test]
fn junk_is_left_alone_and_what_is_half_written_is_not_there() {
    let root = TempDir::new().unwrap();
    let (mut paris, mut tokyo) = (directory(root.path(), "paris", "tokyo"), directory(root.path(), "tokyo", "paris"));
    paris.outgoing().put("a-1", b"a").unwrap();
    let folder = root.path().join("paris--tokyo");
    fs::write(folder.join(".unfinished-a-2"), "half").unwrap();
    fs::write(folder.join("Thumbs.db"), "junk").unwrap();
    fs::write(folder.join("a-1 (copy)"), "junk").unwrap();
    fs::create_dir(folder.join("a-3")).unwrap();
    symlink("/etc/passwd", folder.join("a-4")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("a-5")).status().unwrap().success());
    fs::write(folder.join("a-6"), vec![0; 2 << 20]).unwrap();
    let there = tokyo.incoming().parcels().unwrap();
    assert_eq!(names(&there), ["a-1", "a-6"]);
    assert_eq!(tokyo.incoming().read(&there[1]).unwrap(), None, "it is too large to be one");
    // A link that takes a parcel's place is not followed.
    fs::remove_file(folder.join("a-1")).unwrap();
    symlink("/etc/passwd", folder.join("a-1")).unwrap();
    assert_eq!(tokyo.incoming().read(&there[0]).unwrap(), None);
    // What a crash left half written is begun anew.
    paris.outgoing().put("a-2", b"whole").unwrap();
    assert!(!folder.join(".unfinished-a-2").exists() && folder.join("Thumbs.db").exists());
}

#[test]
fn a_folder_that_is_a_file_is_an_error_for_who_writes_and_empty_for_who_reads() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("paris--tokyo"), "junk").unwrap();
    let (mut paris, mut tokyo) = (directory(root.path(), "paris", "tokyo"), directory(root.path(), "tokyo", "paris"));
    assert!(paris.outgoing().put("a-1", b"a").is_err());
    assert!(tokyo.incoming().parcels().unwrap().is_empty());
}

/// Root passes every right; the test of it is that of a user.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn mounted(kind: &[&str], at: &Path) -> bool {
    Command::new("mount").args(kind).arg(at).status().is_ok_and(|status| status.success())
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_medium_is_said_to_be_full_and_holds_nothing_half() {
    let root = TempDir::new().unwrap();
    if !mounted(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"], root.path()) {
        println!("skipped: a small file system cannot be mounted here");
        return;
    }
    let _mounted = Mounted(root.path());
    prepare(root.path()).unwrap();
    let (mut paris, mut tokyo) = (directory(root.path(), "paris", "tokyo"), directory(root.path(), "tokyo", "paris"));
    paris.outgoing().put("a-1", &[1; 100 << 10]).unwrap();
    let fault = paris.outgoing().put("a-2", &[2; 200 << 10]).unwrap_err();
    assert!(matches!(fault, CourierFault::Full { .. }) && fault.hint().is_some(), "{fault}");
    let there = tokyo.incoming().parcels().unwrap();
    assert_eq!(names(&there), ["a-1"]);
    // There is room again, and what was half there takes none.
    paris.outgoing().remove(&there[0]).unwrap();
    paris.outgoing().put("a-2", &[2; 200 << 10]).unwrap();
}

#[test]
fn a_read_only_medium_can_be_read_and_says_that_it_cannot_be_written() {
    let root = TempDir::new().unwrap();
    let (mut paris, mut tokyo) = (directory(root.path(), "paris", "tokyo"), directory(root.path(), "tokyo", "paris"));
    if is_root() && !mounted(&["-t", "tmpfs", "-o", "size=256k", "tmpfs"], root.path()) {
        println!("skipped: a file system cannot be mounted here");
        return;
    }
    let _mounted = is_root().then(|| Mounted(root.path()));
    prepare(root.path()).unwrap();
    paris.outgoing().put("a-1", b"a").unwrap();
    if is_root() {
        assert!(mounted(&["-o", "remount,ro"], root.path()));
    } else {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o500)).unwrap();
    }
    tokyo.open().unwrap();
    let there = tokyo.incoming().parcels().unwrap();
    assert_eq!(tokyo.incoming().read(&there[0]).unwrap().as_deref(), Some(b"a".as_slice()));
    tokyo.incoming().remove(&there[0]).unwrap();
    let fault = tokyo.outgoing().put("b-1", b"b").unwrap_err();
    assert!(matches!(fault, CourierFault::ReadOnly { .. }), "{fault}");
    if !is_root() {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
