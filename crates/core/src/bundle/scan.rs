//! What a message would make the protobuf reader allocate, counted before it does.
//!
//! An entry of a column is one byte of a message and eight of memory, and an empty message two bytes and dozens; so the tags are walked once, without
//! allocation, and everything that may repeat is counted against the limits. What is neither counted nor named here is skipped, as the reader does.

use crate::bundle::frame::varint;
use crate::bundle::{WireError, WireLimits};

/// What is counted, each with its limit.
#[derive(Clone, Copy)]
pub(super) enum What {
    Events,
    Transactions,
    Entries,
    Patterns,
    Ways,
    Refusals,
}

/// What a field is, where it can repeat or hold what can.
pub(super) enum Rule {
    /// A message that holds fields which are counted.
    Message(&'static Shape),
    /// A column of integers.
    Column(What),
    /// Texts, or messages.
    Each(What, &'static Shape),
}

/// The fields of a message that matter here, by their numbers.
pub(super) type Shape = [(u64, Rule)];

pub(super) static BUNDLE: &Shape = &[
    (7, Rule::Message(TABLES)),
    (8, Rule::Message(EPOCHS)),
    (9, Rule::Message(TRANSACTIONS)),
    (10, Rule::Message(EVENTS)),
];

const TABLES: &Shape = &[
    (3, Rule::Column(What::Entries)),
    (4, Rule::Column(What::Entries)),
    (5, Rule::Column(What::Entries)),
    (6, Rule::Column(What::Entries)),
    (7, Rule::Column(What::Entries)),
    (8, Rule::Column(What::Entries)),
    (9, Rule::Column(What::Entries)),
    (10, Rule::Column(What::Entries)),
];

const EPOCHS: &Shape = &[
    (1, Rule::Column(What::Entries)),
    (2, Rule::Column(What::Entries)),
    (3, Rule::Column(What::Entries)),
    (4, Rule::Column(What::Entries)),
];

const TRANSACTIONS: &Shape = &[(1, Rule::Column(What::Transactions)), (2, Rule::Column(What::Transactions))];

const EVENTS: &Shape = &[
    (1, Rule::Column(What::Events)),
    (2, Rule::Column(What::Events)),
    (3, Rule::Column(What::Events)),
    (4, Rule::Column(What::Events)),
    (5, Rule::Column(What::Events)),
    (9, Rule::Column(What::Events)),
    (11, Rule::Column(What::Events)),
    (13, Rule::Column(What::Events)),
];

pub(super) static HELLO: &Shape =
    &[(7, Rule::Each(What::Patterns, &[])), (8, Rule::Each(What::Patterns, &[])), (9, Rule::Each(What::Ways, WORD))];

const WORD: &Shape = &[(3, Rule::Each(What::Ways, WAY))];

const WAY: &Shape = &[(2, Rule::Each(What::Patterns, &[])), (3, Rule::Each(What::Patterns, &[]))];

/// What a site keeps.
pub(super) static LINKS: &Shape = &[(1, Rule::Each(What::Ways, LINK)), (2, Rule::Each(What::Ways, WORD))];

const LINK: &Shape = &[(2, Rule::Each(What::Ways, HEARD))];

const HEARD: &Shape = &[(2, Rule::Each(What::Patterns, &[]))];

pub(super) static RECEIPT: &Shape = &[(5, Rule::Each(What::Refusals, &[]))];

pub(super) static QUESTION: &Shape = &[(1, Rule::Each(What::Entries, &[]))];

pub(super) static ANSWER: &Shape = &[(1, Rule::Message(INVENTORY)), (2, Rule::Message(DIGESTS))];

const INVENTORY: &Shape = &[(2, Rule::Each(What::Entries, &[])), (3, Rule::Each(What::Entries, &[]))];

const DIGESTS: &Shape = &[(1, Rule::Each(What::Entries, &[]))];

/// Counts what a message holds; an error where it is more than the limits allow, or where the tags are no protobuf.
pub(super) fn scan(message: &[u8], shape: &Shape, limits: &WireLimits) -> Result<(), WireError> {
    Scan { limits, counts: [0; 6] }.message(message, shape)
}

/// The checksum fitted, so nothing was cut off: it was written like this.
fn broken() -> WireError {
    WireError::Protobuf { why: "a field does not end within the message".into() }
}

struct Scan<'a> {
    limits: &'a WireLimits,
    counts: [u64; 6],
}

impl Scan<'_> {
    /// Calls itself as deep as the shapes are.
    fn message(&mut self, mut rest: &[u8], shape: &Shape) -> Result<(), WireError> {
        while !rest.is_empty() {
            let (tag, after) = varint(rest).map_err(|_| broken())?;
            let rule = shape.iter().find(|(field, _)| *field == tag >> 3).map(|(_, rule)| rule);
            rest = match tag & 7 {
                0 => {
                    let (_, after) = varint(after).map_err(|_| broken())?;
                    if let Some(Rule::Column(what)) = rule {
                        self.count(*what, 1)?;
                    }
                    after
                }
                1 => after.get(8..).ok_or_else(broken)?,
                2 => {
                    let (length, after) = varint(after).map_err(|_| broken())?;
                    let length = usize::try_from(length).map_err(|_| broken())?;
                    let (value, after) = after.split_at_checked(length).ok_or_else(broken)?;
                    match rule {
                        Some(Rule::Message(shape)) => self.message(value, shape)?,
                        Some(Rule::Column(what)) => {
                            self.count(*what, value.iter().filter(|byte| **byte < 0x80).count() as u64)?;
                        }
                        Some(Rule::Each(what, shape)) => {
                            self.count(*what, 1)?;
                            if !shape.is_empty() {
                                self.message(value, shape)?;
                            }
                        }
                        None => {}
                    }
                    after
                }
                5 => after.get(4..).ok_or_else(broken)?,
                _ => return Err(WireError::Protobuf { why: format!("a field of wire type {}", tag & 7) }),
            };
        }
        Ok(())
    }

    /// A thing has an entry in each of its columns: together they are bounded here, and each by itself where the columns are read.
    fn count(&mut self, what: What, more: u64) -> Result<(), WireError> {
        let limits = self.limits;
        let (name, limit, columns) = match what {
            What::Events => ("events", limits.events_max, 8),
            What::Transactions => ("transactions", limits.transactions_max, 2),
            What::Entries => ("entries of tables", limits.entries_max, 12),
            What::Patterns => ("patterns", limits.patterns_max, 1),
            What::Ways => ("ways", limits.ways_max, 1),
            What::Refusals => ("refusals", limits.refusals_max, 1),
        };
        let counted = self.counts.get_mut(what as usize);
        let all = counted.map_or(u64::MAX, |count| {
            *count = count.saturating_add(more);
            *count
        });
        if all > limit.saturating_mul(columns) { Err(WireError::TooMany { what: name, limit }) } else { Ok(()) }
    }
}
