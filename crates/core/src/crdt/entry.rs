//! What the entries of a causal value are known by, and what they hold: how each is written in bytes and text.
//!
//! What must always hold here: equal keys and contents have equal bytes and texts.

use super::text::{Node, TextProblem};
use super::value::{TEXT_DEPTH_MAX, VALUE_LIMITS};
use crate::bytes::{DecodeError, DecodeProblem, Reader, put_hlc, put_text};
use crate::hlc::Hlc;
use crate::json::{Json, Limits, Printer, TooLarge};

/// What a value's entries are known by.
pub(super) trait Key: Ord + Clone {
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Whether rows of the text name the key.
    const NAMED: bool;
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge>;
    fn read(node: Option<Node<'_>>) -> Result<Self, TextProblem>;
}

/// What an entry holds.
pub(super) trait Content: Ord + Clone {
    fn encode(&self, bytes: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// How many fields of a row it takes.
    const FIELDS: usize;
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge>;
    fn read(fields: &[Node<'_>]) -> Result<Self, TextProblem>;
}

impl Key for () {
    const NAMED: bool = false;
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut Reader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }
    fn print(&self, _: &mut Printer) -> Result<(), TooLarge> {
        Ok(())
    }
    fn read(_: Option<Node<'_>>) -> Result<(), TextProblem> {
        Ok(())
    }
}

impl Key for String {
    const NAMED: bool = true;
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_text(bytes, self);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
        Ok(reader.text()?.to_owned())
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.string(self)
    }
    fn read(node: Option<Node<'_>>) -> Result<String, TextProblem> {
        let node = node.ok_or(TextProblem::Shape { expected: "an entry with its key" })?;
        Ok(node.string()?.to_owned())
    }
}

impl Content for () {
    const FIELDS: usize = 0;
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut Reader<'_>) -> Result<(), DecodeError> {
        Ok(())
    }
    fn print(&self, _: &mut Printer) -> Result<(), TooLarge> {
        Ok(())
    }
    fn read(_: &[Node<'_>]) -> Result<(), TextProblem> {
        Ok(())
    }
}

impl Content for bool {
    const FIELDS: usize = 1;
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        reader.bool()
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.bool(*self)
    }
    fn read(fields: &[Node<'_>]) -> Result<bool, TextProblem> {
        match fields {
            [node] => node.bool(),
            _ => Err(TextProblem::Impossible),
        }
    }
}

/// How deep an entry's content stands in the text.
const LEVELS: usize = 4;

/// JSON by its canonical text: equal where the texts are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JsonText(String);

impl JsonText {
    pub(super) fn of(json: &Json) -> JsonText {
        JsonText(json.to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        put_text(bytes, &self.0);
    }

    /// Reads a value that stands so many levels deep in the text: one that is nested deeper could be written and not read back.
    pub(super) fn decode(reader: &mut Reader<'_>, levels: usize) -> Result<JsonText, DecodeError> {
        let offset = reader.offset();
        let text = reader.text()?;
        match Json::parse(text, Limits { depth: TEXT_DEPTH_MAX - levels, ..VALUE_LIMITS }) {
            Ok(json) if json.to_string() == text => Ok(JsonText(text.to_owned())),
            _ => Err(Reader::error_at(offset, DecodeProblem::Text)),
        }
    }

    pub(super) fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        // A number's canonical text goes out as it is; so does that of any other value.
        printer.number(&self.0)
    }
}

impl Content for JsonText {
    const FIELDS: usize = 1;
    fn encode(&self, bytes: &mut Vec<u8>) {
        JsonText::encode(self, bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<JsonText, DecodeError> {
        JsonText::decode(reader, LEVELS)
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        JsonText::print(self, printer)
    }
    fn read(fields: &[Node<'_>]) -> Result<JsonText, TextProblem> {
        match fields {
            [node] => Ok(JsonText::of(node.json())),
            _ => Err(TextProblem::Impossible),
        }
    }
}

/// What a map's entry holds: when it was put, and what.
pub(super) type Put = (Hlc, JsonText);

impl Content for Put {
    const FIELDS: usize = 2;
    fn encode(&self, bytes: &mut Vec<u8>) {
        put_hlc(bytes, self.0);
        self.1.encode(bytes);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Put, DecodeError> {
        Ok((reader.hlc()?, JsonText::decode(reader, LEVELS)?))
    }
    fn print(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.string(&self.0.to_string())?;
        self.1.print(printer)
    }
    fn read(fields: &[Node<'_>]) -> Result<Put, TextProblem> {
        match fields {
            [stamp, json] => Ok((stamp.stamp()?, JsonText::of(json.json()))),
            _ => Err(TextProblem::Impossible),
        }
    }
}
