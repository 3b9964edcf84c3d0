//! Histories as text: a line a session, its transactions parted by `|`.
//!
//! ```text
//! alice: photo:=1 | album:=2      writes
//! bob:   album?2 photo?-          reads 2, and nothing
//! carol: album?[2] | x:=3 !       reads all writes of a key; a transaction that is rolled back
//! dave:  y:=4 ~                   one whose end nobody was told
//! ```

use super::{History, Operation, Outcome, Session, Transaction};
use std::fmt;

impl History {
    /// Reads a history. Panics where the text is none, since only tests write them.
    pub fn parse(text: &str) -> History {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        History { sessions: lines.map(session).collect() }
    }
}

fn session(line: &str) -> Session {
    let (name, rest) = line.split_once(": ").unwrap_or_else(|| panic!("a name and a colon are missing in {line}"));
    Session { name: name.trim().to_owned(), transactions: rest.split('|').map(transaction).collect() }
}

fn transaction(text: &str) -> Transaction {
    let (text, outcome) = match text.trim() {
        text if text.ends_with('!') => (text.trim_end_matches('!'), Outcome::RolledBack),
        text if text.ends_with('~') => (text.trim_end_matches('~'), Outcome::Unanswered),
        text => (text, Outcome::Committed),
    };
    let (mut operations, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        // The values of a list are parted by blanks too.
        let end = match (rest.find(']'), rest.find(char::is_whitespace)) {
            (Some(close), Some(blank)) if rest[..blank].contains("?[") => close + 1,
            (_, Some(blank)) => blank,
            (_, None) => rest.len(),
        };
        operations.push(operation(&rest[..end]));
        rest = rest[end..].trim_start();
    }
    Transaction { outcome, operations }
}

fn operation(text: &str) -> Operation {
    let number = |value: &str| value.parse().unwrap_or_else(|_| panic!("{value} is no value, in {text}"));
    if let Some((key, value)) = text.split_once(":=") {
        return Operation::Write { key: key.to_owned(), value: number(value) };
    }
    let (key, value) = text.split_once('?').unwrap_or_else(|| panic!("{text} neither writes nor reads"));
    let key = key.to_owned();
    match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(list) => Operation::List { key, values: list.split_whitespace().map(number).collect() },
        None => Operation::Read { key, value: (value != "-").then(|| number(value)) },
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Values of a list that are worth printing.
        const SHOWN: usize = 12;
        match self {
            Operation::Write { key, value } => write!(f, "{key}:={value}"),
            Operation::Read { key, value: Some(value) } => write!(f, "{key}?{value}"),
            Operation::Read { key, value: None } => write!(f, "{key}?-"),
            Operation::List { key, values } => {
                let skipped = values.len().saturating_sub(SHOWN);
                let shown: Vec<_> = values[skipped..].iter().map(u64::to_string).collect();
                let more = if skipped > 0 { format!("({skipped} more) ") } else { String::new() };
                write!(f, "{key}?[{more}{}]", shown.join(" "))
            }
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = self.operations.iter().map(Operation::to_string).collect();
        let outcome = match self.outcome {
            Outcome::Committed => "",
            Outcome::RolledBack => " !",
            Outcome::Unanswered => " ~",
        };
        write!(f, "{}{outcome}", operations.join(" "))
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for session in &self.sessions {
            let transactions: Vec<_> = session.transactions.iter().map(Transaction::to_string).collect();
            writeln!(f, "{}: {}", session.name, transactions.join(" | "))?;
        }
        Ok(())
    }
}

#[test]
fn a_history_is_read_as_it_is_printed() {
    let text = "alice: photo:=1 | album:=2\nbob: album?2 photo?-\ncarol: album?[2 1] x?[] | x:=3 !\ndave: y:=4 ~\n";
    assert_eq!(History::parse(text).to_string(), text);
}
