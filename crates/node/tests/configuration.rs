//! A configuration file that may say anything: it makes sense and means the same when it is read again, or is refused in words.

mod support;

use std::path::Path;

use gundb_node::peers::config::Config;
use gundb_node::peers::edit::Edit;
use support::{Random, seed};
use tempfile::tempdir;

const WHOLE: &str = r#"
reconnect_max = 60
keep_alive = 20
[listen]
address = "[::]:4862"
certificate = "/etc/gundb/paris.pem"
key = "/etc/gundb/paris.key"
client_roots = "/etc/gundb/devices.pem"
client_certificate_required = false
sessions_max = 64
[[peer]] # a comment
name = "tokyo"
url = "grpcs://tokyo.example?tokenfile=/etc/gundb/tokyo.token"
push = ["*", "!audit*"]
accept = "any"
bundle_bytes = 1000000
[[peer]]
name = "stick"
url = "file:///media/stick?file_bytes=16MB"
interval = 30
[[peer]]
name = "mail"
url = "exec:mail $GUNDB_PEER"
[[grant]]
name = "buoy"
token_file = "/etc/gundb/buoy.token"
accept = "own"
application = true
"#;

/// Pieces that a file may be made worse with.
const PIECES: [&str; 24] = [
    "",
    "\0",
    "\"",
    "\"\"\"",
    "'",
    "[",
    "]]",
    "[[peer]]",
    "{",
    "=",
    "\n",
    "# ",
    "-1",
    "99999999999999999999",
    "1e400",
    "nan",
    "true",
    "\\u{D800}",
    "é",
    "postgres://a:secret@b/c",
    "grpc://[::1",
    "file:",
    "exec:",
    "!*",
];

fn worse(random: &mut Random) -> String {
    let mut text: Vec<char> = WHOLE.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() as u64) as usize;
        let end = (at + random.below(12) as usize).min(text.len());
        let piece = PIECES[random.below(PIECES.len() as u64) as usize];
        text.splice(at..end, piece.chars());
    }
    text.into_iter().collect()
}

#[test]
fn whatever_a_configuration_says_it_makes_sense_or_is_refused_in_words() {
    let seed = seed();
    let mut random = Random(seed);
    let directory = tempdir().unwrap();
    let path = directory.path().join("gundb.toml");
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let text = worse(&mut random);
        match Config::parse(&text, Path::new("gundb.toml")) {
            Err(why) => {
                refused += 1;
                assert!(!why.to_string().is_empty(), "GUNDB_SEED={seed} {text}");
            }
            Ok(config) => {
                taken += 1;
                // What is changed beside it leaves it as it is.
                std::fs::write(&path, &text).unwrap();
                let mut edit = Edit::open(&path).unwrap();
                if edit.add("one-more", "grpc://one.example", &[], &[], None).is_ok() && edit.save().is_ok() {
                    let more = Config::read(&path).unwrap();
                    assert_eq!(more.peers[..config.peers.len()], config.peers, "GUNDB_SEED={seed} {text}");
                    assert_eq!((more.listen, more.grants), (config.listen, config.grants), "GUNDB_SEED={seed} {text}");
                }
            }
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} {refused}");
}
