//! The command line over a store in a file and over a PostgreSQL site.

mod postgres;
mod script;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// A store, and the command line over it.
pub struct Store {
    pub at: String,
}

impl Store {
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_command"));
        command.arg("--store").arg(&self.at).args(arguments).env("GUNDB_DURABILITY", "lazy");
        command
    }

    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.command(arguments);
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the command line");
        // Whoever takes no input closes it.
        let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
        child.wait_with_output().expect("its output")
    }

    /// What a command that must succeed says.
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments, "");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {arguments:?}: {complaint}", self.at);
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a command that must fail complains of, and its code.
    pub fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments, "");
        (output.status.code().expect("a code"), String::from_utf8(output.stderr).expect("text"))
    }
}

/// A text with what differs from store to store taken out: dots, stamps and clocks. Ids are given, or are taken out as well.
pub fn masked(text: &str) -> String {
    let mut masked = String::new();
    for piece in text.split_inclusive(['"', ' ', '\n']) {
        let end = piece.len() - usize::from(piece.ends_with(['"', ' ', '\n']));
        let (word, after) = piece.split_at(end);
        let word = match word {
            _ if word.parse::<gundb_core::Dot>().is_ok() => "DOT",
            _ if word.parse::<gundb_core::Hlc>().is_ok() => "HLC",
            _ if word.starts_with("00000000-") => word,
            _ if word.parse::<uuid::Uuid>().is_ok() => "UUID",
            _ => word,
        };
        masked.push_str(word);
        masked.push_str(after);
    }
    masked
}
