//! A register that keeps the write with the greatest stamp.
//!
//! What must always hold here: writes are compared by stamp, then replica, then value, so that any two have a winner, the same everywhere.

use super::entry::JsonText;
use super::replica::Replica;
use super::text::{Node, TextProblem};
use super::{Kind, MutationError, State};
use crate::bytes::{DecodeError, Reader, put_hlc};
use crate::hlc::Hlc;
use crate::json::{Json, Printer, TooLarge};

/// A last-write-wins register; empty until it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lww(Option<(Hlc, Replica, JsonText)>);

impl Lww {
    /// Writes a value at a stamp. A stamp that is not greater than the register's own changes nothing: the caller's clock is above all it has read.
    pub fn set(&mut self, value: &Json, at: Hlc, replica: Replica) -> Lww {
        let delta = Lww(Some((at, replica, JsonText::of(value))));
        self.merge(&delta);
        delta
    }

    /// A stamp for the next write: the one given, or, where the register's is not smaller, the one after that. None past the last stamp there is.
    pub fn next_stamp(&self, now: Hlc) -> Option<Hlc> {
        match self.stamp() {
            Some(last) if last >= now => Hlc::tick(last, now.millis()),
            _ => Some(now),
        }
    }

    /// The value as canonical JSON text.
    pub fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|(_, _, value)| value.as_str())
    }

    /// When the value was written.
    pub fn stamp(&self) -> Option<Hlc> {
        self.0.as_ref().map(|(at, _, _)| *at)
    }
}

/// How deep a value stands in the text.
const LEVELS: usize = 2;

impl State for Lww {
    const KIND: Kind = Kind::Lww;

    fn merge(&mut self, other: &Lww) {
        if self.0 < other.0 {
            self.0 = other.0.clone();
        }
    }

    fn reissue(&self, replica: Replica) -> Result<Lww, MutationError> {
        Ok(Lww(self.0.clone().map(|(at, _, value)| (at, replica, value))))
    }

    fn encode_body(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.0.is_some()));
        if let Some((at, replica, value)) = &self.0 {
            put_hlc(bytes, *at);
            replica.encode(bytes);
            value.encode(bytes);
        }
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Lww, DecodeError> {
        if !reader.bool()? {
            return Ok(Lww(None));
        }
        let (at, by) = (reader.hlc()?, Replica::decode(reader)?);
        Ok(Lww(Some((at, by, JsonText::decode(reader, LEVELS)?))))
    }

    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        let Some((at, replica, value)) = &self.0 else {
            return printer.null();
        };
        printer.begin_object()?;
        printer.key("at")?;
        printer.string(&at.to_string())?;
        printer.key("by")?;
        printer.string(&replica.to_string())?;
        printer.key("value")?;
        value.print(printer)?;
        printer.end_object()
    }

    fn read_body(node: Node<'_>) -> Result<Lww, TextProblem> {
        if *node.json() == Json::Null {
            return Ok(Lww(None));
        }
        let [at, by, value] = node.fields(["at", "by", "value"])?;
        Ok(Lww(Some((at.stamp()?, by.string()?.parse()?, JsonText::of(value.json())))))
    }

    fn counts(&self) -> (usize, usize, usize) {
        let written = usize::from(self.0.is_some());
        (written, 0, written)
    }
}
