//! The recipes of `examples/couriers`, with the programs that they are made for: a mail server, a web server, tar. What is not on the machine is said, and
//! its test passed over.

use gundb_core::Clock;
use gundb_core::bundle::encode_receipt;
use gundb_core::sync::message::{Outcome, Receipt};
use gundb_transport::courier::{Courier, CourierFault};
use gundb_transport::exec::{Command, Limits};
use gundb_transport::url::ExecTarget;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use tempfile::TempDir;

fn parcel(number: u64) -> Vec<u8> {
    encode_receipt(&Receipt { number, outcome: Outcome::Taken, refusals: Vec::new(), holds: Clock::new() })
}

fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/couriers").join(name).canonicalize().unwrap()
}

/// Whether a program is there; if not, says so.
fn is_there(program: &str, package: &str) -> bool {
    let found = std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        println!("skipped: {program} is not installed (Debian's package {package})");
    }
    found.status.success()
}

fn site(own: &str, peer: &str, command: String) -> Command {
    Command::new(ExecTarget { command }, own, peer, Limits::default())
}

/// Gives these parcels, and gets those that have come.
fn exchange(site: &mut Command, given: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, CourierFault> {
    for bytes in given {
        site.outgoing().put("x", bytes)?;
    }
    site.outgoing().flush()?;
    let incoming = site.incoming();
    let mut came = Vec::new();
    for parcel in incoming.parcels()? {
        came.extend(incoming.read(&parcel)?);
        incoming.remove(&parcel)?;
    }
    Ok(came)
}

/// There and back, and nothing twice.
fn carries(paris: &mut Command, tokyo: &mut Command) {
    let (there, back) = ([parcel(1), parcel(2)], [parcel(3)]);
    assert!(exchange(paris, &there).unwrap().is_empty());
    assert_eq!(exchange(tokyo, &back).unwrap(), there);
    assert_eq!(exchange(paris, &[]).unwrap(), back);
    assert!(exchange(paris, &[parcel(4)]).unwrap().is_empty());
    assert_eq!(exchange(tokyo, &[]).unwrap(), [parcel(4)]);
    assert!(exchange(tokyo, &[]).unwrap().is_empty());
    assert!(exchange(paris, &[]).unwrap().is_empty());
}

#[test]
fn mail_carries_bundles_by_a_mail_server_into_maildirs() {
    if !is_there("exim4", "exim4-daemon-light") || !is_there("python3", "python3") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let root = directory.path().display();
    // It delivers as somebody else than root.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // Delivers what is for these two names into their Maildirs at once, and anything else to nobody.
    let configuration = format!(
        "primary_hostname = localhost\nspool_directory = {root}/spool\nlog_file_path = {root}/log-%slog\n\
         qualify_domain = localhost\ndomainlist local_domains = localhost\nexim_user = root\nexim_group = root\n\
         keep_environment =\nacl_smtp_rcpt = accept\ntrusted_users = root\n\
         begin routers\nhere:\n  driver = accept\n  domains = localhost\n  local_parts = paris : tokyo\n  transport = maildir\n\
         begin transports\nmaildir:\n  driver = appendfile\n  maildir_format\n  directory = {root}/$local_part_data\n  \
         create_directory\n  user = mail\n  group = mail\n  delivery_date_add\n"
    );
    let path = directory.path().join("exim.conf");
    fs::write(&path, configuration).unwrap();
    let tried =
        std::process::Command::new("exim4").arg("-C").arg(&path).args(["-bt", "tokyo@localhost"]).output().unwrap();
    if !tried.status.success() {
        println!("skipped: exim cannot be run here: {}", String::from_utf8_lossy(&tried.stderr));
        return;
    }
    let command = |own: &str, peer: &str| {
        format!(
            "{} --to {peer}@localhost --from {own}@localhost --maildir {root}/{own} --sendmail 'exim4 -C {root}/exim.conf -odi'",
            recipe("mail").display()
        )
    };
    let (mut paris, mut tokyo) =
        (site("paris", "tokyo", command("paris", "tokyo")), site("tokyo", "paris", command("tokyo", "paris")));
    carries(&mut paris, &mut tokyo);
    // Other mail, and mail that looks like it, is left alone.
    let new = directory.path().join("tokyo/new");
    fs::write(new.join("1.other"), "From: x@localhost\nSubject: lunch\n\nAt noon?\n").unwrap();
    fs::write(new.join("2.forged"), "From: x@localhost\nSubject: gundb paris--tokyo\n\nno attachment\n").unwrap();
    fs::write(new.join("3.broken"), [0xff; 1000]).unwrap();
    assert!(exchange(&mut tokyo, &[]).unwrap().is_empty());
    assert!(new.join("1.other").exists());
    // More than fits into one mail.
    let many: Vec<_> = (0..20).map(|_| large(1 << 20)).collect();
    assert!(exchange(&mut paris, &many).unwrap().is_empty());
    assert!(fs::read_dir(&new).unwrap().count() > 2 + 1, "they go in several mails");
    let came = exchange(&mut tokyo, &[]).unwrap();
    assert_eq!(came.len(), 20);
    // A mail server that refuses is an error that says so.
    let mut nobody = site("paris", "nobody", command("paris", "nobody"));
    let fault = exchange(&mut nobody, &[parcel(1)]);
    assert!(fault.is_err() || fs::read_dir(directory.path().join("paris/new")).unwrap().count() > 0, "{fault:?}");
}

/// A parcel of about so many bytes that no compressor makes smaller.
fn large(bytes: usize) -> Vec<u8> {
    use gundb_core::sync::message::Refused;
    use gundb_core::{Dot, Lane, Run, SiteId, StreamId};
    let lane = Lane::new(Run::new(7).unwrap(), 0);
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + (state % 90) as u8)
    };
    let refusals = (1..=bytes as u64 / 1_000)
        .map(|seq| Refused {
            dot: Dot::new(SiteId(uuid::Uuid::from_u128(1)), StreamId::of_name("s"), lane, seq).unwrap(),
            reason: (0..1_000).map(|_| next()).collect(),
        })
        .collect();
    encode_receipt(&Receipt { number: 1, outcome: Outcome::Taken, refusals, holds: Clock::new() })
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A web server for a directory, and its URL.
fn web_server(directory: &Path) -> (Server, String) {
    let child = std::process::Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .arg(directory)
        .arg("0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Server(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split(['(', ')']).nth(1).unwrap_or_else(|| panic!("{line}")).trim_end_matches('/').to_owned();
    (server, url)
}

#[test]
fn feed_carries_bundles_by_a_web_server_as_atom() {
    if !is_there("python3", "python3") || !is_there("curl", "curl") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (near, far) = (directory.path().join("paris"), directory.path().join("tokyo"));
    fs::create_dir(&near).unwrap();
    fs::create_dir(&far).unwrap();
    let ((_one, near_url), (other, far_url)) = (web_server(&near), web_server(&far));
    let command = |at: &Path, own: &str, peer: &str| {
        format!("{} --publish {} --at {own} --read {peer} --keep 3", recipe("feed").display(), at.display())
    };
    let mut paris = site("paris", "tokyo", command(&near, &near_url, &far_url));
    let mut tokyo = site("tokyo", "paris", command(&far, &far_url, &near_url));
    // There is no feed of the peer's yet: that is said, and what was given is published all the same.
    let fault = exchange(&mut paris, &[parcel(1), parcel(2)]).unwrap_err();
    assert!(fault.to_string().contains("404"), "{fault}");
    assert_eq!(exchange(&mut tokyo, &[parcel(3)]).unwrap(), [parcel(1), parcel(2)]);
    assert_eq!(exchange(&mut paris, &[]).unwrap(), [parcel(3)]);
    assert!(exchange(&mut paris, &[]).unwrap().is_empty());
    for number in 4..10 {
        exchange(&mut paris, &[parcel(number)]).unwrap();
    }
    // Older entries are gone, with their files.
    assert_eq!(exchange(&mut tokyo, &[]).unwrap(), [parcel(7), parcel(8), parcel(9)]);
    let files = fs::read_dir(&near)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".gundb"));
    assert_eq!(files.count(), 3);
    if is_there("xmllint", "libxml2-utils") {
        let feed = near.join("paris--tokyo.atom");
        let lint = std::process::Command::new("xmllint").arg("--noout").arg(feed).status().unwrap();
        assert!(lint.success());
    }
    // A feed that is rubbish, and a server that is gone.
    fs::write(far.join("tokyo--paris.atom"), "<feed><entry>").unwrap();
    assert!(exchange(&mut paris, &[]).is_err());
    drop(other);
    let fault = exchange(&mut paris, &[]).unwrap_err();
    assert!(fault.to_string().contains("curl"), "{fault}");
}

#[test]
fn tape_carries_bundles_as_tar_volumes() {
    if !is_there("tar", "tar") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let (out, back) = (directory.path().join("out"), directory.path().join("back"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&back).unwrap();
    let command = |write: &Path, read: &Path| {
        format!("{} --write {} --read {}", recipe("tape").display(), write.display(), read.display())
    };
    let (mut paris, mut tokyo) =
        (site("paris", "tokyo", command(&out, &back)), site("tokyo", "paris", command(&back, &out)));
    carries(&mut paris, &mut tokyo);
    // A torn volume holds no other up, and is taken once it is whole.
    exchange(&mut paris, &[parcel(5)]).unwrap();
    let newest = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..1_030]).unwrap();
    exchange(&mut paris, &[parcel(6)]).unwrap();
    assert_eq!(exchange(&mut tokyo, &[]).unwrap(), [parcel(6)]);
    fs::write(&newest, &bytes).unwrap();
    assert_eq!(exchange(&mut tokyo, &[]).unwrap(), [parcel(5)]);
}
