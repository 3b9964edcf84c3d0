//! A set that only grows: merging is union, and nobody needs to be named.

use std::collections::BTreeSet;

use super::replica::Replica;
use super::text::{Node, TextProblem};
use super::{Kind, MutationError, State};
use crate::bytes::{Ascending, DecodeError, Reader, put_text, put_varint};
use crate::json::{Printer, TooLarge};

/// A grow-only set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gset(BTreeSet<String>);

impl Gset {
    /// Puts an element in, for ever.
    pub fn add(&mut self, element: &str) -> Result<Gset, MutationError> {
        if element.contains('\0') {
            return Err(MutationError::Nul);
        }
        self.0.insert(element.to_owned());
        Ok(Gset(BTreeSet::from([element.to_owned()])))
    }

    /// Whether an element is in.
    pub fn contains(&self, element: &str) -> bool {
        self.0.contains(element)
    }

    /// The elements, by bytes.
    pub fn elements(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl State for Gset {
    const KIND: Kind = Kind::Gset;

    fn merge(&mut self, other: &Gset) {
        self.0.extend(other.0.iter().cloned());
    }

    fn reissue(&self, _: Replica) -> Result<Gset, MutationError> {
        Ok(self.clone())
    }

    fn encode_body(&self, bytes: &mut Vec<u8>) {
        put_varint(bytes, self.0.len() as u64);
        self.0.iter().for_each(|element| put_text(bytes, element));
    }

    fn decode_body(reader: &mut Reader<'_>) -> Result<Gset, DecodeError> {
        let mut order = Ascending::new();
        let mut elements = Vec::new();
        for _ in 0..reader.count(1)? {
            let offset = reader.offset();
            elements.push(order.take(reader.text()?, offset)?.to_owned());
        }
        Ok(Gset(elements.into_iter().collect()))
    }

    fn print_body(&self, printer: &mut Printer) -> Result<(), TooLarge> {
        printer.begin_array()?;
        self.0.iter().try_for_each(|element| printer.string(element))?;
        printer.end_array()
    }

    fn read_body(node: Node<'_>) -> Result<Gset, TextProblem> {
        let elements = node.items()?.map(|item| item.string().map(str::to_owned));
        elements.collect::<Result<_, _>>().map(Gset)
    }

    fn counts(&self) -> (usize, usize, usize) {
        (0, 0, self.0.len())
    }
}
